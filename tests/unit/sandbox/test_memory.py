"""Reading another process's memory: here the own one, which is read the same way."""

from __future__ import annotations

import ctypes
import errno
import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ciguard.sandbox.memory import Memory, TooLong

WORDS = st.lists(st.binary(max_size=300).filter(lambda word: b"\0" not in word), max_size=30)


def own(most: int = 1 << 20) -> Memory:
    return Memory(os.getpid(), most)


def vector(words: list[bytes]) -> ctypes.Array[ctypes.c_char_p]:
    return (ctypes.c_char_p * (len(words) + 1))(*words, None)


@given(words=WORDS)
def test_strings_are_those_of_the_process(words: list[bytes]) -> None:
    array = vector(words)
    assert own().strings(ctypes.addressof(array)) == words


@given(length=st.integers(0, 20_000), offset=st.integers(0, 5000))
def test_a_string_may_lie_on_any_pages(length: int, offset: int) -> None:
    buffer = ctypes.create_string_buffer(b"\1" * offset + b"x" * length)
    assert own().string(ctypes.addressof(buffer) + offset) == b"x" * length


@given(words=WORDS)
def test_what_is_read_is_bounded(words: list[bytes]) -> None:
    array = vector(words)
    needed = sum(len(word) + 1 + 8 for word in words)
    assert own(needed).strings(ctypes.addressof(array)) == words
    if words:
        with pytest.raises(TooLong):
            own(needed - 1).strings(ctypes.addressof(array))


@given(length=st.integers(0, 9000), offset=st.integers(0, 4200))
def test_the_bound_is_the_same_wherever_a_string_lies(length: int, offset: int) -> None:
    buffer = ctypes.create_string_buffer(b"\1" * offset + b"x" * length)
    place = ctypes.addressof(buffer) + offset
    assert own(length + 1).string(place) == b"x" * length
    with pytest.raises(TooLong):
        own(length).string(place)


def test_no_array_is_no_strings() -> None:
    assert own().strings(0) == []


def test_where_there_is_no_memory_there_is_an_error() -> None:
    with pytest.raises(OSError, match=os.strerror(errno.EFAULT)):
        own().string(8)


def test_a_page_is_read_once() -> None:
    """What was looked at stays what it was."""
    buffer = ctypes.create_string_buffer(b"before")
    memory = own()
    assert memory.string(ctypes.addressof(buffer)) == b"before"
    buffer.value = b"after"
    assert memory.string(ctypes.addressof(buffer)) == b"before"
