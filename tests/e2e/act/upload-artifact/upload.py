"""Uploads directories and files as a workflow artifact, speaking to the runner's artifact service.

The protocol is version 4 of the ``@actions/artifact`` package: CreateArtifact answers with an address, the zip is put
there, FinalizeArtifact closes it. Left out: several blocks, retries, glob patterns, hidden files.
"""

from __future__ import annotations

import base64
import hashlib
import io
import json
import os
import urllib.parse
import urllib.request
import zipfile
from pathlib import Path
from typing import Any

SERVICE = "twirp/github.actions.results.api.v1.ArtifactService"


def files_of(paths: list[Path]) -> list[Path]:
    """Every file at or under ``paths``."""
    return [file for path in paths for file in [path, *sorted(path.rglob("*"))] if file.is_file()]


def packed(files: list[Path], root: Path) -> bytes:
    """A zip of ``files``, named from ``root``."""
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w", zipfile.ZIP_DEFLATED) as archive:
        for file in files:
            archive.write(file, file.relative_to(root))
    return data.getvalue()


def call(method: str, token: str, message: dict[str, Any]) -> dict[str, Any]:
    """The service's answer to one call."""
    request = urllib.request.Request(
        f"{os.environ['ACTIONS_RESULTS_URL']}{SERVICE}/{method}",
        data=json.dumps(message).encode(),
        headers={"Authorization": f"Bearer {token}", "Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=10) as response:
        answer: dict[str, Any] = json.load(response)
    if not answer["ok"]:
        raise SystemExit(f"{method} was refused: {answer}")
    return answer


def put(address: str, data: bytes) -> None:
    """Store ``data`` at a signed address, as the Azure client does: a block, then the list of blocks."""
    block = base64.b64encode(b"block-0").decode()
    for query, body in (
        (f"comp=block&blockid={urllib.parse.quote(block)}", data),
        ("comp=blocklist", f"<BlockList><Latest>{block}</Latest></BlockList>".encode()),
    ):
        request = urllib.request.Request(f"{address}&{query}", data=body, method="PUT")
        with urllib.request.urlopen(request, timeout=10):
            pass


def backend_ids(token: str) -> tuple[str, str]:
    """The run's and the job's ids, which the runtime token carries in its scope ``Actions.Results:RUN:JOB``."""
    payload = token.split(".")[1]
    claims = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    scope = next(scope for scope in claims["scp"].split() if scope.startswith("Actions.Results:"))
    _, run, job = scope.split(":")
    return run, job


def main() -> None:
    """Upload, and set the outputs of the real action."""
    name = os.environ["ARTIFACT_NAME"]
    paths = [Path(line.strip()) for line in os.environ["ARTIFACT_PATH"].splitlines() if line.strip()]
    files = files_of(paths)
    int(os.environ["ARTIFACT_RETENTION_DAYS"])
    if not files:
        print(f"::warning::No files were found with the provided path: {paths}. No artifacts will be uploaded.")
        return
    # Names begin at what all the paths share, whether or not there are files at each.
    data = packed(files, Path(os.path.commonpath(paths)))
    token = os.environ["ACTIONS_RUNTIME_TOKEN"]
    run, job = backend_ids(token)
    artifact = {"workflow_run_backend_id": run, "workflow_job_run_backend_id": job, "name": name}
    created = call("CreateArtifact", token, {**artifact, "version": 4})
    put(created["signedUploadUrl"], data)
    finalized = call("FinalizeArtifact", token, {**artifact, "size": str(len(data))})
    number = finalized["artifactId"]
    server, repository = os.environ["GITHUB_SERVER_URL"], os.environ["GITHUB_REPOSITORY"]
    with Path(os.environ["GITHUB_OUTPUT"]).open("a", encoding="utf-8") as output:
        output.write(f"artifact-id={number}\n")
        output.write(f"artifact-url={server}/{repository}/actions/runs/{run}/artifacts/{number}\n")
        output.write(f"artifact-digest={hashlib.sha256(data).hexdigest()}\n")


if __name__ == "__main__":
    main()
