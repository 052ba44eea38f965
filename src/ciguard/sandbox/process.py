"""The agent, from the guard's side: the sandbox that it starts in, its signals, and its end."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

from ciguard.errors import CommandNotExecutable, CommandNotFound, GuardFailure
from ciguard.sandbox import control, processes
from ciguard.sandbox.command import Command, command
from ciguard.sandbox.levels import UNSEEN_COMMANDS, NotOffered, Way, launcher_command, launcher_environment

GRACE = 5.0
"""Seconds between asking the agent to end and killing it."""

READY = 20.0
"""Seconds that a launcher may take to be ready."""

MOST_AT_ONCE = 1 << 18
"""Bytes that are taken from the launcher in one go."""

FORWARDED = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2)

KEEP_ON_TERMINAL = ("sh", "-c", "trap '' INT QUIT; exec \"$@\"", "sh")
"""What a terminal sends to all of its foreground is for the agent, not for what stands between it and the guard."""


@dataclass(frozen=True, slots=True)
class Exit:
    """How the agent ended: ``status`` as a shell reports it, and the name of the signal if one ended it."""

    status: int
    signal: str = ""


class Sandbox:
    """A launcher that is ready: its level is in force for whatever it will start. Made by :func:`open_sandbox`."""

    def __init__(
        self, way: Way, process: subprocess.Popen[bytes], channel: socket.socket, listening: Sequence[socket.socket]
    ) -> None:
        self.way = way
        self.listening = tuple(listening)
        """Sockets of the sandbox's own loopback, for the guard to serve; none where it shares the machine's."""
        self._process = process
        self._channel = channel

    def start(self, argv: Sequence[str], environ: Mapping[str, str], cwd: Path, deciding: Deciding) -> Agent:
        """Start the agent, on a running event loop; ``deciding`` answers for its commands where they are seen."""
        return Agent(self._process, self._channel, argv, environ, cwd, deciding)

    @property
    def pid(self) -> int:
        """The process below which the agent will be."""
        return self._process.pid

    def close(self) -> None:
        """End the launcher and all that it started."""
        for opened in self.listening:
            opened.close()
        self._channel.close()
        self._process.wait()


@dataclass(frozen=True, slots=True)
class Answer:
    """Whether a command may run: ``refusal`` is empty, or a sentence that says why not.

    ``once`` makes it the answer for one execution only; else the same command is not asked about again.
    """

    refusal: str
    once: bool = False


class Deciding(Protocol):
    """Whoever decides the agent's commands: ``guard/commands.py``."""

    async def decide(self, question: int, command: Command) -> Answer:
        """The answer to the question ``question``."""

    def repeated(self, counts: Mapping[int, int]) -> None:
        """How many more times what was decided under a question ran or was refused."""


