"""Every command of the agent is decided before it runs, and what then runs is what was decided. Bare standard library.

The supervisor lives in the launcher's one thread, which must be an ancestor of the agent: only so may it trace the
agent's processes where Yama restricts that. The launcher waits on the listener and for its children anyway, and calls:

======================  ==========================================================================================
``notified()``          when the listener is readable
``stopped(pid, s)``     for a wait status ``s`` with ``WIFSTOPPED(s)``
``ended(pid)``          for every other wait status
``answered(n, text)``   when the guard has answered question ``n``; an empty text is its consent
======================  ==========================================================================================

How a command goes:

1. A thread calls execve; the filter stops it. Its arguments are read from its memory, the file is looked up.
   What cannot be executed fails as it would; nobody is asked.
2. The same command was decided before: that decision holds. Else the guard is asked, records, and answers; meanwhile
   other calls are served.
3. Refused: the call fails with EPERM, and a line on the caller's standard error says why.
4. Allowed: the thread is traced, then the kernel goes on. It reads the arguments again, and another thread may have
   changed them. So the new program stops before its first instruction, and its file and command line are compared with
   what was decided. They are equal: it is let go. They are not: what is there now is decided like any command, and the
   process is killed when it is refused.

A thread that was let go and stops for anything but an execve did not execute: it is let go untraced. Only one thread
of a process may be between 4 and its end: tracing a second would wait for the first.
"""

from __future__ import annotations

import errno
import os
from collections import Counter
from collections.abc import Callable
from typing import NamedTuple, Protocol

from ciguard.sandbox.command import Command
from ciguard.sandbox.execution import Execution, Outcome
from ciguard.sandbox.notification import EVENT_EXEC, Notification

REMEMBERED = 65536
"""How many decisions are kept; beyond, commands are asked for anew."""

MOST_RELEASED = 256
"""How many threads may be on their way from a decision to their new program."""

CONSENT = ""


class Processes(Protocol):
    """What the supervisor needs of the kernel: ``sandbox/tracing.py``, or a stand-in."""

    def receive(self) -> Notification | None:
        """The next call that waits, if there is one."""

    def read(self, notification: Notification) -> Execution | None:
        """What it would execute; None when it no longer waits. Raises ``OSError`` with what it fails with."""

    def fail(self, notification: Notification, number: int) -> None:
        """Let the call fail."""

    def proceed(self, notification: Notification) -> None:
        """Let the kernel carry the call out."""

    def trace(self, thread: int) -> None:
        """Make ``thread`` stop after its next execve. Raises ``OSError``."""

    def let_go(self, thread: int, number: int) -> None:
        """Let a stopped thread go on untraced, with a signal unless 0."""

    def hurry(self, thread: int) -> None:
        """Make a traced thread stop soon."""

    def kill(self, process: int) -> None:
        """Kill a process."""

    def share_process(self, thread: int, other: int) -> bool:
        """Whether both are threads of one process."""

    def former_thread(self, process: int) -> int:
        """Which thread of ``process`` made the execve after which it is stopped."""

    def outcome(self, process: int) -> Outcome | None:
        """What a process in the stop of an execve came to; None when it cannot be told."""

    def executed(self, process: int) -> Execution | None:
        """The command that such a process runs; None when it cannot be told."""

    def tell(self, thread: int, text: str) -> None:
        """Write a line to the standard error of ``thread``, as far as that is safe."""


class _Calling(NamedTuple):
    """A call that waits for its decision."""

    notification: Notification
    outcome: Outcome | None


class _Running(NamedTuple):
    """A program that stands before its first instruction and is not what was decided."""

    process: int


