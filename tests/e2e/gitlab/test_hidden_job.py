"""A project's own job that extends the hidden one: what it runs by ciguard_run is guarded, and nothing else is."""

from __future__ import annotations

import json
from xml.etree import ElementTree

import pytest

from tests.e2e.gitlab.stage import Stage, verified

pytestmark = pytest.mark.timeout(300)

RULE = "{id: no-touching, on: [command], command: {run: [touch forbidden]}, action: block}"
SHOW = "env | cut -d = -f 1 | sort >"


async def test_a_job_of_ones_own_runs_one_command_behind_the_guard(stage: Stage) -> None:
    stage.component = "guard"
    policy = stage.policy().replace("\napproval:", f"\n  - {RULE}\napproval:")
    inside = f"{SHOW} inside; touch allowed; touch forbidden; exit 7"
    running = await stage.propose(policy, [f"{SHOW} outside", f"ciguard_run bash -c '{inside}'", "touch after"])
    finished = await running.ended()

    assert finished.status == 7, finished.said
    made = {path.name for path in finished.checkout.path.iterdir()}
    assert made & {"outside", "inside", "allowed", "forbidden", "after"} == {"outside", "inside", "allowed"}
    outside, inside_names = ((finished.checkout.path / name).read_text().split() for name in ("outside", "inside"))
    withheld = {"CIGUARD_ID_TOKEN", "CIGUARD_GITLAB_TOKEN", "CI_JOB_TOKEN", "UPSTREAM_KEY"}
    assert withheld <= set(outside)
    assert not withheld & set(inside_names)

    assert finished.kept() == {"ciguard-session", "ciguard-report.html"}
    assert verified(finished).returncode == 0
    (suite,) = ElementTree.parse(finished.checkout.path / "ciguard-junit.xml").getroot()  # noqa: S314
    failed = [
        case.get("name", "").partition(" ")[2] for case in suite.findall("testcase") if case.find("failure") is not None
    ]
    assert failed == ["blocked: touch forbidden"]
    links = json.loads((finished.checkout.path / "ciguard-annotations.json").read_text())["ciguard"]
    assert [link["external_link"]["label"] for link in links] == ["Session report", "Session"]


async def test_a_second_guarded_command_in_the_job_is_refused(stage: Stage) -> None:
    stage.component = "guard"
    finished = await (await stage.propose(stage.policy(), ["ciguard_run true", "ciguard_run touch second"])).ended()
    assert finished.status != 0, finished.said
    assert "error: " in finished.log
    assert "help: " in finished.log
    assert not (finished.checkout.path / "second").exists()
    assert "ciguard-session" in finished.kept()
