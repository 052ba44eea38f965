"""The stand-in GitLab with git repositories in it, which it serves over HTTP to who has a job's token."""

from __future__ import annotations

import base64
import os
import re
import subprocess
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlsplit

from ciguard.testing.gitlab_forge import GitLabForge
from ciguard.testing.loopback_forge import Reply
from tests.e2e.repository import Repository


class GitLabServer(GitLabForge):
    """The forge, with bare repositories at ``repositories/PROJECT.git``.

    ``job_tokens`` open them; ``fetched`` names the projects that somebody fetched from.
    """

    def __init__(self, repositories: Path) -> None:
        super().__init__()
        self.repositories = repositories
        self.job_tokens: set[str] = set()
        self.fetched: list[str] = []

    def publish(self, project: str, source: Repository, *references: str) -> None:
        """Take ``references`` of ``source`` into the repository of ``project``, which may be new."""
        served = self.repositories / f"{project}.git"
        source.git("init", "--quiet", "--bare", str(served))
        source.git("push", "--quiet", str(served), *references)

    def handle(self, method: str, target: str, headers: Mapping[str, str], body: bytes) -> Reply | None:
        """See LoopbackForge; what git asks for is answered by git's own server program (git-http-backend(1))."""
        asked = urlsplit(target)
        found = re.fullmatch(r"/(?P<project>[\w./-]+)\.git/(?P<service>info/refs|git-upload-pack)", asked.path)
        if found is None:
            return super().handle(method, target, headers, body)
        if self._token(headers.get("authorization", "")) not in self.job_tokens:
            return 401, {"www-authenticate": 'Basic realm="GitLab"'}, b"HTTP Basic: Access denied\n"
        if found["service"] == "git-upload-pack":
            self.fetched.append(found["project"])
        answered = subprocess.run(
            ["git", "http-backend"],
            input=body,
            env={
                "PATH": os.environ["PATH"],
                "GIT_PROJECT_ROOT": str(self.repositories),
                "GIT_HTTP_EXPORT_ALL": "1",
                "PATH_INFO": asked.path,
                "QUERY_STRING": asked.query,
                "REQUEST_METHOD": method,
                "CONTENT_TYPE": headers.get("content-type", ""),
                "CONTENT_LENGTH": str(len(body)),
                "HTTP_CONTENT_ENCODING": headers.get("content-encoding", ""),
                "GIT_PROTOCOL": headers.get("git-protocol", ""),
            },
            capture_output=True,
            check=True,
        )
        head, _, content = answered.stdout.partition(b"\r\n\r\n")
        given = dict(line.split(": ", 1) for line in head.decode().split("\r\n"))
        status = int(given.pop("Status", "200").split()[0])
        return status, {name.lower(): value for name, value in given.items()}, content

    def _token(self, authorization: str) -> str:
        kind, _, credentials = authorization.partition(" ")
        user, _, password = base64.b64decode(credentials).decode().partition(":") if kind == "Basic" else ("", "", "")
        return password if user == "gitlab-ci-token" else ""
