"""``ciguard resume``: run a job again whose session waits for people, once they have decided."""

from __future__ import annotations

import argparse
import asyncio
import os
from collections.abc import Sequence
from datetime import timedelta
from typing import TYPE_CHECKING

from ciguard.cli.parser import Parser

if TYPE_CHECKING:
    from ciguard.approvals.person import Account
    from ciguard.approvals.rerunning import Open
    from ciguard.approvals.ruling import Ruling
    from ciguard.approvals.waiting import Clock
    from ciguard.forge.github import CommentEvent
    from ciguard.forge.github_api import GitHubApi
    from ciguard.forge.github_thread import GitHubThread

EPILOG = """\
example:
  ciguard resume

It runs in a workflow on issue_comment and needs a token (CIGUARD_GITHUB_TOKEN or GITHUB_TOKEN) with actions: write,
issues: read and pull-requests: read. It decides no more than that a run is worth starting again: what passes then is
decided by the guard that runs there.

exit status: 0 also when there is nothing to do, which is said; 64 for another event; 75 when GitHub cannot be asked.
"""

LONGEST_RUN = timedelta(days=30)
"""A run can be started again for so long; older requests are of no use."""

PATIENCE = timedelta(minutes=10)
"""How long other jobs of the run may still take. A run that is not over cannot be started again."""

INTERVAL = 10.0
"""Seconds between two looks at a run that is not over."""

NEEDS = (
    "give the job's token these permissions, in the workflow:\n"
    "permissions:\n"
    "  actions: write\n"
    "  issues: read\n"
    "  pull-requests: read"
)


def main(arguments: Sequence[str]) -> int:
    """Run ``ciguard resume ARGUMENTS`` and return its exit status."""
    parser = Parser(
        prog="ciguard resume",
        description="Run the failed jobs of a workflow run again, once people have decided on what its session waits "
        "for. The comment that a workflow was started for must answer a request of that session.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.parse_args(arguments)
    from ciguard.approvals.instruction import reference
    from ciguard.errors import ApprovalUnavailable
    from ciguard.forge.github import approval_token, comment_event
    from ciguard.forge.github_desk import api_of

    environ = dict(os.environ)
    event = comment_event(environ)
    asked = reference(event.body, prefix="/ciguard")
    if not asked:
        print("nothing to do: the comment answers no request")
        return 0
    token = approval_token(environ)
    if not token:
        raise ApprovalUnavailable("there is no token for GitHub", "set CIGUARD_GITHUB_TOKEN for this step")
    api = api_of(environ, token)
    try:
        print(asyncio.run(_resumed(api, event, asked)))
    finally:
        api.close()
    return 0


async def _resumed(api: GitHubApi, event: CommentEvent, asked: str) -> str:
    """What was done, or why nothing was."""
    from ciguard.approvals.clock import SteadyClock
    from ciguard.approvals.rerunning import missing, requests, same_attempt
    from ciguard.errors import ApprovalUnavailable
    from ciguard.forge.desk import prepared
    from ciguard.forge.github_runs import find_run, run_failed_jobs_again
    from ciguard.forge.github_thread import GitHubThread
    from ciguard.forge.thread import Freshness, Posted

    clock, repository = SteadyClock(), event.repository
    thread = GitHubThread(api, repository, event.number, pull=event.pull)
    since = Posted(0, clock.now() - LONGEST_RUN, "")
    what = f"the comments of {repository}#{event.number} cannot be read"
    comments = await prepared(lambda: thread.comments(since, Freshness.ANEW), what, NEEDS, clock)
    every = requests(comments)
    for one in [one for one in every if one.marker.reference == asked]:
        if await _may_ask(thread, one.author, clock):
            found = same_attempt(every, one)
            break
    else:
        return f"nothing to do: no request {asked} waits here"
    if why := missing([await _ruling(thread, one, clock) for one in found]):
        return f"nothing to do: {why}"
    run, attempt = found[0].marker.run, int(found[0].marker.attempt)
    what, until = f"run {run} of {repository} cannot be started again", clock.now() + PATIENCE
    state = await prepared(lambda: find_run(api, repository, run), what, NEEDS, clock)
    while state.attempt == attempt and not state.completed and clock.now() < until:
        await clock.sleep(INTERVAL)
        state = await prepared(lambda: find_run(api, repository, run), what, NEEDS, clock)
    if state.attempt != attempt:
        return f"nothing to do: run {run} is at attempt {state.attempt}, and the answer is for the one after {attempt}"
    if state.event == "pull_request" and state.head != found[0].marker.head:
        return f"nothing to do: run {run} is for another commit"
    if not state.completed:
        return f"not started again: run {run} is not over yet; start its failed jobs again when it is"
    try:
        await prepared(lambda: run_failed_jobs_again(api, repository, run), what, NEEDS, clock)
    except ApprovalUnavailable:
        # Two comments may come at the same time, with a workflow for each.
        if (await prepared(lambda: find_run(api, repository, run), what, NEEDS, clock)).attempt == attempt:
            raise
    return f"run {run} runs again: attempt {attempt + 1}"


async def _may_ask(thread: GitHubThread, author: Account, clock: Clock) -> bool:
    """Whether a request of ``author`` is looked at: a job's own account, an app's, or somebody's who can write."""
    from ciguard.approvals.person import Role
    from ciguard.forge.desk import prepared

    if not author.human:
        # A deleted account has no id.
        return author.id != 0
    standing = await prepared(lambda: thread.standing(author, ()), "a role cannot be read", NEEDS, clock)
    return standing is not None and standing.role >= Role.WRITE


async def _ruling(thread: GitHubThread, one: Open, clock: Clock) -> Ruling:
    """What a request comes to, as far as its marker can be believed."""
    from ciguard.approvals.looking import Look
    from ciguard.forge.desk import prepared

    look = Look(one.request(thread.prefix), thread, clock, set())
    return await prepared(lambda: look.anew(one.posted), "the answers cannot be read", NEEDS, clock)
