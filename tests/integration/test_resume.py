"""An approval that outlives its job: attempts of one run, each a session; only the forge and model are stand-ins."""

from __future__ import annotations

import re
from pathlib import Path

from ciguard.approvals import marker
from ciguard.testing.github_forge.state import ACTIONS_BOT, Comment
from tests.integration.asking import Site, site

RESUME = '{approvers: ["@acme/security"], mode: resume}'
RUN = "4711"


def asking(place: Site) -> list[Comment]:
    """The requests, oldest first."""
    return [one for one in place.forge.written_by(ACTIONS_BOT) if "What the agent wants" in one.body]


def reference(comment: Comment) -> str:
    """What an answer to a request must name."""
    read = marker.read(comment.body)
    assert read
    return read.reference


async def attempt(place: Site, number: int, **options: str) -> tuple[int, str, list[dict[str, object]]]:
    """Exit status, error output and verdicts of an attempt of the run."""
    async with place.job(run=RUN, attempt=number) as session:
        status, errors = await session.ended()
        return status, errors, session.events("verdict")


async def test_a_held_operation_ends_the_job_and_passes_once_in_the_next_attempt(tmp_path: Path) -> None:
    async with site(tmp_path, RESUME) as place:
        status, errors, (verdict,) = await attempt(place, 1)
        assert status == 79
        assert "waiting: 1 operation waits for approval on github.com/acme/shop#7" in errors
        assert "error:" not in errors
        assert verdict["outcome"] == "awaited"
        assert place.heard == []
        (request,) = asking(place)
        assert "The job has ended. When this is decided, it runs again" in request.body
        assert f"/ciguard approve {reference(request)}" in request.body
        outputs = (tmp_path / "github_output").read_text()
        assert re.search(rf"awaiting<<\w+\n{re.escape(reference(request))}\n", outputs)
        answer = place.forge.comment(7, "bob", f"/ciguard approve {reference(request)}")

        status, errors, (verdict,) = await attempt(place, 2)
        assert status == 0, errors
        assert (verdict["outcome"], verdict["comment"]) == ("released", request.id)
        assert place.heard == ["done\n"]
        assert (tmp_path / "shop" / "deployed").exists()
        assert "Approved by @bob (maintain)" in request.body
        assert [content for _, content in place.forge.thread[answer].reactions] == ["+1"]
        assert asking(place) == [request]

        status, _, (verdict,) = await attempt(place, 3)
        assert (status, verdict["outcome"]) == (79, "awaited")
        assert place.heard == ["done\n"]
        assert len(asking(place)) == 2


async def test_without_a_place_where_the_answer_is_found_again_a_hold_is_a_refusal(tmp_path: Path) -> None:
    approval = '{approvers: ["@acme/security"], mode: resume, without_pull_request: issue}'
    async with site(tmp_path, approval) as place, place.job(event="workflow_dispatch") as session:
        status, errors = await session.ended()
        assert status == 0, errors
        assert not session.deployed
        assert session.events("approval_requested") == []
    assert place.forge.thread == {}


async def test_what_is_held_at_the_same_moment_is_asked_about_before_the_job_ends(tmp_path: Path) -> None:
    async with site(tmp_path, RESUME, times=2) as place:
        status, errors, verdicts = await attempt(place, 1)
        assert status == 79
        assert "waiting: 2 operations wait for approval" in errors
        assert [verdict["outcome"] for verdict in verdicts] == ["awaited", "awaited"]
        first, second = asking(place)
        place.forge.comment(7, "bob", f"/ciguard approve {reference(second)}")
        status, _, verdicts = await attempt(place, 2)
        assert status == 79
        # Both calls are alike, so either may have the one approval; the other is asked about anew.
        assert sorted(str(verdict["outcome"]) for verdict in verdicts) == ["awaited", "released"]
        assert [verdict["comment"] for verdict in verdicts if verdict["outcome"] == "released"] == [second.id]
        assert "Approved by @bob" not in first.body