class Agent:
    """A running agent.

    It has a process group of its own, so that all of it can be signalled; except on a terminal, where it stays in the
    foreground group to be able to use it, and the terminal itself signals the group.
    """

    def __init__(
        self,
        process: subprocess.Popen[bytes],
        channel: socket.socket,
        argv: Sequence[str],
        environ: Mapping[str, str],
        cwd: Path,
        deciding: Deciding,
    ) -> None:
        """See :meth:`Sandbox.start`.

        From now on until the loop closes, signals that would end the guard go to the agent, so that the guard lives to
        finish the session, also while nothing is left to be signalled.
        """
        self._process = process
        self._channel = channel
        self._argv = argv
        self._deciding = deciding
        self._over = False
        self._outgoing = bytearray()
        self._on_terminal = on_terminal()
        self._forward_signals()
        order = {"argv": list(argv), "env": dict(environ), "cwd": str(cwd), "terminal": self._on_terminal}
        control.send(channel, order, [0, 1, 2])

    async def wait(self, *, on_exceeded: Callable[[str], None] | None = None) -> Exit:
        """Wait for the agent to end, and for all that it left running to be ended.

        ``on_exceeded`` is told when the agent is over a bound. Raises CommandNotFound or CommandNotExecutable, and
        GuardFailure when the launcher did not live to the agent's end.
        """
        loop = asyncio.get_running_loop()
        answers: set[asyncio.Task[None]] = set()
        broken: list[BaseException] = []
        incoming = control.Incoming()
        ended: asyncio.Future[int] = loop.create_future()

        def answered(task: asyncio.Task[None]) -> None:
            answers.discard(task)
            if not task.cancelled() and (error := task.exception()) is not None:
                broken.append(error)
                self._signal(signal.SIGKILL)

        def heard(message: dict[str, Any]) -> None:
            match message:
                case {"question": int(question), "command": dict(told)}:
                    task = loop.create_task(self._answer(question, command(told)))
                    answers.add(task)
                    task.add_done_callback(answered)
                case {"repeated": list(counts)}:
                    self._deciding.repeated(dict(counts))
                case {"exceeded": str(words)}:
                    if on_exceeded is not None:
                        on_exceeded(words)
                case {"failed": int(number)}:
                    raise _cannot_be_executed(self._argv[0], number)
                case {"exited": int(code), "left": 0}:
                    ended.set_result(code)
                case {"exited": int(), "left": int(left)}:
                    raise GuardFailure(
                        f"{left} of the agent's processes cannot be ended: {'it runs' if left == 1 else 'they run'} as "
                        "another user",
                        "let it end what it starts with sudo; above the isolation level none it has no sudo",
                    )
                case _:
                    raise GuardFailure("the launcher said something unknown", "report this as a bug of ciguard")

        def readable() -> None:
            if (received := self._received()) is None:
                return
            try:
                for message in incoming.feed(received):
                    heard(message)
            except Exception as error:  # noqa: BLE001 - raised where the agent is waited for
                ended.set_exception(error)
            if ended.done():
                loop.remove_reader(self._channel)

        loop.add_reader(self._channel, readable)
        try:
            code = await ended
        except control.Closed:
            processes.end_descendants()
            raise GuardFailure(
                "what stands between the guard and the agent was killed", "look whether the machine ran out of memory"
            ) from None
        finally:
            loop.remove_reader(self._channel)
            loop.remove_writer(self._channel)
            self._over = True
            for task in answers:
                task.cancel()
        if broken:
            raise broken[0]
        if code < 0:
            return Exit(128 - code, _name(-code))
        return Exit(code)

    def _received(self) -> bytes | None:
        """What has come from the launcher: None when nothing has, no bytes when it is gone."""
        try:
            return self._channel.recv(MOST_AT_ONCE, socket.MSG_DONTWAIT)
        except BlockingIOError:
            return None
        except ConnectionResetError:
            return b""

    def _send(self, message: Mapping[str, Any]) -> None:
        """Tell the launcher something without waiting: it may itself be waiting until it is heard."""
        self._outgoing += control.packed(message)
        self._flush()

    def _flush(self) -> None:
        loop = asyncio.get_running_loop()
        try:
            while self._outgoing:
                del self._outgoing[: self._channel.send(self._outgoing, socket.MSG_DONTWAIT)]
        except BlockingIOError:
            loop.add_writer(self._channel, self._flush)
            return
        except (BrokenPipeError, ConnectionResetError):
            # Whoever listens to the launcher notices its end.
            self._outgoing.clear()
        loop.remove_writer(self._channel)

    def stop(self) -> None:
        """Ask the agent to end, and kill it when it has not after :data:`GRACE`."""
        self._signal(signal.SIGTERM)
        asyncio.get_running_loop().call_later(GRACE, self._signal, signal.SIGKILL)

    def kill(self) -> None:
        """End the agent and all that it started at once."""
        self._signal(signal.SIGKILL)

    async def _answer(self, question: int, told: Command) -> None:
        answer = await self._deciding.decide(question, told)
        self._send({"answer": question, "refusal": answer.refusal, "once": answer.once})

    def _signal(self, number: int) -> None:
        if not self._over:
            self._send({"signal": int(number)})

    def _forward_signals(self) -> None:
        loop = asyncio.get_running_loop()
        for number in FORWARDED:
            if self._on_terminal and number is signal.SIGINT:
                loop.add_signal_handler(number, lambda: None)
            else:
                loop.add_signal_handler(number, self._signal, number)


def open_sandbox(way: Way, environ: Mapping[str, str]) -> Sandbox:
    """Start a launcher in this ``way``; NotOffered when that does not come to be ready under it."""
    ours, theirs = socket.socketpair()
    terminal = on_terminal() and not way.detached
    command = [*(KEEP_ON_TERMINAL if terminal else ()), *way.prefix, *launcher_command()]
    complaints, told = os.pipe()
    try:
        process = subprocess.Popen(
            command,
            stdin=theirs.fileno(),
            stdout=told,
            stderr=told,
            env=launcher_environment(environ),
            process_group=None if terminal or way.detached else 0,
            start_new_session=way.detached,
        )
    except OSError as error:
        ours.close()
        os.close(complaints)
        raise NotOffered(f"{command[0]} cannot be started: {error.strerror}", way.remedy) from None
    finally:
        theirs.close()
        os.close(told)
    late = threading.Timer(READY, process.kill)
    late.start()
    try:
        control.send(ours, {"confinement": way.confinement.message()})
        answer, descriptors = control.receive(ours)
        refused = answer.get("refused", "")
    except control.Closed:
        answer = {}
        refused, descriptors = _words(complaints) or "the launcher ended at once", []
    finally:
        late.cancel()
        os.close(complaints)
    if refused:
        ours.close()
        process.wait()
        raise NotOffered(str(refused), way.remedy)
    if unseen := answer.get("unseen"):
        way = replace(way, limits=(*way.limits, f"{UNSEEN_COMMANDS} {unseen}"))
    return Sandbox(way, process, ours, [socket.socket(fileno=descriptor) for descriptor in descriptors])


def on_terminal() -> bool:
    """Whether somebody sits before the agent's standard input."""
    return sys.stdin is not None and sys.stdin.isatty()


def _words(complaints: int) -> str:
    """What was printed, its last line."""
    said = os.read(complaints, 65536).decode("utf-8", "replace").strip()
    return said.rpartition("\n")[2][:300]


def _cannot_be_executed(program: str, number: int) -> CommandNotFound | CommandNotExecutable:
    import errno

    if number == errno.ENOENT:
        return CommandNotFound(f"the command {program!r} was not found", "check its spelling and the PATH")
    return CommandNotExecutable(
        f"the command {program!r} cannot be executed: {os.strerror(number)}", "name a program that can be executed"
    )


def _name(number: int) -> str:
    """The name of a signal; only the first and the last of the real-time ones have one."""
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"SIG{number}"
