"""A webhook's other end, over real HTTP on loopback."""

from __future__ import annotations

import http.server
import threading
from collections.abc import Mapping
from typing import Self


class Receiver(http.server.ThreadingHTTPServer):
    """A webhook that keeps what it gets and answers with ``status``, once ``gate`` is open."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.got: list[tuple[str, Mapping[str, str], bytes]] = []
        self.status = 200
        self.gate = threading.Event()
        self.gate.set()
        self._thread = threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.02})

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.gate.set()
        self.shutdown()
        self._thread.join()
        self.server_close()

    @property
    def url(self) -> str:
        """Its address."""
        return f"http://127.0.0.1:{self.server_address[1]}/services/T0/B0/xyz"


class _Handler(http.server.BaseHTTPRequestHandler):
    server: Receiver

    def do_POST(self) -> None:
        """Keep a message."""
        body = self.rfile.read(int(self.headers["content-length"]))
        self.server.got.append((self.path, {name.lower(): value for name, value in self.headers.items()}, body))
        self.server.gate.wait(20)
        try:
            self.send_response(self.server.status)
            self.send_header("location", "/elsewhere")
            self.send_header("content-length", "0")
            self.end_headers()
        except ConnectionError:
            self.close_connection = True

    def do_GET(self) -> None:
        """A redirect that was followed."""
        self.do_POST()

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        """Keep quiet."""
