"""What an execve that waits is about to run, and what runs once it is done. Bare standard library.

Before: read from the caller's memory, which other threads may change until the kernel reads it again. After: what the
kernel took, in the new program's own memory, before its first instruction. So a decision on the first holds only as
far as the second is equal.
"""

from __future__ import annotations

import errno
import os

# hashlib would bring OpenSSL, four megabytes of it.
from _blake2 import blake2b
from collections.abc import Sequence
from typing import NamedTuple

from ciguard.sandbox.command import Command
from ciguard.sandbox.memory import Memory, TooLong
from ciguard.sandbox.notification import Notification
from ciguard.sandbox.program import NO_SCRIPT, Identity, Program, Programs, Script, script_of, seen_from
from ciguard.sandbox.sql_files import sql_files

LONGEST = 128 * 1024
"""The most bytes of a command line that is decided on; a longer one is refused."""

TOO_LONG = f"its command line is longer than {LONGEST} bytes"
NAMELESS = "its program has no name in the file system, so that nobody could read it"

_AT_FDCWD, _AT_EMPTY_PATH = -100, 0x1000
_SURROGATES = "backslashreplace"


class Outcome(NamedTuple):
    """What an execve must have led to: a program, its command line with each word ended by a NUL, and where it runs."""

    runs: Identity
    line: bytes
    cwd: bytes


class Execution(NamedTuple):
    """A command in bytes, and the ``outcome`` that makes it come true; None when it has a flaw."""

    path: bytes
    argv: tuple[bytes, ...]
    cwd: bytes
    parent: bytes
    script: Script = NO_SCRIPT
    files: tuple[tuple[str, Script], ...] = ()
    flaw: str = ""
    outcome: Outcome | None = None
    launch: bool = False

    @property
    def key(self) -> bytes:
        """The same for the same command, and for no other."""
        read = [text.stamp or text.unread.encode() for text in (self.script, *(text for _, text in self.files))]
        facts = (self.path, self.cwd, self.parent, b" ".join(read), self.flaw.encode(), b"%d" % self.launch)
        return blake2b(b"\0".join((*facts, *self.argv)), digest_size=16).digest()

    def command(self) -> Command:
        """As the guard gets it."""
        return Command(
            _text(self.path),
            tuple(map(_text, self.argv)),
            _text(self.cwd),
            _text(self.parent),
            self.script.text,
            next((text.unread for text in (self.script, *(text for _, text in self.files)) if text.unread), ""),
            self.flaw,
            self.launch,
            {name: text.text for name, text in self.files if not text.unread},
        )


def execution(notification: Notification, execveat: int, programs: Programs) -> Execution:
    """Read an execve from its caller. Raises ``OSError`` with the number that it can fail with without a decision."""
    thread = notification.thread
    directory: int | None = None
    arguments: Sequence[int] = notification.arguments
    empty = False
    if notification.call == execveat:
        directory = _int(arguments[0])
        empty = bool(arguments[4] & _AT_EMPTY_PATH)
        directory = None if directory == _AT_FDCWD else directory
        arguments = arguments[1:]
    memory = Memory(thread, LONGEST)
    try:
        path = memory.string(arguments[0])
        argv = tuple(memory.strings(arguments[1])) or (b"",)
    except TooLong:
        return _flawed(thread, b"", TOO_LONG)
    except OSError as error:
        if error.errno == errno.EFAULT:
            raise
        return _flawed(thread, b"", f"the memory of its caller cannot be read: {error.strerror}")
    if not path and not (empty and directory is not None):
        raise OSError(errno.ENOENT, os.strerror(errno.ENOENT))
    program = programs.find(seen_from(thread, path, directory))
    if not program.named:
        return _flawed(thread, program.path, NAMELESS)
    if directory is not None and not path.startswith(b"/"):
        path = b"/dev/fd/%d/%s" % (directory, path) if path else b"/dev/fd/%d" % directory
    line = (*program.interpreter, path, *argv[1:]) if program.interpreter else argv
    cwd = _place(thread, b"cwd")
    outcome_ = Outcome(program.runs, b"".join(word + b"\0" for word in line), cwd)
    script = script_of(thread, program, argv)
    files = sql_files(thread, program, argv)
    return Execution(program.path, argv, cwd, _place(thread, b"exe"), script, files, outcome=outcome_)


def outcome(process: int) -> Outcome:
    """What a process in the stop of an execve came to. Raises ``OSError`` when that cannot be read."""
    status = os.stat(b"/proc/%d/exe" % process)
    descriptor = os.open(b"/proc/%d/cmdline" % process, os.O_RDONLY | os.O_CLOEXEC)
    try:
        line = os.read(descriptor, 2 * LONGEST)
    finally:
        os.close(descriptor)
    return Outcome((status.st_dev, status.st_ino), line, _place(process, b"cwd"))


def executed(process: int) -> Execution:
    """The command that a process in the stop of an execve runs. Raises ``OSError`` when that cannot be read."""
    come_to = outcome(process)
    path = os.readlink(b"/proc/%d/exe" % process)
    if len(come_to.line) > LONGEST:
        return _flawed(process, path, TOO_LONG)
    if not os.stat(b"/proc/%d/exe" % process).st_nlink:
        return _flawed(process, path, NAMELESS)
    argv = tuple(come_to.line.split(b"\0")[:-1])
    program = Program(path, come_to.runs, True, (), come_to.runs)
    script, files = script_of(process, program, argv), sql_files(process, program, argv)
    return Execution(path, argv, come_to.cwd, b"", script, files, outcome=come_to)


def _flawed(process: int, path: bytes, flaw: str) -> Execution:
    return Execution(path, (), _place(process, b"cwd"), _place(process, b"exe"), flaw=flaw)


def _place(process: int, name: bytes) -> bytes:
    """What a link in ``/proc/PID`` says; empty when the process may not be looked at or is gone."""
    try:
        return os.readlink(b"/proc/%d/%s" % (process, name))
    except OSError:
        return b""


def _text(value: bytes) -> str:
    return value.decode("utf-8", _SURROGATES)


def _int(register: int) -> int:
    """A register as the C int that it is."""
    value = register & 0xFFFFFFFF
    return value - (1 << 32) if value >> 31 else value
