"""An answer that is at hand as a whole: head and body leave in one piece."""

from __future__ import annotations

from collections.abc import Iterable

from aiohttp.abc import AbstractStreamWriter
from aiohttp.helpers import rfc822_formatted_time
from aiohttp.http import HttpVersion10, HttpVersion11
from aiohttp.web_request import BaseRequest
from aiohttp.web_response import StreamResponse


class WholeAnswer(StreamResponse):
    """``status``, ``headers`` and ``body``, framed by its length.

    On the wire it is what :class:`aiohttp.web.Response` makes of the same, but for the name of the software. That class
    also compresses, sets cookies and takes bodies of many kinds, which costs more than passing an answer on.
    """

    def __init__(self, status: int, headers: Iterable[tuple[str, str]] = (), body: bytes = b"") -> None:
        super().__init__(status=status, headers=headers)
        self._whole = body

    async def prepare(self, request: BaseRequest) -> AbstractStreamWriter:
        """Send it all. Raises ``ConnectionError`` when the agent has gone, ``ValueError`` for a header of two lines."""
        if self._keep_alive is None:
            self._keep_alive = request.keep_alive
        headers, body, version, writer = self._headers, self._whole, request.version, request.writer
        if body or request.method != "HEAD":
            # Of a body that HEAD does not make there is no length to tell (RFC 9110, section 8.6).
            headers["Content-Length"] = str(len(body))
        headers.setdefault("Date", rfc822_formatted_time())
        if self._keep_alive and version == HttpVersion10:
            headers["Connection"] = "keep-alive"
        elif not self._keep_alive and version == HttpVersion11:
            headers["Connection"] = "close"
        await writer.write_headers(f"HTTP/{version.major}.{version.minor} {self._status} {self._reason}", headers)
        await writer.write_eof(b"" if request.method == "HEAD" else body)
        self._eof_sent = True
        return writer
