"""The file that an execve would run, and what of it becomes the command line. Bare standard library.

Sources: execve(2), execveat(2), proc(5); for interpreters, linux/fs/binfmt_script.c and linux/binfmts.h.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Sequence
from typing import NamedTuple

HEAD = 256
"""How many bytes of a program the kernel looks at to know what it is."""

DEEPEST = 5
"""How many interpreters may run one another."""

LONGEST_SCRIPT = 64 * 1024
"""A shell script of more bytes than this is not read."""

SHELLS = frozenset({"sh", "bash", "dash", "zsh", "ksh", "mksh", "ash", "busybox"})
_VALUED = frozenset({"--rcfile", "--init-file", "-o", "+o", "-O", "+O"})

Identity = tuple[int, int]
"""Device and inode."""

_Stamp = tuple[int, int, int, int, int]


class Program(NamedTuple):
    """A file that can be executed: its ``path`` free of links and its identity.

    ``interpreter`` is the words that its first line puts before its own name; empty for what the kernel runs itself.
    ``runs`` is the identity of what the kernel runs in the end. ``named`` is false for a file that was deleted or
    never had a name.
    """

    path: bytes
    identity: Identity
    named: bool
    interpreter: tuple[bytes, ...]
    runs: Identity


class Script(NamedTuple):
    """The text of a script, or in words why it could not be read; ``stamp`` differs when the file does."""

    text: str = ""
    unread: str = ""
    stamp: bytes = b""


NO_SCRIPT = Script()


def interpreter(head: bytes) -> tuple[bytes, ...]:
    """The interpreter, and its one argument if there is one, that the first line of a program names."""
    if not head.startswith(b"#!"):
        return ()
    line = head[2:].partition(b"\n")[0].partition(b"\0")[0].lstrip(b" \t")
    name = line.replace(b"\t", b" ").partition(b" ")[0]
    if not name or (len(head) == HEAD and head.endswith(name)):
        return ()
    # The argument is one word, whatever it holds.
    argument = line[len(name) :].strip(b" \t")
    return (name, argument) if argument else (name,)


class Programs:
    """Looks programs up, and remembers what their first line says as long as they do not change."""

    MOST = 4096

    def __init__(self) -> None:
        self._interpreters: dict[_Stamp, tuple[bytes, ...]] = {}

    def find(self, path: bytes, depth: int = DEEPEST) -> Program:
        """The program at ``path`` (see :func:`seen_from`). Raises the ``OSError`` that execve would fail with."""
        descriptor = os.open(path, os.O_PATH | os.O_CLOEXEC)
        try:
            status = os.fstat(descriptor)
            if not stat.S_ISREG(status.st_mode):
                raise OSError(errno.EACCES, os.strerror(errno.EACCES))
            words = self._interpreter(descriptor, status)
            real = os.readlink(b"/proc/self/fd/%d" % descriptor)
        finally:
            os.close(descriptor)
        identity = runs = (status.st_dev, status.st_ino)
        if words:
            if not depth:
                raise OSError(errno.ELOOP, os.strerror(errno.ELOOP))
            inner = self.find(words[0], depth - 1)
            runs = inner.runs
            words = (*inner.interpreter, *words)
        return Program(real, identity, status.st_nlink > 0, words, runs)

    def _interpreter(self, descriptor: int, status: os.stat_result) -> tuple[bytes, ...]:
        stamp = _stamp(status)
        known = self._interpreters.get(stamp)
        if known is None:
            head = _head(descriptor)
            if len(self._interpreters) >= self.MOST:
                self._interpreters.clear()
            known = self._interpreters[stamp] = interpreter(head)
        return known


def _stamp(status: os.stat_result) -> _Stamp:
    return status.st_dev, status.st_ino, status.st_mtime_ns, status.st_ctime_ns, status.st_size


def _head(descriptor: int) -> bytes:
    """The first bytes of a file that is held by O_PATH."""
    opened = os.open(b"/proc/self/fd/%d" % descriptor, os.O_RDONLY | os.O_CLOEXEC)
    try:
        return os.read(opened, HEAD)
    finally:
        os.close(opened)


def seen_from(process: int, path: bytes, directory: int | None) -> bytes:
    """Where ``path`` leads when ``process`` says it, as a path for this process, which shares its root.

    ``directory`` is a descriptor of ``process`` to start from, None for its current directory. An empty path is the
    descriptor itself.
    """
    own = b"/proc/%d/" % process
    for prefix, place in ((b"/proc/self/", own), (b"/proc/thread-self/", own), (b"/dev/fd/", own + b"fd/")):
        if path.startswith(prefix):
            return place + path[len(prefix) :]
    if path.startswith(b"/"):
        return path
    start = own + (b"cwd" if directory is None else b"fd/%d" % directory)
    return start + b"/" + path if path else start


def script_of(process: int, program: Program, argv: Sequence[bytes]) -> Script:
    """The shell script that executing ``program`` runs: the program itself, its argument, or its standard input."""
    words = [word.rpartition(b"/")[2].decode("utf-8", "replace") for word in (*program.interpreter, program.path)]
    if program.interpreter:
        return text_of(program.path) if not SHELLS.isdisjoint(words[:-1]) or _by_env(program.interpreter) else NO_SCRIPT
    if words[0] not in SHELLS:
        return NO_SCRIPT
    name = script_argument([word.decode("utf-8", "surrogateescape") for word in argv])
    if name is None:
        return NO_SCRIPT
    if name:
        return text_of(seen_from(process, os.fsencode(name), None))
    return standard_input(process) or NO_SCRIPT


def standard_input(process: int) -> Script | None:
    """What ``process`` has as its standard input, where that is a file."""
    path = b"/proc/%d/fd/0" % process
    return text_of(path) if _is_file(path) else None


def _by_env(words: Sequence[bytes]) -> bool:
    """Whether ``#!/usr/bin/env bash`` or the like stands on the first line."""
    return words[0].endswith(b"/env") and any(word.decode("utf-8", "replace") in SHELLS for word in words[-1].split())


def script_argument(argv: Sequence[str]) -> str | None:
    """The script that a shell called with ``argv`` runs: empty for its standard input, None for ``-c``."""
    words = iter(argv[1:])
    for word in words:
        if word in ("-", "--"):
            return next(words, "")
        if word in _VALUED:
            next(words, None)
        elif word.startswith(("-", "+")):
            if not word.startswith("--") and "c" in word:
                return None
            if not word.startswith("--") and "s" in word:
                return ""
        elif argv and argv[0].rpartition("/")[2] == "busybox" and word in SHELLS:
            continue
        else:
            return word
    return ""


def _is_file(path: bytes) -> bool:
    try:
        return stat.S_ISREG(os.stat(path).st_mode)
    except OSError:
        return False


def text_of(path: bytes) -> Script:
    """Read a regular file whatever it is by now; what is not one cannot block this process."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
    except OSError as error:
        return Script(unread=f"its script cannot be read: {error.strerror}")
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            return Script(unread="its script is not a file")
        stamp = b"%d:%d:%d:%d:%d" % _stamp(status)
        if status.st_size > LONGEST_SCRIPT:
            return Script(unread=f"its script has {status.st_size} bytes, more than {LONGEST_SCRIPT}", stamp=stamp)
        content = os.pread(descriptor, LONGEST_SCRIPT, 0)
    finally:
        os.close(descriptor)
    return Script(content.decode("utf-8", "backslashreplace"), stamp=stamp)
