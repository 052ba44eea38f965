from __future__ import annotations

import ssl

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ciguard.guard.egress.client_hello import ClientHello, ClientHelloReader, NotTlsError


def hello_of(name: str | None) -> bytes:
    """What OpenSSL says."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    context = ssl.create_default_context()
    context.check_hostname = False
    with pytest.raises(ssl.SSLWantReadError):
        context.wrap_bio(incoming, outgoing, server_hostname=name).do_handshake()
    return outgoing.read()


REAL = hello_of("www.example.com")


def sized(data: bytes, size: int) -> bytes:
    return len(data).to_bytes(size) + data


def record(data: bytes, kind: int = 22) -> bytes:
    return bytes([kind, 3, 1]) + sized(data, 2)


def message(*extensions: tuple[int, bytes], more: bytes = b"", tail: bytes = b"") -> bytes:
    listed = b"".join(kind.to_bytes(2) + sized(data, 2) for kind, data in extensions)
    body = b"\x03\x03" + b"r" * 32 + sized(b"", 1) + sized(b"\x13\x01", 2) + sized(b"\0", 1) + sized(listed + more, 2)
    return b"\x01" + sized(body + tail, 3)


def names(*entries: bytes) -> tuple[int, bytes]:
    return 0, sized(b"".join(entries), 2)


def host(name: bytes, kind: int = 0) -> bytes:
    return bytes([kind]) + sized(name, 2)


def read(data: bytes) -> ClientHello | None:
    return ClientHelloReader().feed(data)


def test_what_real_clients_say() -> None:
    assert read(REAL) == ClientHello("www.example.com")
    assert read(hello_of(None)) == ClientHello(None)


@given(st.lists(st.integers(1, len(REAL) - 1), unique=True).map(sorted))
def test_it_may_come_in_any_pieces(cuts: list[int]) -> None:
    reader = ClientHelloReader()
    pieces = [REAL[start:end] for start, end in zip([0, *cuts], [*cuts, len(REAL)], strict=True)]
    *earlier, last = [reader.feed(piece) for piece in pieces]
    assert earlier == [None] * len(earlier)
    assert last == ClientHello("www.example.com")


@given(st.lists(st.integers(1, len(REAL) - 6), unique=True).map(sorted))
def test_it_may_come_in_any_records(cuts: list[int]) -> None:
    whole = REAL[5:]
    pieces = [whole[start:end] for start, end in zip([0, *cuts], [*cuts, len(whole)], strict=True)]
    assert read(b"".join(map(record, pieces))) == ClientHello("www.example.com")


def test_what_follows_in_other_records_is_not_its_business() -> None:
    assert read(record(message(names(host(b"a.example")))) + record(b"early", kind=23)) == ClientHello("a.example")


@given(st.integers(0, len(REAL) - 1))
def test_a_part_of_it_is_nothing_yet(end: int) -> None:
    assert read(REAL[:end]) is None


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"G", "not a TLS handshake"),
        (record(b"x", kind=23), "not a TLS handshake"),
        (b"\x16\x02", "not a version"),
        (b"\x16\x03\x01\x00\x00", "no such length"),
        (b"\x16\x03\x01\x40\x01", "no such length"),
        (record(b"\x02\0\0\0"), "not a ClientHello"),
        (record(b"\x01\x01\0\x01"), "longer than"),
        (record(message() + b"x"), "behind its end"),
        (record(message(tail=b"x")), "behind its extensions"),
        (record(message(more=b"\0")), "shorter than it says"),
        (record(b"\x01" + sized(b"\x03\x03short", 3)), "shorter than it says"),
        (record(message(names(host(b"a")), names(host(b"a")))), "an extension twice"),
        (record(message(names(host(b"a"), host(b"b")))), "more than one server"),
        (record(message((0, sized(host(b"a"), 2) + b"x"))), "more than one server"),
        (record(message(names(host(b"a", kind=1)))), "in an unknown way"),
        (record(message(names(host(b"")))), "not a host name"),
        (record(message(names(host(b"\xff")))), "not a host name"),
        (record(message((0, b""))), "shorter than it says"),
    ],
)
def test_what_is_no_sound_client_hello(data: bytes, reason: str) -> None:
    with pytest.raises(NotTlsError, match=reason):
        read(data)


def test_endless_records_are_given_up() -> None:
    with pytest.raises(NotTlsError, match="longer than"):
        read(record(b"\x01\0\xff\0") + record(b"x") * 11_000)


@given(st.binary(max_size=200))
def test_anything_is_read_or_refused(data: bytes) -> None:
    """Nothing else is raised, and no name is found that is not there."""
    try:
        hello = read(record(b"\x01" + sized(data, 3)))
    except NotTlsError:
        return
    assert hello is not None
    assert hello.server_name is None or hello.server_name.encode() in data
