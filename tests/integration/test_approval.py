"""A held operation, from the agent to a reviewer's comment and back; only the forge and the model are stand-ins."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from ciguard.session.authenticity import Expectations
from ciguard.session.step import Outcome
from ciguard.session.verification import verify
from ciguard.testing.github_forge import GitHubForge
from ciguard.testing.github_forge.state import ACTIONS_BOT
from tests.integration.asking import running
from tests.integration.guarded import until
from tests.integration.receiver import Receiver
from tests.sandboxed import OFFERED
from tests.unit.forge.test_github_app import APP, PEM


async def test_an_approval_lets_it_go_on(tmp_path: Path) -> None:
    async with running(tmp_path) as session:
        request = await session.request()
        assert "echo deploy [ciguard-masked:hide:" in request.body
        assert "customer-4711" not in request.body
        assert "All tests pass, so I ship it." in request.body
        assert "@acme/security" in request.body
        assert not session.deployed
        answer = session.forge.comment(7, "bob", f"/ciguard approve {await session.reference()}")
        assert (await session.ended())[0] == 0
        assert session.deployed
        assert session.heard == ["done\n"]
        assert "Approved by @bob (maintain)" in request.body
        assert [content for _, content in session.forge.thread[answer].reactions] == ["+1"]
        (asked,), (verdict,) = session.events("approval_requested"), session.events("verdict")
        assert (asked["place"], asked["quorums"]) == (
            "github.com/acme/shop#7",
            [{"count": 1, "approvers": ["@acme/security"]}],
        )
        assert (verdict["outcome"], verdict["comment"], verdict["reason"]) == (
            "released",
            request.id,
            "It was approved by @bob.",
        )
        (evidence,) = verdict["evidence"]
        assert (evidence["comment"], evidence["login"], evidence["role"]) == (answer, "bob", "maintain")
        assert len(evidence["answers"]) == 4
        (call,) = [one for one in session.events("operation") if one["operation"] == "tool_call"]
        assert (call["decision"]["action"], call["effect"], call["seq"] > verdict["seq"]) == ("hold", "forwarded", True)
        note = session.forge.written_by(ACTIONS_BOT)[0].body
        # Both name the head of the log when they were written, and a log that is cut off before it has no such head.
        heads = re.findall(r"(?:Log at event \d+, head|\*\*Log head:\*\*) `([0-9a-f]{64})`", request.body + note)
        assert len(heads) == 2
        expected = Expectations(announced=frozenset(heads))
        assert verify(tmp_path / "session", expected).steps[7].outcome is Outcome.HOLDS
        log = tmp_path / "session" / "events.jsonl"
        kept = log.read_bytes().splitlines(keepends=True)[: verdict["seq"] - 1]
        log.write_bytes(b"".join(kept))
        assert verify(tmp_path / "session", expected).steps[7].outcome is Outcome.FAILED
        assert "the agent ended by itself" in note
        assert "1 held" in note
        assert re.search(r"\*\*Approvals:\*\* `1 asked; 1 released; decided after [0-9]+ s \(median\)", note)


async def test_what_is_long_can_be_read_whole_before_it_is_decided(tmp_path: Path) -> None:
    command = "echo deploy customer-4711 " + "abcdefg " * 4_000 + "the-end"
    async with running(tmp_path, '{approvers: ["@bob"]}', command=command) as session:
        request = await session.request()
        bot = session.forge.written_by(ACTIONS_BOT)
        parts = [comment for comment in bot if "what ciguard's request" in comment.body]
        assert len(parts) == 2
        assert all(f"#issuecomment-{part.id}>" in request.body and part.id < request.id for part in parts)
        shown = "".join(part.body.split("```")[1].removeprefix("text\n").removesuffix("\n") for part in parts)
        assert shown.count("abcdefg") == 4_000
        assert "the-end" in shown
        assert "customer-4711" not in shown
        session.forge.comment(7, "bob", f"/ciguard approve {await session.reference()}")
        assert (await session.ended())[0] == 0
        assert session.heard[-1].startswith("deploy")


@pytest.mark.skipif("landlock" not in OFFERED, reason="commands are seen only where the agent is isolated")
async def test_a_rule_about_texts_asks_once_for_a_call_and_for_the_shell_that_it_starts(tmp_path: Path) -> None:
    command = "echo deploy $HOME > deployed; echo done"
    async with running(tmp_path, '{approvers: ["@bob"]}', command=command, on="tool_call, command") as session:
        session.forge.comment(7, "bob", f"/ciguard approve {await session.reference()}")
        assert (await session.ended())[0] == 0
        assert session.deployed
        assert len(session.asking()) == 1
        (shell,) = [
            event
            for event in session.events("operation")
            if "ciguard:approved-call" in {reason["rule"] for reason in event["decision"]["reasons"]}
        ]
        assert shell["operation"] == "command"


PERMISSIONS = {"issues": "write", "pull_requests": "write", "members": "read"}
AS_APP = {"CIGUARD_APP_ID": "61", "CIGUARD_APP_PRIVATE_KEY": PEM}


async def test_an_app_makes_its_tokens_also_in_the_middle_of_a_hold(tmp_path: Path) -> None:
    def prepare(forge: GitHubForge) -> None:
        readonly(forge)
        forge.install_app(replace(APP, permissions=PERMISSIONS))

    async with running(tmp_path, prepare=prepare, environ=AS_APP) as session:
        request = await session.request()
        assert request.author.login == "guard[bot]"
        assert session.forge.expire_tokens() == 1
        session.forge.comment(7, "bob", f"/ciguard approve {await session.reference()}")
        status, errors = await session.ended()
        assert (status, session.deployed) == (0, True)
        assert session.forge.expire_tokens() == 1
        record = b"".join(path.read_bytes() for path in (tmp_path / "session").rglob("*") if path.is_file())
        assert not any(line in record.decode("latin-1") + errors for line in PEM.splitlines()[1:-1])
        assert b"ghs_" not in record


async def test_an_agent_does_not_see_the_key_of_the_app(tmp_path: Path) -> None:
    agent = (sys.executable, "-c", LOOK)
    prepare = lambda forge: forge.install_app(replace(APP, permissions=PERMISSIONS))  # noqa: E731
    async with running(tmp_path, prepare=prepare, environ=AS_APP, agent=agent) as session:
        assert session.process.stdout
        printed = (await session.process.stdout.read()).decode()
        assert (await session.ended())[0] == 0
        assert "ANTHROPIC_BASE_URL" in printed
        assert "CIGUARD_APP" not in printed.partition("\n")[0]
        assert PEM.splitlines()[1] not in printed


@pytest.mark.parametrize(
    ("environ", "permissions", "cause"),
    [
        (
            AS_APP,
            {"issues": "write", "pull_requests": "write"},
            "lacks one of the permissions issues, pull_requests, members",
        ),
        ({**AS_APP, "CIGUARD_APP_ID": "62"}, PERMISSIONS, "does not accept the App's key"),
        ({"CIGUARD_APP_ID": "61"}, PERMISSIONS, "CIGUARD_APP_PRIVATE_KEY is not set"),
    ],
)
async def test_an_app_that_cannot_ask_is_found_before_the_agent_starts(
    tmp_path: Path, environ: dict[str, str], permissions: Mapping[str, str], cause: str
) -> None:
    prepare = lambda forge: forge.install_app(replace(APP, permissions=permissions))  # noqa: E731
    async with running(tmp_path, prepare=prepare, environ=environ) as session:
        status, errors = await session.ended()
        assert (status, cause in errors) == (75, True), errors
        assert session.events("agent_started") == []


async def test_a_token_that_ends_too_early_is_found_before_the_agent_starts(tmp_path: Path) -> None:
    def expiring(forge: GitHubForge) -> None:
        for token, rights in forge.tokens.items():
            forge.tokens[token] = replace(rights, expires=forge.now() + timedelta(minutes=20), told=True)

    async with running(tmp_path, prepare=expiring) as session:
        status, errors = await session.ended()
        assert status == 75
        assert re.search(r"the guard's token ends at .* UTC, before people had approval.timeout \(30 min 0 s\)", errors)
        assert session.events("agent_started") == []
    (tmp_path / "second").mkdir()
    async with running(tmp_path / "second", '{approvers: ["@bob"], timeout: 10m}', prepare=expiring) as session:
        session.forge.comment(7, "bob", f"/ciguard approve {await session.reference()}")
        assert (await session.ended())[0] == 0
        assert session.deployed


NOTIFY = "notify: {url: {env: HOOK}, secret: {env: HOOK_SECRET}}"

LOOK = """\
import glob, os
print(sorted(os.environ.items()))
for name in glob.glob("/proc/[0-9]*/environ"):
    try: print(open(name).read())
    except OSError: print("refused")
