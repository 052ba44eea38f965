"""Cuts GitHub's published REST description down to what the stand-in forge answers, for its tests.

    npm pack @octokit/openapi && tar -xzf octokit-openapi-*.tgz
    .venv/bin/python scripts/github_description.py package

The whole description is a package of 400 MB. Source: https://github.com/octokit/openapi, MIT licence.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

TARGET = Path(__file__).parents[1] / "tests" / "unit" / "testing" / "github_rest.json"
REPOSITORY = "/repos/{owner}/{repo}"
OPERATIONS = (
    ("get", f"{REPOSITORY}/issues/{{issue_number}}/comments", 200),
    ("post", f"{REPOSITORY}/issues/{{issue_number}}/comments", 201),
    ("patch", f"{REPOSITORY}/issues/comments/{{comment_id}}", 200),
    ("post", f"{REPOSITORY}/issues/comments/{{comment_id}}/reactions", 201),
    ("post", f"{REPOSITORY}/issues", 201),
    ("get", f"{REPOSITORY}/issues/{{issue_number}}", 200),
    ("get", f"{REPOSITORY}/pulls/{{pull_number}}", 200),
    ("post", f"{REPOSITORY}/pulls/{{pull_number}}/requested_reviewers", 201),
    ("get", f"{REPOSITORY}/collaborators/{{username}}/permission", 200),
    ("get", "/orgs/{org}/teams/{team_slug}", 200),
    ("get", "/orgs/{org}/teams/{team_slug}/memberships/{username}", 200),
    ("get", "/users/{username}", 200),
    ("get", f"{REPOSITORY}/actions/runs/{{run_id}}", 200),
    ("post", f"{REPOSITORY}/actions/runs/{{run_id}}/rerun-failed-jobs", 201),
    ("get", f"{REPOSITORY}/actions/runs/{{run_id}}/approvals", 200),
    ("get", f"{REPOSITORY}/installation", 200),
    ("post", "/app/installations/{installation_id}/access_tokens", 201),
)
"""What the stand-in answers when all is well: method, path, status."""

LEFT_OUT = ("description", "example", "examples", "title", "discriminator", "x-github-breaking-changes")
SCHEMAS = "#/components/schemas/"


def reduced(description: dict[str, Any]) -> dict[str, Any]:
    """The schemas of ``OPERATIONS`` and of what they refer to, as JSON Schema."""
    found: dict[str, Any] = {}
    pending: list[str] = []

    def plain(value: Any, *, named: bool = False) -> Any:
        """``value`` without prose; in a mapping of properties (``named``) every key is somebody's name."""
        if isinstance(value, list):
            return [plain(item) for item in value]
        if not isinstance(value, dict):
            return value
        if not named and isinstance(reference := value.get("$ref"), str):
            pending.append(reference.removeprefix(SCHEMAS))
        kept = {
            key: plain(item, named=key == "properties" and not named)
            for key, item in value.items()
            if named or (key not in LEFT_OUT and not key.startswith("x-") and key != "nullable")
        }
        return {"anyOf": [kept, {"type": "null"}]} if not named and value.get("nullable") else kept

    operations: dict[str, Any] = {}
    for method, path, status in OPERATIONS:
        answer = description["paths"][path][method]["responses"][str(status)]
        operations[f"{method.upper()} {path} {status}"] = plain(answer["content"]["application/json"]["schema"])
    while pending:
        name = pending.pop()
        if name not in found:
            found[name] = None
            found[name] = plain(description["components"]["schemas"][name])
    return {"operations": operations, "components": {"schemas": dict(sorted(found.items()))}}


def main(package: Path) -> None:
    """Write the reduced description of the unpacked npm ``package``."""
    version = json.loads((package / "package.json").read_text())["version"]
    description = json.loads((package / "generated" / "api.github.com.json").read_text())
    source = f"@octokit/openapi {version}, MIT licence; cut down by scripts/github_description.py"
    TARGET.write_text(json.dumps({"source": source, **reduced(description)}, separators=(",", ":")) + "\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
