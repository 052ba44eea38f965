"""The CI job that ciguard runs in, in words that fit both forges."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Forge(StrEnum):
    """The forges whose jobs have an identity that ciguard can verify."""

    GITHUB = "github"
    GITLAB = "gitlab"


@dataclass(frozen=True, slots=True)
class ChangeRequest:
    """The pull request (GitHub) or merge request (GitLab) that a job runs for.

    ``base_ref`` is a branch name without ``refs/heads/``. ``base_sha`` is the base branch's commit as the forge told
    the job, empty where it does not say (a GitLab pipeline that is not one for merged results). ``from_fork`` is true
    when the change comes from another repository than the one it would be merged into.
    """

    number: int
    base_ref: str
    base_sha: str
    head_sha: str
    from_fork: bool


@dataclass(frozen=True, slots=True)
class Job:
    """One CI job, as its environment describes it: nothing here is proven until the identity token agrees.

    ==============  ==================================  =====================================
    field           GitHub                              GitLab
    ==============  ==================================  =====================================
    repository      ``owner/name``                      project path with its groups
    event           event name                          pipeline source
    sha, ref        commit and full ref of the run      commit and branch or tag name
    run_id          workflow run id                     pipeline id
    run_attempt     attempt number                      job id (a retried job has a new one)
    actor           login that started the run          login that started the job
    name            the job's id in its workflow        (empty)
    ==============  ==================================  =====================================

    ``change`` is None when the job runs for no change request. ``issue`` is the number of the issue, or of the pull
    request, that an event about an issue or a comment is about.
    """

    forge: Forge
    repository: str
    event: str
    sha: str
    ref: str
    run_id: str
    run_attempt: str
    actor: str
    run_url: str
    server_url: str
    change: ChangeRequest | None
    issue: int | None = None
    name: str = ""

    @property
    def artifacts_url(self) -> str:
        """The page that lists what the job left, once that is uploaded."""
        match self.forge:
            case Forge.GITHUB:
                return f"{self.server_url}/{self.repository}/actions/runs/{self.run_id}#artifacts"
            case Forge.GITLAB:
                return f"{self.run_url}/artifacts/browse"
