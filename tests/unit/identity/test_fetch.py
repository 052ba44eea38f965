from __future__ import annotations

import socket
import threading
from collections.abc import Iterator

import pytest

from ciguard.errors import IdentityRefused
from ciguard.identity import fetch
from ciguard.identity.fetch import check_url, get_json
from ciguard.testing.issuer import Answer, Issuer, Request, json_answer


@pytest.fixture
def server() -> Iterator[Issuer]:
    with Issuer() as server:
        yield server


@pytest.fixture(autouse=True)
def no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fetch, "PAUSE", 0)


@pytest.mark.parametrize(
    "url",
    [
        "https://id.example.com",
        "https://id.example.com:8443/_services/token",
        "http://127.0.0.1:8080/x",
        "http://127.9.9.9/",
        "http://[::1]:8080/",
        "http://localhost/",
    ],
)
def test_usable_addresses(url: str) -> None:
    assert check_url(url, "it").geturl() == url


@pytest.mark.parametrize(
    "url",
    [
        "http://id.example.com",
        "http://127.0.0.1.example.com",
        "http://localhost.example.com",
        "http://0.0.0.0/",
        "http://10.0.0.1/",
        "http://2130706433/",
        "ftp://127.0.0.1/",
        "file:///etc/passwd",
        "//id.example.com",
        "id.example.com",
        "",
        "https://",
        "https://user:password@id.example.com",
        "https://@id.example.com",
        "https://id.example.com:0",
        "https://id.example.com:99999",
        "https://id.example.com/#x",
        "https://id.example.com/a b",
        "https://id.example.com/\n",
        "https://[::1",
        "https://é.example.com",
    ],
)
def test_unusable_addresses(url: str) -> None:
    with pytest.raises(IdentityRefused, match="the address of it is not"):
        check_url(url, "it")


def test_a_document_is_read(server: Issuer) -> None:
    server.routes["/x"] = lambda _: json_answer({"a": [1]})
    assert get_json(f"{server.url}/x?y=1", purpose="it") == {"a": [1]}
    assert server.requests == [Request("/x", {"y": ["1"]}, server.requests[0].headers)]
    assert "authorization" not in server.requests[0].headers


def test_a_proxy_is_not_asked_for_this_machine(server: Issuer, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.delenv("no_proxy", raising=False)
    server.routes["/x"] = lambda _: json_answer(7)
    assert get_json(f"{server.url}/x", purpose="it") == 7


@pytest.mark.parametrize(
    ("answer", "cause", "requests"),
    [
        (Answer(b"{}", 404), "status 404", 1),
        (Answer(b"{}", 204), "status 204", 1),
        (Answer(b"{}", 500), "status 500", 3),
        (Answer(b"{}", 429), "status 429", 3),
        (Answer(b"", 301, {"location": "/y"}), "a redirect, which is not followed", 1),
        (Answer(b"", 307, {"location": "http://127.0.0.1:1/"}), "a redirect, which is not followed", 1),
        (Answer(b"{"), "is not JSON", 1),
        (Answer(b'{"a": 1, "a": 2}'), "is not JSON", 1),
        (Answer(b"[" * 100_000), "is not JSON", 1),
        (Answer(b" " * (fetch.SIZE_LIMIT + 1)), "larger than", 1),
        (Answer(b"\x1f\x8b", 200, {"content-encoding": "gzip"}), "compressed", 1),
    ],
)
def test_what_is_not_a_document(server: Issuer, answer: Answer, cause: str, requests: int) -> None:
    server.routes["/x"] = lambda _: answer
    server.routes["/y"] = lambda _: json_answer(7)
    with pytest.raises(IdentityRefused, match=cause) as refusal:
        get_json(f"{server.url}/x", purpose="it", bearer="s3cret")
    assert len(server.requests) == requests
    assert "s3cret" not in f"{refusal.value!r} {refusal.value.remedy}"
    assert refusal.value.cause.startswith("it ")


def test_a_passing_failure_passes(server: Issuer) -> None:
    answers = [Answer(b"", 502), json_answer(7)]
    server.routes["/x"] = lambda _: answers.pop(0)
    assert get_json(f"{server.url}/x", purpose="it") == 7


@pytest.mark.parametrize("bearer", ["a\r\nx: y", "a\n", "é"])
def test_a_bearer_that_is_no_header_value_is_refused(server: Issuer, bearer: str) -> None:
    with pytest.raises(IdentityRefused, match="malformed"):
        get_json(f"{server.url}/x", purpose="it", bearer=bearer)
    assert server.requests == []


def test_nobody_there() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    with pytest.raises(IdentityRefused, match=f"it could not be had from 127.0.0.1:{port}: ConnectError"):
        get_json(f"http://127.0.0.1:{port}/", purpose="it")


@pytest.mark.parametrize("begin", [b"", b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n", b"garbage\r\n\r\n"])
def test_a_server_that_breaks_off(begin: bytes) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            for _ in range(fetch.ATTEMPTS):
                connection, _ = listener.accept()
                with connection:
                    connection.recv(65536)
                    connection.sendall(begin)

        thread = threading.Thread(target=serve)
        thread.start()
        with pytest.raises(IdentityRefused, match="it could not be had"):
            get_json(f"http://127.0.0.1:{listener.getsockname()[1]}/", purpose="it")
        thread.join()


def test_a_server_that_drips_is_left(server: Issuer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each byte comes in time, the whole never would."""
    monkeypatch.setattr(fetch, "TOTAL_TIMEOUT", 0.2)
    monkeypatch.setattr(fetch, "ATTEMPTS", 1)
    stop = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.recv(65536)
                connection.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: 100000\r\n\r\n")
                while not stop.wait(0.02):
                    try:
                        connection.sendall(b" ")
                    except OSError:
                        return

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            with pytest.raises(IdentityRefused, match="took too long"):
                get_json(f"http://127.0.0.1:{listener.getsockname()[1]}/", purpose="it")
        finally:
            stop.set()
            thread.join()


def test_a_silent_server_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fetch, "READ_TIMEOUT", 0.05)
    with socket.create_server(("127.0.0.1", 0)) as listener, pytest.raises(IdentityRefused, match="ReadTimeout"):
        get_json(f"http://127.0.0.1:{listener.getsockname()[1]}/", purpose="it")
