"""Reading the memory of another process: bounded, page by page. Bare standard library.

Source: process_vm_readv(2), execve(2).
"""

from __future__ import annotations

import ctypes
import errno
import os

PAGE = 4096
_POINTER = 8

_libc = ctypes.CDLL(None, use_errno=True)
_read = _libc.process_vm_readv
_read.restype = ctypes.c_ssize_t


class _Vector(ctypes.Structure):
    _fields_ = (("base", ctypes.c_void_p), ("length", ctypes.c_size_t))


class TooLong(Exception):
    """There is more than may be read."""


class Memory:
    """What a thread's memory holds, each page as it is when first asked for; at most ``most`` bytes of strings."""

    def __init__(self, thread: int, most: int) -> None:
        self._thread = thread
        self._left = most
        self._pages: dict[int, bytes] = {}

    def bytes_at(self, address: int, count: int) -> bytes:
        """``count`` bytes. Raises ``OSError``: EFAULT where there is no memory, EPERM when it may not be read."""
        found = b""
        while len(found) < count:
            place = address + len(found)
            offset = place % PAGE
            found += self._page(place - offset)[offset : offset + count - len(found)]
        return found

    def string(self, address: int) -> bytes:
        """The bytes up to the next NUL. Raises :class:`TooLong`, and ``OSError`` like :meth:`bytes_at`."""
        parts = []
        while True:
            offset = address % PAGE
            page = self._page(address - offset)
            end = page.find(0, offset)
            part = page[offset : end if end >= 0 else PAGE]
            self._left -= len(part) + (end >= 0)
            if self._left < 0:
                raise TooLong
            parts.append(part)
            if end >= 0:
                return b"".join(parts)
            address += len(part)

    def strings(self, address: int) -> list[bytes]:
        """The strings of an array of pointers that a null pointer ends, such as argv; none at address 0."""
        found: list[bytes] = []
        while address:
            pointer = int.from_bytes(self.bytes_at(address, _POINTER), "little")
            if not pointer:
                return found
            self._left -= _POINTER
            found.append(self.string(pointer))
            address += _POINTER
        return found

    def _page(self, base: int) -> bytes:
        page = self._pages.get(base)
        if page is None:
            buffer = ctypes.create_string_buffer(PAGE)
            here, there = _Vector(ctypes.addressof(buffer), PAGE), _Vector(base, PAGE)
            count = _read(self._thread, ctypes.byref(here), 1, ctypes.byref(there), 1, 0)
            if count != PAGE:
                number = ctypes.get_errno() if count < 0 else errno.EFAULT
                raise OSError(number, os.strerror(number))
            page = self._pages[base] = buffer.raw
        return page
