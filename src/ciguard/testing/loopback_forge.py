"""What the stand-in forges share: serving on loopback, remembering what was asked, and going wrong when told to."""

from __future__ import annotations

import contextlib
import re
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Self
from urllib.parse import parse_qs, urlsplit

Reply = tuple[int, dict[str, str], bytes]
"""Status, headers and body of an answer."""


@dataclass(frozen=True, slots=True)
class Call:
    """One request that was answered; ``counted`` when it took from the rate limit."""

    method: str
    path: str
    query: Mapping[str, list[str]]
    status: int
    counted: bool


@dataclass(slots=True)
class Fault:
    """What goes wrong with the next ``times`` requests whose method and path match ``pattern``.

    ``status`` 0 hangs up without an answer; None answers as usual, after ``delay`` seconds.
    """

    pattern: str
    times: int
    status: int | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    body: str = '{"message": "Server Error"}'
    delay: float = 0.0


class Refusal(Exception):
    """An error of the API."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class LoopbackForge(ABC):
    """A forge; a context manager that serves while it is entered.

    ``calls`` holds what was asked, ``surprises`` what no such API has, ``faults`` what is to go wrong next.
    """

    def __init__(self) -> None:
        self.calls: list[Call] = []
        self.surprises: list[str] = []
        self.faults: list[Fault] = []
        self._lock = threading.RLock()

    @property
    def url(self) -> str:
        """The address that it is served at, while it is entered."""
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    @property
    def counted(self) -> int:
        """How many requests took from the rate limit."""
        return sum(call.counted for call in self.calls)

    def fail(
        self,
        times: int = 1,
        *,
        status: int | None = 502,
        pattern: str = "",
        headers: Mapping[str, str] | None = None,
        body: str = '{"message": "Server Error"}',
        delay: float = 0.0,
    ) -> None:
        """Let the next ``times`` requests that match ``pattern`` (``GET /repos/...``) go wrong; see Fault."""
        self.faults.append(Fault(pattern, times, status, headers or {}, body, delay))

    def __enter__(self) -> Self:
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._server.daemon_threads = True
        self._thread = threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, name="forge", daemon=True
        )
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def handle(self, method: str, target: str, headers: Mapping[str, str], body: bytes) -> Reply | None:
        """Answer a request; None to hang up."""
        parts = urlsplit(target)
        query = parse_qs(parts.query, keep_blank_values=True)
        fault = self._fault(f"{method} {parts.path}")
        if fault and fault.delay:
            time.sleep(fault.delay)
        with self._lock:
            if fault and fault.status is not None:
                self.calls.append(Call(method, parts.path, query, fault.status, counted=True))
                return (fault.status, dict(fault.headers), fault.body.encode()) if fault.status else None
            reply, counted = self._served(method, parts.path, query, headers, body)
            self.calls.append(Call(method, parts.path, query, reply[0], counted))
            return reply

    @abstractmethod
    def _served(
        self, method: str, path: str, query: Mapping[str, list[str]], headers: Mapping[str, str], body: bytes
    ) -> tuple[Reply, bool]:
        """The answer, and whether it takes from the rate limit."""

    def _fault(self, request: str) -> Fault | None:
        with self._lock:
            found = next((one for one in self.faults if one.times > 0 and re.search(one.pattern, request)), None)
            if found:
                found.times -= 1
            return found


def _handler(forge: LoopbackForge) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        timeout = 30

        def handle(self) -> None:
            # A client that has read enough hangs up; that is its right.
            with contextlib.suppress(ConnectionError):
                super().handle()

        def answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length") or 0))
            headers = {name.lower(): value for name, value in self.headers.items()}
            answered = forge.handle(self.command, self.path, headers, body)
            if answered is None:
                self.close_connection = True
                return
            status, extra, raw = answered
            self.send_response_only(status)
            for name, value in {"content-type": "application/json; charset=utf-8", **extra}.items():
                self.send_header(name, value)
            if status != 304:
                self.send_header("content-length", str(len(raw)))
            self.end_headers()
            self.wfile.write(raw)

        def do_GET(self) -> None:
            self.answer()

        def do_POST(self) -> None:
            self.answer()

        def do_PUT(self) -> None:
            self.answer()

        def do_PATCH(self) -> None:
            self.answer()

        def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
            """Keep quiet: what was asked is in ``calls``."""

    return Handler
