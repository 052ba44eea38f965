"""The first message of a TLS connection, read for the name of the server that it asks for.

Source: RFC 8446, sections 4.1.2 and 5.1; RFC 6066, section 3. A ClientHello may come in any number of records, and a
record in any number of packets.
"""

from __future__ import annotations

from dataclasses import dataclass

LONGEST = 65_536
"""Bytes of records in which the message must be complete. Real ones have about 2,000."""

_HANDSHAKE_RECORD = 22
_LONGEST_RECORD = 16_384
_CLIENT_HELLO = 1
_SERVER_NAME = 0
_HOST_NAME = 0


class NotTlsError(Exception):
    """The bytes do not begin a TLS connection; the text says what is wrong with them."""


@dataclass(frozen=True, slots=True)
class ClientHello:
    """What a client says first; ``server_name`` is None when it names no server."""

    server_name: str | None


class ClientHelloReader:
    """Reads a ClientHello that arrives in pieces, in time linear in its length."""

    def __init__(self) -> None:
        self._records = bytearray()
        self._message = bytearray()
        self._taken = 0

    def feed(self, data: bytes) -> ClientHello | None:
        """The message once it is complete. Raises :class:`NotTlsError` as soon as it cannot become one."""
        self._taken += len(data)
        self._records += data
        place = 0
        while (end := self._record_end(place)) is not None:
            self._message += self._records[place + 5 : end]
            place = end
            if (length := self._message_length()) is not None and len(self._message) >= length:
                if len(self._message) > length:
                    raise NotTlsError("the ClientHello goes on behind its end")
                return _read(bytes(self._message[4:]))
        del self._records[:place]
        if self._taken > LONGEST:
            raise NotTlsError(f"the ClientHello is longer than {LONGEST} bytes")
        return None

    def _record_end(self, place: int) -> int | None:
        """Where the record at ``place`` ends; None while it is not complete."""
        header = self._records[place : place + 5]
        if header and header[0] != _HANDSHAKE_RECORD:
            raise NotTlsError("this is not a TLS handshake")
        if len(header) > 1 and header[1] != 3:
            raise NotTlsError("this is not a version of TLS")
        if len(header) < 5:
            return None
        length = int.from_bytes(header[3:])
        if not 1 <= length <= _LONGEST_RECORD:
            raise NotTlsError("a TLS record has no such length")
        end = place + 5 + length
        return end if len(self._records) >= end else None

    def _message_length(self) -> int | None:
        if self._message[:1] != bytes([_CLIENT_HELLO]):
            raise NotTlsError("the first TLS message is not a ClientHello")
        if len(self._message) < 4:
            return None
        length = 4 + int.from_bytes(self._message[1:4])
        if length > LONGEST:
            raise NotTlsError(f"the ClientHello is longer than {LONGEST} bytes")
        return length


class _Fields:
    """Takes length-prefixed fields off the front of a message."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._place = 0

    @property
    def left(self) -> bool:
        """Whether anything is left."""
        return self._place < len(self._data)

    def take(self, length: int) -> bytes:
        end = self._place + length
        if end > len(self._data):
            raise NotTlsError("the ClientHello is shorter than it says")
        taken = self._data[self._place : end]
        self._place = end
        return taken

    def number(self, size: int) -> int:
        return int.from_bytes(self.take(size))

    def vector(self, size: int) -> bytes:
        """A field whose length stands before it in ``size`` bytes."""
        return self.take(self.number(size))


def _read(body: bytes) -> ClientHello:
    fields = _Fields(body)
    fields.take(2 + 32)
    fields.vector(1)
    fields.vector(2)
    fields.vector(1)
    if not fields.left:
        return ClientHello(None)
    extensions = _Fields(fields.vector(2))
    if fields.left:
        raise NotTlsError("the ClientHello goes on behind its extensions")
    found: dict[int, bytes] = {}
    while extensions.left:
        kind = extensions.number(2)
        if kind in found:
            raise NotTlsError("the ClientHello has an extension twice")
        found[kind] = extensions.vector(2)
    return ClientHello(_server_name(found[_SERVER_NAME]) if _SERVER_NAME in found else None)


def _server_name(extension: bytes) -> str:
    """The one host name of a ``server_name`` extension. No other type of name was ever defined."""
    outer = _Fields(extension)
    names = _Fields(outer.vector(2))
    if names.number(1) != _HOST_NAME:
        raise NotTlsError("the ClientHello names its server in an unknown way")
    name = names.vector(2)
    if names.left or outer.left:
        raise NotTlsError("the ClientHello names more than one server")
    if not name or not name.isascii():
        raise NotTlsError("the ClientHello's server name is not a host name")
    return name.decode()
