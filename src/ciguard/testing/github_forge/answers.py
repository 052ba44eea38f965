"""GitHub's answers: the JSON of its REST description, with every key that it requires."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from ciguard.operation import Json
from ciguard.testing.github_forge.app import App
from ciguard.testing.github_forge.state import Comment, Issue, Review, Run, State, User

EPOCH = "2020-01-01T00:00:00Z"
USER_URLS = "events followers following gists organizations received_events repos starred subscriptions avatar html"
REPOSITORY_URLS = (
    "archive assignees blobs branches collaborators comments commits compare contents contributors deployments "
    "downloads events forks git_commits git_refs git_tags hooks html issue_comment issue_events issues keys labels "
    "languages merges milestones notifications pulls releases stargazers statuses subscribers subscription tags teams "
    "trees clone git ssh svn"
)
PULL_URLS = "comments commits diff html issue patch review_comment review_comments statuses"
ORGANISATION_URLS = "repos events hooks issues members public_members avatar html"


class Answers:
    """The answers of the forge at ``url`` whose state is ``state``."""

    def __init__(self, state: State, url: str) -> None:
        self._state = state
        self._url = url
        self._here = f"{url}/repos/{state.repository}"

    def user(self, user: User) -> dict[str, Json]:
        """A simple user."""
        where = f"{self._url}/users/{user.login}"
        return {
            "login": user.login,
            "id": user.id,
            "node_id": f"U_{user.id}",
            "gravatar_id": "",
            "url": where,
            "type": user.type,
            "site_admin": False,
            **_urls(where, USER_URLS),
        }

    def public_user(self, user: User) -> dict[str, Json]:
        """A user as ``GET /users/LOGIN`` has it."""
        return {
            **self.user(user),
            **_each("bio company email hireable location name", value=None),
            **_each("followers following public_gists public_repos", value=0),
            **_each("created_at updated_at", value=EPOCH),
            "blog": "",
            "user_view_type": "public",
        }

    def comment(self, comment: Comment) -> dict[str, Json]:
        """An issue comment."""
        where = f"{self._here}/issues/comments/{comment.id}"
        return {
            "id": comment.id,
            "node_id": node_id(comment),
            "url": where,
            "html_url": f"https://github.com/{self._state.repository}/pull/{comment.issue}#issuecomment-{comment.id}",
            "issue_url": f"{self._here}/issues/{comment.issue}",
            "user": self.user(comment.author),
            "author_association": "MEMBER",
            "body": comment.body,
            "created_at": _time(comment.created),
            "updated_at": _time(comment.updated),
            "performed_via_github_app": self._app(comment) if comment.app else None,
            "reactions": {
                "url": f"{where}/reactions",
                "total_count": len(comment.reactions),
                **{
                    content: sum(given == content for _, given in comment.reactions)
                    for content in ("+1", "-1", "laugh", "confused", "heart", "hooray", "eyes", "rocket")
                },
            },
        }

    def reaction(self, user: User, content: str) -> dict[str, Json]:
        """A reaction to a comment."""
        return {"id": 1, "node_id": "R_1", "user": self.user(user), "content": content, "created_at": EPOCH}

    def issue(self, issue: Issue) -> dict[str, Json]:
        """An issue; a pull request is one, too."""
        where = f"{self._here}/issues/{issue.number}"
        pull = _each("url html_url diff_url patch_url", value=f"{self._here}/pulls/{issue.number}")
        return {
            **self._common(issue),
            "url": where,
            "repository_url": self._here,
            "comments": len(self._state.comments(issue.number)),
            **_urls(where, "labels comments events html"),
            **({"pull_request": pull} if issue.head else {}),
        }

    def simple_pull_request(self, issue: Issue) -> dict[str, Json]:
        """A pull request in short."""
        where = f"{self._here}/pulls/{issue.number}"
        links = ("comments", "commits", "statuses", "html", "issue", "review_comments", "review_comment", "self")
        return {
            **self._common(issue),
            "url": where,
            **_urls(where, PULL_URLS),
            "merged_at": None,
            "merge_commit_sha": None,
            "auto_merge": None,
            "requested_reviewers": [self.user(user) for user in issue.reviewers],
            "requested_teams": [],
            "head": self._end("fix-cart", issue.head),
            "base": self._end("main", "b" * 40),
            "_links": {name: {"href": where} for name in links},
        }

    def pull_request(self, issue: Issue) -> dict[str, Json]:
        """A pull request in full."""
        return {
            **self.simple_pull_request(issue),
            **_each("additions changed_files comments commits deletions review_comments", value=0),
            "mergeable": None,
            "mergeable_state": "unknown",
            "merged": False,
            "merged_by": None,
            "maintainer_can_modify": False,
        }

    def run(self, run: Run) -> dict[str, Json]:
        """A workflow run."""
        where = f"{self._here}/actions/runs/{run.id}"
        return {
            "id": run.id,
            "node_id": f"WFR_{run.id}",
            "name": "Agent",
            "head_branch": "fix-cart",
            "head_sha": run.head,
            "path": ".github/workflows/agent.yml",
            "display_title": "Repair the cart",
            "run_number": 12,
            "run_attempt": run.attempt,
            "event": run.event,
            "status": run.status,
            "conclusion": run.conclusion,
            "workflow_id": 31,
            "url": where,
            "pull_requests": [],
            "created_at": EPOCH,
            "updated_at": EPOCH,
            "head_commit": None,
            "repository": self._repository(),
            "head_repository": self._repository(),
            **_urls(where, "jobs logs check_suite artifacts cancel rerun html"),
            "workflow_url": f"{self._here}/actions/workflows/31",
        }

    def review(self, review: Review) -> dict[str, Json]:
        """What somebody said to letting a run into an environment."""
        where = f"{self._here}/environments/{review.environment}"
        environment: Json = {
            "id": 41,
            "node_id": "E_41",
            "name": review.environment,
            "url": where,
            "html_url": where,
            "created_at": EPOCH,
            "updated_at": EPOCH,
        }
        return {"environments": [environment], "state": review.state, "user": self.user(review.user), "comment": ""}

    def permission(self, user: User) -> dict[str, Json]:
        """What somebody may do: ``permission`` knows no role between write and admin, ``role_name`` does."""
        role = self._state.roles.get(user.login.lower(), "none")
        legacy = {"triage": "read", "maintain": "write"}.get(role, role)
        return {"permission": legacy, "role_name": role, "user": {**self.user(user), "role_name": role}}

    def team(self, name: str) -> dict[str, Json]:
        """A team in full."""
        organisation, _, slug = name.partition("/")
        where = f"{self._url}/orgs/{organisation}/teams/{slug}"
        there = f"{self._url}/orgs/{organisation}"
        return {
            "id": 51,
            "node_id": "T_51",
            "url": where,
            "html_url": where,
            "members_url": f"{where}/members",
            "repositories_url": f"{where}/repos",
            "name": slug,
            "slug": slug,
            "description": None,
            "permission": "push",
            "type": "organization",
            "created_at": EPOCH,
            "updated_at": EPOCH,
            "members_count": len(self._state.teams[name]),
            "repos_count": 1,
            "organization": {
                "login": organisation,
                "id": 52,
                "node_id": "O_52",
                "url": there,
                "description": None,
                "type": "Organization",
                "has_organization_projects": True,
                "has_repository_projects": True,
                "created_at": EPOCH,
                "updated_at": EPOCH,
                "archived_at": None,
                **_each("public_repos public_gists followers following", value=0),
                **_urls(there, ORGANISATION_URLS),
            },
        }

    def membership(self, name: str, login: str) -> dict[str, Json]:
        """That somebody is in a team."""
        organisation, _, slug = name.partition("/")
        where = f"{self._url}/orgs/{organisation}/teams/{slug}/memberships/{login}"
        return {"url": where, "role": "member", "state": "active"}

    def installation(self, app: App) -> dict[str, Json]:
        """That an App is installed for the repository."""
        where = f"{self._url}/app/installations/{app.installation}"
        return {
            "id": app.installation,
            "account": self._owner(),
            "access_tokens_url": f"{where}/access_tokens",
            "repositories_url": f"{self._url}/installation/repositories",
            "html_url": f"https://github.com/settings/installations/{app.installation}",
            "app_id": 61,
            "app_slug": app.slug,
            "target_id": 410001,
            "target_type": "Organization",
            "repository_selection": "selected",
            "permissions": dict(app.permissions),
            "events": [],
            "created_at": EPOCH,
            "updated_at": EPOCH,
            **_each("single_file_name suspended_by suspended_at", value=None),
        }

    def installation_token(self, token: str, expires: datetime, permissions: Mapping[str, str]) -> dict[str, Json]:
        """A new token of an installation."""
        return {
            "token": token,
            "expires_at": _time(expires),
            "permissions": dict(permissions),
            "repository_selection": "selected",
        }

    def _common(self, issue: Issue) -> dict[str, Json]:
        return {
            "id": 9000 + issue.number,
            "node_id": f"I_{issue.number}",
            "number": issue.number,
            "state": "open",
            "locked": False,
            "title": issue.title,
            "body": issue.body,
            "user": self.user(issue.author),
            "labels": [],
            "assignee": None,
            "milestone": None,
            "author_association": "MEMBER",
            "created_at": _time(issue.created),
            "updated_at": _time(issue.created),
            "closed_at": None,
        }

    def _end(self, ref: str, sha: str) -> dict[str, Json]:
        owner = self._state.repository.partition("/")[0]
        return {"label": f"{owner}:{ref}", "ref": ref, "sha": sha, "user": self._owner(), "repo": self._repository()}

    def _owner(self) -> dict[str, Json]:
        return self.user(User(410001, self._state.repository.partition("/")[0], "Organization"))

    def _repository(self) -> dict[str, Json]:
        return {
            "id": 820001,
            "node_id": "R_820001",
            "name": self._state.repository.partition("/")[2],
            "full_name": self._state.repository,
            "owner": self._owner(),
            "private": True,
            "url": self._here,
            "default_branch": "main",
            **_each("fork has_downloads has_issues has_projects has_wiki has_pages archived disabled", value=False),
            **_each("forks forks_count open_issues open_issues_count", value=0),
            **_each("size stargazers_count watchers watchers_count", value=0),
            **_each("description homepage language mirror_url license", value=None),
            **_each("pushed_at created_at updated_at", value=EPOCH),
            **_urls(self._here, REPOSITORY_URLS),
        }

    def _app(self, comment: Comment) -> dict[str, Json]:
        return {
            "id": 61,
            "node_id": "A_61",
            "slug": comment.app,
            "name": comment.app,
            "owner": self._owner(),
            "description": None,
            "external_url": "https://app.example.com",
            "html_url": f"https://github.com/apps/{comment.app}",
            "created_at": EPOCH,
            "updated_at": EPOCH,
            "permissions": {"issues": "write"},
            "events": [],
        }


def node_id(comment: Comment) -> str:
    """The id that GraphQL knows a comment by."""
    return f"IC_{comment.id}"


def _urls(where: str, names: str) -> dict[str, Json]:
    return {f"{name}_url": f"{where}/{name}" for name in names.split()}


def _each(names: str, *, value: Json) -> dict[str, Json]:
    return dict.fromkeys(names.split(), value)


def _time(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")
