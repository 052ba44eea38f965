"""A launcher with nothing but supervision, for tests: the filter, the supervisor, and decisions by a function."""

from __future__ import annotations

import os
import select
import signal
import socket
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ciguard.sandbox.command import Command
from ciguard.sandbox.notification import Listener
from ciguard.sandbox.seccomp import LISTENER_MESSAGE, Network, Supervised, load, program
from ciguard.sandbox.supervisor import Supervisor
from ciguard.sandbox.tracing import AgentProcesses

DEADLINE = 60.0


@dataclass
class Seen:
    """How a supervised run went."""

    commands: list[Command]
    status: int = -1
    output: str = ""
    errors: str = ""
    repeats: dict[int, int] = field(default_factory=dict)

    @property
    def lines(self) -> list[str]:
        """Every command that was asked for, as one line."""
        return [" ".join(command.argv) for command in self.commands]


def consent(_: Command) -> str:
    """Allow everything."""
    return ""


def supervise(
    argv: Sequence[str],
    decide: Callable[[Command], str | None] = consent,
    later: Callable[[list[tuple[int, Command]]], dict[int, str]] = lambda _: {},
    cwd: Path | None = None,
) -> Seen:
    """Run ``argv`` with every command decided by ``decide``.

    What it returns None for stays open; ``later`` is asked ever again to answer some of the open questions.
    """
    seen = Seen([])
    questions: list[tuple[int, Command]] = []
    ours, theirs = socket.socketpair()
    with tempfile.TemporaryFile() as output, tempfile.TemporaryFile() as errors:
        agent = os.fork()
        if not agent:
            _become(argv, theirs, output.fileno(), errors.fileno(), cwd)
        theirs.close()
        _, [descriptor], _, _ = socket.recv_fds(ours, 1, 1)
        ours.close()
        listener = Listener(descriptor)

        def ask(number: int, command: Command) -> None:
            seen.commands.append(command)
            questions.append((number, command))

        supervisor = Supervisor(AgentProcesses(listener, ()), ask, agent, tuple(map(os.fsencode, argv[1:])))
        try:
            _loop(agent, listener, supervisor, questions, decide, later, seen)
        finally:
            os.kill(agent, signal.SIGKILL) if seen.status < 0 else None
            listener.close()
        seen.repeats = supervisor.repeats()
        for stream, name in ((output, "output"), (errors, "errors")):
            stream.seek(0)
            setattr(seen, name, stream.read().decode("utf-8", "replace"))
    return seen


def _loop(
    agent: int,
    listener: Listener,
    supervisor: Supervisor,
    questions: list[tuple[int, Command]],
    decide: Callable[[Command], str | None],
    later: Callable[[list[tuple[int, Command]]], dict[int, str]],
    seen: Seen,
) -> None:
    held: list[tuple[int, Command]] = []
    end = time.monotonic() + DEADLINE
    while seen.status < 0:
        assert time.monotonic() < end, f"no end in sight; asked: {seen.lines}, open: {held}"
        # Wait statuses come by a signal in the launcher; here they are looked for.
        select.select([listener], [], [], 0.001)
        supervisor.notified()
        while questions:
            number, command = questions.pop(0)
            answer = decide(command)
            if answer is None:
                held.append((number, command))
            else:
                supervisor.answered(number, answer)
        for number, answer in later(held).items() if held else ():
            held[:] = [one for one in held if one[0] != number]
            supervisor.answered(number, answer)
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG | 0x40000000)
            except ChildProcessError:
                break
            if not pid:
                break
            if os.WIFSTOPPED(status):
                supervisor.stopped(pid, status)
                continue
            supervisor.ended(pid)
            if pid == agent:
                seen.status = os.waitstatus_to_exitcode(status) % 256


def _become(argv: Sequence[str], channel: socket.socket, output: int, errors: int, cwd: Path | None) -> None:
    try:
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        os.dup2(output, 1)
        os.dup2(errors, 2)
        if cwd is not None:
            os.chdir(cwd)
        listener = load(program(Network.OWN, {Supervised.COMMANDS}), supervised=True)
        socket.send_fds(channel, [LISTENER_MESSAGE], [listener])
        os.close(listener)
        os.execvp(argv[0], tuple(argv))  # noqa: S606 - this is the program under test
    finally:
        os._exit(126)
