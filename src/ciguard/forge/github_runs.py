"""Workflow runs of GitHub: how one stands, running its failed jobs again, and who let it into an environment.

Source: GitHub's REST reference, "Workflow runs" and "Workflow jobs".
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import msgspec

from ciguard.forge.answer import convert
from ciguard.forge.github_api import GitHubApi


@dataclass(frozen=True, slots=True)
class WorkflowRun:
    """A run as its newest attempt stands: the event and the commit that it is for, and whether it is over."""

    attempt: int
    event: str
    head: str
    completed: bool


class _Run(msgspec.Struct):
    id: int
    run_attempt: int
    event: str
    head_sha: str
    status: str | None


async def find_run(api: GitHubApi, repository: str, number: str) -> WorkflowRun:
    """Run ``number`` of ``repository``. Raises ForgeTrouble, with the status 404 when it has none."""
    answer = await api.get(f"/repos/{repository}/actions/runs/{number}")
    run = convert(answer.value, _Run, "GitHub")
    return WorkflowRun(run.run_attempt, run.event, run.head_sha, run.status == "completed")


async def run_failed_jobs_again(api: GitHubApi, repository: str, number: str) -> None:
    """A new attempt of the run, of its failed jobs and of what needs them. Raises ForgeTrouble."""
    await api.send("POST", f"/repos/{repository}/actions/runs/{number}/rerun-failed-jobs", None)


class _User(msgspec.Struct):
    id: int
    login: str


class _Environment(msgspec.Struct):
    name: str


class _Review(msgspec.Struct):
    state: str
    user: _User
    environments: list[_Environment]


@dataclass(frozen=True, slots=True)
class Review:
    """Somebody let a run into an environment: the account's id and name."""

    account: int
    login: str


async def reviews(api: GitHubApi, repository: str, number: str, environment: str) -> Sequence[Review]:
    """Who let the run into ``environment``, in any of its attempts. Raises ForgeTrouble."""
    answer = await api.get(f"/repos/{repository}/actions/runs/{number}/approvals")
    return [
        Review(review.user.id, review.user.login)
        for review in convert(answer.value, list[_Review], "GitHub")
        if review.state == "approved" and environment in [one.name for one in review.environments]
    ]