"""
"""An agent that prints its own environment in the first line, and then those of others as far as it may."""


async def test_a_channel_is_told_and_the_job_says_at_once_where_to_look(tmp_path: Path) -> None:
    with Receiver() as receiver:
        environ = {"HOOK": receiver.url, "HOOK_SECRET": "whsec_" + "c2VjcmV0" * 6}
        async with running(tmp_path, f'{{approvers: ["@acme/security"], {NOTIFY}}}', environ=environ) as session:
            request = await session.request()
            await until(lambda: receiver.got)
            (_, _, body) = receiver.got[0]
            asked = json.loads(body)
            address = f"https://github.com/acme/shop/pull/7#issuecomment-{request.id}"
            assert asked["text"] == f"ciguard: approval needed <{address}>"
            assert b"customer-4711" not in body
            assert "echo deploy [ciguard-masked:hide:" in asked["blocks"][1]["text"]["text"]
            assert session.process.stderr
            line = b""
            while b"asked at" not in line:
                line = await session.process.stderr.readline()
                assert line
            assert address in line.decode()
            assert not session.deployed
            receiver.gate.clear()
            session.forge.comment(7, "bob", f"/ciguard approve {await session.reference()}")
            # The second message is not answered: the agent goes on without it.
            await until(lambda: session.deployed)
            receiver.gate.set()
            status, errors = await session.ended()
            assert status == 0
            assert "held  tool call Bash  no-deploy, hide  released" in errors
        told = [(event["about"], event["status"]) for event in session.events("notified")]
        assert told == [("request", 200), ("verdict", 200)]
        assert "approved by @bob" in json.loads(receiver.got[1][2])["blocks"][1]["text"]["text"]
        record = b"".join(path.read_bytes() for path in (tmp_path / "session").rglob("*") if path.is_file())
        assert not any(value.encode() in record for value in environ.values())


async def test_a_webhook_that_is_down_decides_nothing(tmp_path: Path) -> None:
    with Receiver() as receiver:
        receiver.status = 500
        environ = {"HOOK": receiver.url, "HOOK_SECRET": "whsec_" + "c2VjcmV0" * 6}
        async with running(tmp_path, f'{{approvers: ["@bob"], {NOTIFY}}}', environ=environ) as session:
            session.forge.comment(7, "bob", f"/ciguard approve {await session.reference()}")
            status, errors = await session.ended()
            assert (status, session.deployed) == (0, True)
            assert errors.count("not notified  the webhook of approval.notify") == 1
        assert [event["reason"] for event in session.events("notified")] == ["it answered with status 500"] * 2


async def test_an_agent_sees_neither_the_address_of_a_webhook_nor_its_secret(tmp_path: Path) -> None:
    environ = {"HOOK": "https://hooks.example.com/services/T0/B0/xyzxyzxyz", "HOOK_SECRET": "whsec_" + "c2VjcmV0" * 6}
    agent = (sys.executable, "-c", LOOK)
    async with running(tmp_path, f'{{approvers: ["@bob"], {NOTIFY}}}', environ=environ, agent=agent) as session:
        assert session.process.stdout
        printed = (await session.process.stdout.read()).decode()
        assert (await session.ended())[0] == 0
        assert "ANTHROPIC_BASE_URL" in printed
        assert "HOOK" not in printed.partition("\n")[0]
        assert not any(value in printed for value in environ.values())


async def test_a_denial_makes_the_agent_go_another_way(tmp_path: Path) -> None:
    async with running(tmp_path) as session:
        session.forge.comment(7, "carol", f"/ciguard deny {await session.reference()} not on a Friday")
        assert (await session.ended())[0] == 0
        assert not session.deployed
        (verdict,) = session.events("verdict")
        assert verdict["reason"] == "It was held for approval and denied by @carol: not on a Friday"
        assert "Denied by @carol" in session.asking()[0].body


async def test_nobody_decides_in_time(tmp_path: Path) -> None:
    async with running(tmp_path, '{approvers: ["@acme/security"], timeout: 3s}') as session:
        session.forge.comment(7, "alice", f"/ciguard approve {await session.reference()}")
        assert (await session.ended())[0] == 0
        assert not session.deployed
        (verdict,) = session.events("verdict")
        assert (verdict["outcome"], verdict["discounted"], verdict["evidence"]) == ("expired", 0, [])
        assert verdict["waited_ms"] >= 3000
        replies = [one.body for one in session.forge.written_by(ACTIONS_BOT) if "does not count" in one.body]
        assert len(replies) == 1
        assert "opened this thread" in replies[0]
        assert "expired, refused" in session.asking()[0].body


async def test_the_forge_goes_down_while_it_waits(tmp_path: Path) -> None:
    async with running(tmp_path, '{approvers: ["@acme/security"], timeout: 4s}') as session:
        reference = await session.reference()
        session.forge.fail(10_000, status=503, pattern="GET|POST")
        session.forge.comment(7, "bob", f"/ciguard approve {reference}")
        assert (await session.ended())[0] == 0
        assert not session.deployed
        assert session.events("verdict")[0]["outcome"] == "expired"


async def test_the_owners_of_a_path_and_a_second_group(tmp_path: Path) -> None:
    async with running(
        tmp_path,
        '{approvers: ["codeowners:/db/"], each_of: [["role:write"], ["@carol"]]}',
        files={"CODEOWNERS": "/db/ @bob\n"},
    ) as session:
        reference = await session.reference()
        session.forge.comment(7, "bob", f"/ciguard approve {reference}")
        await until(lambda: "not enough yet" in session.asking()[0].body)
        assert not session.deployed
        session.forge.comment(7, "carol", f"/ciguard approve {reference}")
        assert (await session.ended())[0] == 0
        assert session.deployed
        assert [one["login"] for one in session.events("verdict")[0]["evidence"]] == ["bob", "carol"]
        assert [user.login for user in session.forge.issues[7].reviewers] == ["bob", "carol"]


async def test_without_a_pull_request_an_issue_is_opened(tmp_path: Path) -> None:
    approval = '{approvers: ["@bob"], without_pull_request: issue}'
    async with running(tmp_path, approval, event="workflow_dispatch") as session:
        request = await session.request()
        assert request.issue == 8
        assert "approval for run" in session.forge.issues[8].title
        session.forge.comment(8, "bob", f"/ciguard approve {await session.reference()}")
        assert (await session.ended())[0] == 0
        assert session.deployed


async def test_without_a_pull_request_a_hold_is_a_block(tmp_path: Path) -> None:
    async with running(tmp_path, '{approvers: ["@bob"]}', event="workflow_dispatch") as session:
        assert (await session.ended())[0] == 0
        assert not session.deployed
        assert session.forge.thread == {}
        assert session.events("verdict") == []


async def test_the_agent_gives_up_and_the_request_is_withdrawn(tmp_path: Path) -> None:
    ask = f"import os, subprocess, sys; p = subprocess.Popen([*{[sys.executable, '-m']!r}, "
    ask += "'ciguard.testing.scripted_agent', 'Ship it.'])\ntry: p.wait(timeout=4)\nexcept Exception: p.kill()\n"
    async with running(tmp_path, agent=(sys.executable, "-c", ask)) as session:
        await session.request()
        await session.ended()
        assert session.events("verdict")[0]["outcome"] == "withdrawn"
        assert "withdrawn, refused" in session.asking()[0].body
        assert not session.deployed


def readonly(forge: GitHubForge) -> None:
    """No token of the forge writes."""
    for token, rights in forge.tokens.items():
        forge.tokens[token] = type(rights)(rights.user, writes=False, reads_teams=True)


def without_teams(forge: GitHubForge) -> None:
    """No token of the forge reads teams."""
    for token, rights in forge.tokens.items():
        forge.tokens[token] = type(rights)(rights.user)


@pytest.mark.parametrize(
    ("approval", "prepare", "cause"),
    [
        ('{approvers: ["@acme/security"]}', readonly, "cannot comment on github.com/acme/shop#7"),
        ('{approvers: ["@acme/security"]}', without_teams, "team @acme/security, which the guard's token cannot read"),
        ('{approvers: ["@nobody"]}', id, "the policy names @nobody, whom GitHub does not find"),
        ('{approvers: ["codeowners:/db/"]}', id, "CODEOWNERS on the base branch names none"),
        ('{approvers: ["@bob"]}', lambda forge: forge.tokens.clear(), "does not accept the token"),
    ],
)
async def test_what_is_missing_is_found_before_the_agent_starts(
    tmp_path: Path, approval: str, prepare: Callable[[GitHubForge], object], cause: str
) -> None:
    async with running(tmp_path, approval, prepare=prepare) as session:
        status, errors = await session.ended()
        assert status == 75
        assert cause in errors
        assert "help: " in errors
        assert session.events("agent_started") == []
        assert session.heard == []
