"""GitHub and GitLab: the same protocol twice."""

from __future__ import annotations

from collections.abc import Mapping

from ciguard.errors import IdentityRefused
from ciguard.forge.job import Job


def current_job(environ: Mapping[str, str]) -> Job | None:
    """The GitHub or GitLab job that ``environ`` describes, or None outside of both.

    A bare ``CI=true`` is no such job: many tools set it, and it comes with no identity. Raises IdentityRefused when
    the job's description is incomplete or contradicts itself.
    """
    match environ.get("GITHUB_ACTIONS") == "true", environ.get("GITLAB_CI") == "true":
        case True, True:
            raise IdentityRefused(
                "the environment says that this is a GitHub job and a GitLab job",
                "unset GITHUB_ACTIONS or GITLAB_CI, whichever does not belong to the job that runs this step",
            )
        case True, False:
            from ciguard.forge import github

            return github.job(environ)
        case False, True:
            from ciguard.forge import gitlab

            return gitlab.job(environ)
    return None
