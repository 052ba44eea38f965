"""THREATS, row by row, at every level and as everybody that this machine lets the tests be."""

from __future__ import annotations

import functools
import os
from pathlib import Path

import pytest

from ciguard.policy.sections.isolation import IsolationLevel
from tests.e2e.isolation.besieged import CANARY, CHECKOUT, CREDENTIAL, TOUCHED, Fought, besieged, hosts, offered

HOSTS = {host.name: host for host in hosts()}
OFFERED = {name: offered(host) for name, host in HOSTS.items()}
LEVELS = [(name, level) for name, levels in OFFERED.items() for level in levels]
CONFINING = [(name, level) for name, level in LEVELS if level not in ("user", "none")]
AT_USER = [name for name, level in LEVELS if level == "user"]
everywhere = pytest.mark.parametrize(("name", "level"), LEVELS)
where_it_confines = pytest.mark.parametrize(("name", "level"), CONFINING)
where_it_restores = pytest.mark.parametrize(("name", "level"), [place for place in LEVELS if place[1] != "none"])

WHAT_ROOT_CAN = frozenset({"C2 rights of root", "C2 mount", "C2 kernel settings", "C2 devices", "C1 shadow"})
WHAT_ANYBODY_CAN = frozenset(
    {"C1 environ of others", "C1 maps and mem of others", "C1 process_vm_readv", "C1 ptrace", "C1 ssh key"}
    | {"C1 descriptors of others", "C1 cloud credentials", "C1 runner's folder"}
    | {"C2 user namespace", "C2 signal others", "C2 socket of a service", "C2 GITHUB_ENV"}
    | {"C2 shell start-up of the job", "C2 another program's folder", "N1 TCP", "N1 TCP over IPv6", "N1 UDP"}
    | {"N1 the guard's port elsewhere", "N1 being connected to", "N1 abstract socket", "N1 netlink"}
)


DOCUMENTED = ("are refused", "**work**", "work unless the machine itself refuses them")
"""The rows of the table in docs/security.md that says what becomes of each attack at the level `user`."""


def documented() -> list[set[str]]:
    """The attacks of each of those rows."""
    lines = (Path(__file__).parents[3] / "docs/security.md").read_text().splitlines()
    cells = {row[1].strip(): row[2] for row in (line.split("|") for line in lines if line.startswith("|"))}
    return [{name.strip() for name in cells[row].split(",")} for row in DOCUMENTED]


@functools.cache
def fought(name: str, level: str) -> Fought:
    """One siege, for all its tests."""
    return besieged(HOSTS[name], level)


@pytest.mark.skipif("user with sudo" not in HOSTS, reason="nobody here has sudo")
def test_a_user_with_sudo_gets_namespaces_through_it() -> None:
    assert "reached through sudo" in OFFERED["user with sudo"]["namespace"]


@where_it_confines
def test_nothing_works(name: str, level: str) -> None:
    fight = fought(name, level)
    assert {attack for attack, why in fight.results.items() if not why} == set()
    assert fight.reached == frozenset()


@pytest.mark.parametrize("name", AT_USER)
def test_at_user_it_is_as_documented(name: str) -> None:
    refused, work, depends = documented()
    results = {attack.partition(" ")[2]: why for attack, why in fought(name, "user").results.items()}
    assert refused | work | depends == set(results)
    worked = {attack for attack, why in results.items() if not why}
    assert work - worked == set(), {attack: results[attack] for attack in work - worked}
    assert worked - work <= depends
    assert fought(name, "user").reached == {
        *("TCP", "TCP over IPv6", "UDP", "abstract socket", "socket of a service"),
        *("guard's port elsewhere", "being connected to"),
    }


@pytest.mark.parametrize("name", HOSTS)
def test_the_same_attacks_work_without_isolation(name: str) -> None:
    fight = fought(name, "none")
    worked = {attack for attack, why in fight.results.items() if not why}
    expected = WHAT_ANYBODY_CAN | (WHAT_ROOT_CAN if name == "root" else frozenset())
    assert expected - worked == set(), {attack: fight.results[attack] for attack in expected - worked}
    assert {"TCP", "UDP", "abstract socket", "guard's port elsewhere", "being connected to"} <= fight.reached


@everywhere
def test_the_credential_is_nowhere(name: str, level: str) -> None:
    fight = fought(name, level)
    stored = b"".join(fight.session.body(digest) for digest in fight.session.digests())
    for secret in (CREDENTIAL, CANARY):
        assert secret not in fight.errors
        assert secret.encode() not in stored
    assert fight.results["C1 own environment"]
    assert fight.results["C6 variables of the identity"]


@where_it_restores
def test_what_later_steps_would_execute_is_as_it_was_and_the_log_says_what_was_tried(name: str, level: str) -> None:
    fight = fought(name, level)
    root = fight.workspace
    assert not (root / ".github").exists()
    assert not (root / ".git/hooks/post-checkout").exists()
    assert not (root / ".mcp.json").exists()
    assert (root / "CLAUDE.md").read_text() == "Be kind.\n"
    config = (root / ".git/config").read_text()
    assert CHECKOUT in config
    assert "attack" not in config
    [undone] = [event for event in fight.session.events if event["type"] == "protected_files"]
    assert (undone["when"], undone["done"]) == ("after", "restored")
    changed = set(undone["paths"])
    if level != "namespace":
        assert set(TOUCHED) <= changed
    else:
        assert changed == {".github", ".github/workflows", ".github/workflows/new.yml", ".mcp.json"}


@everywhere
def test_the_log_states_the_level_and_what_it_does_not_cover(name: str, level: str) -> None:
    isolation = fought(name, level).session.events[0]["isolation"]
    assert isolation["level"] == IsolationLevel(level)
    assert isolation["limits"]


@pytest.mark.parametrize("name", HOSTS)
def test_everybody_is_offered_isolation(name: str) -> None:
    """A machine that runs these tests can prove nothing where it offers none."""
    assert [level for host, level in CONFINING if host == name]


@pytest.mark.skipif(os.getuid() != 0, reason="only root can make the agent another user")
def test_root_is_offered_the_level_user_in_the_workspace_of_an_ordinary_user() -> None:
    assert AT_USER == ["root in a user's workspace"]
