"""A streamed answer on its way to the agent: nothing goes to it that is not on disk."""

from __future__ import annotations

from aiohttp.web_request import BaseRequest
from aiohttp.web_response import StreamResponse

from ciguard.session.recorder import Spool


class Delivery:
    """Sends the body of ``response``, which answers ``request`` and has begun, after it is in ``spool``.

    Each piece is handed to the transport as it stands on the wire, framed as the response's head says: aiohttp's way
    there costs as much as knowing and masking an event. The response itself ends the body.
    """

    def __init__(self, request: BaseRequest, response: StreamResponse, spool: Spool) -> None:
        self._request = request
        self._spool = spool
        self._chunked = response.headers.get("Transfer-Encoding") == "chunked"

    async def send(self, data: bytes) -> None:
        """Send ``data``, which is not empty; waits while the agent is slow.

        Raises ``RecordingFailed``, and ``ConnectionError`` when the agent has gone.
        """
        self._spool.append(data)
        transport = self._request.transport
        if transport is None or transport.is_closing():
            raise ConnectionResetError("the agent has gone")
        # A chunk is its length in hexadecimal and its data, each with a line end (RFC 9112, section 7.1).
        transport.write(b"%x\r\n%b\r\n" % (len(data), data) if self._chunked else data)
        if transport.get_write_buffer_size():
            await self._request.writer.drain()