class Supervisor:
    """The commands of one agent. ``ask(n, command)`` sends question ``n`` to the guard and does not wait.

    ``agent`` is the process that becomes the agent, and ``arguments`` what the job calls it with: its first execve, and
    those in which that process passes all of them on (a script, its interpreter), are the agent's launch.
    """

    def __init__(
        self,
        processes: Processes,
        ask: Callable[[int, Command], None],
        agent: int,
        arguments: tuple[bytes, ...],
    ) -> None:
        self._processes = processes
        self._ask = ask
        self._agent = agent
        self._arguments = arguments
        self._launched = False
        self._questions = 0
        self._decided: dict[bytes, tuple[int, str]] = {}
        self._asked: dict[bytes, int] = {}
        self._waiting: dict[int, tuple[bytes, Execution, list[_Calling | _Running]]] = {}
        self._released: dict[int, Outcome | None] = {}
        self._repeats: Counter[int] = Counter()

    def notified(self) -> None:
        """Serve one call that waits, if there is one. Raises ``OSError`` when the kernel does not serve any more."""
        notification = self._processes.receive()
        if notification is None:
            return
        try:
            execution = self._processes.read(notification)
        except OSError as error:
            self._processes.fail(notification, error.errno or errno.EPERM)
            return
        if execution is not None:
            launch = notification.thread == self._agent and self._is_launch(execution)
            self._consider(
                execution._replace(launch=True) if launch else execution, _Calling(notification, execution.outcome)
            )

    def answered(self, question: int, refusal: str) -> None:
        """The guard's answer, for good: :data:`CONSENT`, or a sentence that says why not."""
        key, execution, parties = self._waiting.pop(question)
        del self._asked[key]
        if len(self._decided) >= REMEMBERED:
            self._decided.clear()
        self._decided[key] = question, refusal
        self._repeats[question] += len(parties) - 1
        for party in parties:
            self._settle(party, execution, refusal)

    def answered_once(self, question: int, refusal: str) -> None:
        """The guard's answer for this one execution: the others that wait for the same command are asked about anew."""
        key, execution, (first, *others) = self._waiting.pop(question)
        del self._asked[key]
        self._settle(first, execution, refusal)
        for party in others:
            self._consider(execution, party)

    def stopped(self, thread: int, status: int) -> None:
        """A traced thread stopped."""
        event, number = status >> 16, os.WSTOPSIG(status)
        if event == EVENT_EXEC:
            self._arrived(thread)
        else:
            self._released.pop(thread, None)
            self._processes.let_go(thread, 0 if event else number)

    def ended(self, thread: int) -> None:
        """A process or a traced thread is gone."""
        self._released.pop(thread, None)

    def repeats(self) -> dict[int, int]:
        """How many more times the command of each question was executed or refused since this was last called."""
        counted = {question: count for question, count in self._repeats.items() if count}
        self._repeats.clear()
        return counted

    def _is_launch(self, execution: Execution) -> bool:
        first, self._launched = not self._launched, True
        count = len(self._arguments)
        return first or (count > 0 and execution.argv[-count:] == self._arguments and len(execution.argv) > count)

    def _consider(self, execution: Execution, party: _Calling | _Running) -> None:
        key = execution.key
        if (decided := self._decided.get(key)) is not None:
            question, refusal = decided
            self._repeats[question] += 1
            self._settle(party, execution, refusal)
        elif (asked := self._asked.get(key)) is not None:
            self._waiting[asked][2].append(party)
        else:
            self._questions += 1
            self._asked[key] = self._questions
            self._waiting[self._questions] = key, execution, [party]
            self._ask(self._questions, execution.command())

    def _settle(self, party: _Calling | _Running, execution: Execution, refusal: str) -> None:
        match party:
            case _Calling(notification, outcome) if refusal == CONSENT:
                self._release(notification, outcome)
            case _Calling(notification, _):
                self._tell(notification.thread, execution, refusal)
                self._processes.fail(notification, errno.EPERM)
            case _Running(process) if refusal == CONSENT:
                self._processes.let_go(process, 0)
            case _Running(process):
                self._tell(process, execution, refusal)
                self._processes.kill(process)

    def _release(self, notification: Notification, outcome: Outcome | None) -> None:
        thread = notification.thread
        if thread not in self._released:
            siblings = [other for other in self._released if self._processes.share_process(other, thread)]
            if siblings or len(self._released) >= MOST_RELEASED:
                for other in siblings or list(self._released):
                    self._processes.hurry(other)
                self._processes.fail(notification, errno.EAGAIN)
                return
            try:
                self._processes.trace(thread)
            except OSError:
                # Gone, or traced by another, who could change what it runs.
                self._processes.fail(notification, errno.EPERM)
                return
        self._released[thread] = outcome
        self._processes.proceed(notification)

    def _arrived(self, process: int) -> None:
        expected = self._released.pop(self._processes.former_thread(process), None)
        self._released.pop(process, None)
        if expected is not None and self._processes.outcome(process) == expected:
            self._processes.let_go(process, 0)
            return
        execution = self._processes.executed(process)
        if execution is None:
            self._processes.kill(process)
        else:
            self._consider(execution, _Running(process))

    def _tell(self, thread: int, execution: Execution, refusal: str) -> None:
        name = (execution.argv[0] if execution.argv else execution.path).decode("utf-8", "backslashreplace")
        self._processes.tell(thread, f"ciguard: {name}: {refusal}")
