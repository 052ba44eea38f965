"""The supervisor's decisions, with the kernel played by a stand-in that keeps what really happens."""

from __future__ import annotations

import errno
import signal
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ciguard.sandbox import supervisor as module
from ciguard.sandbox.command import Command
from ciguard.sandbox.execution import Execution, Outcome
from ciguard.sandbox.notification import EVENT_EXEC, Notification
from ciguard.sandbox.supervisor import CONSENT, Supervisor

AGENT = 10
EXEC_STOP = (signal.SIGTRAP | EVENT_EXEC << 8) << 8 | 0x7F
SIGNAL_STOP = signal.SIGUSR1 << 8 | 0x7F
EVENT_STOP = 128 << 16 | signal.SIGTRAP << 8 | 0x7F
REFUSED = "rule no-rm: never"


def execution(*argv: str, cwd: str = "/w", inode: int = 1, flaw: str = "") -> Execution:
    words = tuple(word.encode() for word in argv)
    come_to = Outcome((1, inode), b"".join(word + b"\0" for word in words), cwd.encode())
    return Execution(b"/bin/" + words[0], words, cwd.encode(), b"/bin/sh", flaw=flaw, outcome=None if flaw else come_to)


class Kernel:
    """Threads that make calls, and everything that was done to them, in order."""

    def __init__(self) -> None:
        self.calls: list[tuple[Notification, Execution | OSError | None]] = []
        self.did: list[tuple[object, ...]] = []
        self.groups: dict[int, int] = {}
        self.traced: set[int] = set()
        self.came_to: dict[int, Execution | None] = {}
        self.former: dict[int, int] = {}
        self.untraceable: set[int] = set()
        self._ids = 0

    def call(self, thread: int, what: Execution | OSError | None) -> None:
        self._ids += 1
        self.calls.append((Notification(self._ids, thread, 59, ()), what))

    def receive(self) -> Notification | None:
        return self.calls[0][0] if self.calls else None

    def read(self, notification: Notification) -> Execution | None:
        what = self.calls.pop(0)[1]
        if isinstance(what, OSError):
            raise what
        return what

    def fail(self, notification: Notification, number: int) -> None:
        self.did.append(("fail", notification.thread, number))

    def proceed(self, notification: Notification) -> None:
        assert notification.thread in self.traced, "what goes on must be traced"
        self.did.append(("proceed", notification.thread))

    def trace(self, thread: int) -> None:
        if thread in self.untraceable:
            raise PermissionError(errno.EPERM, "traced by another")
        assert thread not in self.traced
        same = {other for other in self.traced if self.share_process(other, thread)}
        assert not same, "this would wait for the other thread for ever"
        self.traced.add(thread)
        self.did.append(("trace", thread))

    def let_go(self, thread: int, number: int) -> None:
        self.traced.discard(thread)
        self.did.append(("let go", thread, number))

    def hurry(self, thread: int) -> None:
        self.did.append(("hurry", thread))

    def kill(self, process: int) -> None:
        self.did.append(("kill", process))

    def share_process(self, thread: int, other: int) -> bool:
        return self.groups.get(thread, thread) == self.groups.get(other, other)

    def former_thread(self, process: int) -> int:
        return self.former.get(process, process)

    def outcome(self, process: int) -> Outcome | None:
        found = self.came_to[process]
        return found.outcome if found else None

    def executed(self, process: int) -> Execution | None:
        return self.came_to[process]

    def tell(self, thread: int, text: str) -> None:
        self.did.append(("tell", thread, text))


class World:
    """A supervisor over such a kernel, and what it asks."""

    def __init__(self, arguments: tuple[bytes, ...] = ()) -> None:
        self.kernel = Kernel()
        self.asked: list[tuple[int, Command]] = []
        self.supervisor = Supervisor(
            self.kernel, lambda number, command: self.asked.append((number, command)), AGENT, arguments
        )

    def calls(self, thread: int, what: Execution | OSError | None) -> None:
        self.kernel.call(thread, what)
        self.supervisor.notified()

    def allows(self, thread: int, what: Execution) -> None:
        """``thread`` calls, and is allowed to go on."""
        self.calls(thread, what)
        number, _ = self.asked[-1]
        self.supervisor.answered(number, CONSENT)

    def arrives(self, thread: int, at: Execution | None) -> None:
        """The execve of ``thread`` is done, and led to ``at``."""
        self.kernel.came_to[thread] = at
        self.supervisor.stopped(thread, EXEC_STOP)

    @property
    def did(self) -> list[tuple[object, ...]]:
        done, self.kernel.did = self.kernel.did, []
        return done


LS, RM = execution("ls", "-l"), execution("rm", "-rf", "/")


def test_nothing_goes_on_before_the_answer() -> None:
    world = World()
    world.calls(20, LS)
    assert world.did == []
    assert world.asked == [(1, LS.command())]
    world.supervisor.answered(1, CONSENT)
    assert world.did == [("trace", 20), ("proceed", 20)]


def test_what_runs_as_decided_is_let_go() -> None:
    world = World()
    world.allows(20, LS)
    world.did  # noqa: B018 - forgets what was done so far
    world.arrives(20, LS)
    assert world.did == [("let go", 20, 0)]
    assert len(world.asked) == 1


def test_a_refused_call_fails_and_says_why() -> None:
    world = World()
    world.calls(20, RM)
    world.supervisor.answered(1, REFUSED)
    assert world.did == [("tell", 20, f"ciguard: rm: {REFUSED}"), ("fail", 20, errno.EPERM)]


def test_the_same_command_is_asked_once() -> None:
    world = World()
    world.calls(20, LS)
    world.calls(21, LS)
    world.supervisor.answered(1, CONSENT)
    world.calls(22, LS)
    world.calls(23, LS._replace(cwd=b"/other"))
    assert [number for number, _ in world.asked] == [1, 2]
    assert [step for step in world.did if step[0] == "proceed"] == [("proceed", thread) for thread in (20, 21, 22)]
    assert world.supervisor.repeats() == {1: 2}
    assert world.supervisor.repeats() == {}


def test_what_was_refused_stays_refused() -> None:
    world = World()
    world.calls(20, RM)
    world.supervisor.answered(1, REFUSED)
    world.calls(20, RM)
    assert [step[0] for step in world.did] == ["tell", "fail"] * 2
    assert world.supervisor.repeats() == {1: 1}


@pytest.mark.parametrize(
    "changed",
    [
        execution("rm", "-rf", "/", inode=2),
        execution("ls", "-l", "/secret"),
        execution("ls", "-l", inode=2),
        execution("ls", "-l", cwd="/elsewhere"),
    ],
)
def test_what_runs_otherwise_than_decided_is_decided_on_what_it_is(changed: Execution) -> None:
    world = World()
    world.allows(20, LS)
    world.did  # noqa: B018
    world.arrives(20, changed)
    if changed.key == LS.key:  # the same words for another file: allowed already
        assert world.did == [("let go", 20, 0)]
        return
    assert world.did == []
    number, command = world.asked[-1]
    assert command == changed.command()
    world.supervisor.answered(number, REFUSED)
    assert world.did[-1] == ("kill", 20)


def test_a_race_that_leads_to_what_is_allowed_is_harmless() -> None:
    world = World()
    world.allows(20, LS)
    world.allows(21, execution("true"))
    world.did  # noqa: B018
    world.arrives(20, execution("true"))
    assert world.did == [("let go", 20, 0)]


def test_what_cannot_be_looked_at_is_killed() -> None:
    world = World()
    world.allows(20, LS)
    world.arrives(20, None)
    assert world.did[-1] == ("kill", 20)


def test_a_call_fails_as_the_kernel_would_let_it() -> None:
    world = World()
    world.calls(20, FileNotFoundError(errno.ENOENT, ""))
    assert (world.did, world.asked) == ([("fail", 20, errno.ENOENT)], [])


def test_a_call_that_waits_no_more_is_left_alone() -> None:
    world = World()
    world.calls(20, None)
    world.supervisor.notified()
    assert (world.did, world.asked) == ([], [])


def test_a_thread_that_another_traces_does_not_execute() -> None:
    world = World()
    world.kernel.untraceable.add(20)
    world.allows(20, LS)
    assert world.did == [("fail", 20, errno.EPERM)]


@pytest.mark.parametrize(("status", "delivered"), [(SIGNAL_STOP, signal.SIGUSR1), (EVENT_STOP, 0)])
def test_a_thread_that_did_not_execute_is_let_go(status: int, delivered: int) -> None:
    world = World()
    world.allows(20, LS)
    world.did  # noqa: B018
    world.supervisor.stopped(20, status)
    assert world.did == [("let go", 20, delivered)]
    world.calls(20, LS)
    assert world.did == [("trace", 20), ("proceed", 20)]


def test_after_a_failed_execve_the_next_one_counts() -> None:
    world = World()
    world.allows(20, LS)
    world.allows(20, RM)
    assert world.did == [("trace", 20), ("proceed", 20), ("proceed", 20)]
    world.arrives(20, RM)
    assert world.did == [("let go", 20, 0)]


def test_two_threads_of_a_process_do_not_execute_at_once() -> None:
    world = World()
    world.kernel.groups = {20: 20, 21: 20}
    world.allows(20, LS)
    world.did  # noqa: B018
    world.calls(21, LS)
    assert world.did == [("hurry", 20), ("fail", 21, errno.EAGAIN)]
    world.supervisor.stopped(20, EVENT_STOP)
    world.calls(21, LS)
    assert world.did[-2:] == [("trace", 21), ("proceed", 21)]


def test_threads_on_their_way_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_RELEASED", 2)
    world = World()
    for thread in (20, 21, 22):
        world.calls(thread, LS)
        if thread == 20:
            world.supervisor.answered(1, CONSENT)
    assert world.did[-3:] == [("hurry", 20), ("hurry", 21), ("fail", 22, errno.EAGAIN)]
    world.supervisor.ended(20)
    world.calls(22, LS)
    assert world.did[-1] == ("proceed", 22)


def test_another_thread_than_the_first_may_execute() -> None:
    world = World()
    world.kernel.groups = {20: 20, 21: 20}
    world.allows(21, LS)
    world.kernel.former[20] = 21
    world.did  # noqa: B018
    world.arrives(20, LS)
    assert world.did == [("let go", 20, 0)]


def test_decisions_are_forgotten_when_there_are_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "REMEMBERED", 2)
    world = World()
    for word in ("a", "b", "c", "a"):
        world.allows(20, execution(word))
    assert len(world.asked) == 4


def test_the_launch_is_the_first_command_and_its_interpreters() -> None:
    prompt = b"drop the table"
    world = World((b"-p", prompt))
    text = prompt.decode()
    for thread, argv in [
        (20, ("claude", "-p", text)),
        (AGENT, ("claude", "-p", text)),
        (AGENT, ("node", "/bin/claude", "-p", text)),
        (AGENT, ("node", "-p", text, "more")),
        (AGENT, ("-p", text)),
        (21, ("node", "-p", text)),
    ]:
        world.calls(thread, execution(*argv))
    assert [command.launch for _, command in world.asked] == [False, True, True, False, False, False]


def test_without_arguments_only_the_first_command_is_the_launch() -> None:
    world = World()
    world.calls(AGENT, execution("agent"))
    world.calls(AGENT, execution("rm"))
    assert [command.launch for _, command in world.asked] == [True, False]


COMMANDS = [execution(word, inode=place) for place, word in enumerate(("ls", "rm", "cat", "dd"))]
BAD = {b"rm", b"dd"}


@settings(max_examples=300)
@given(data=st.data())
def test_whatever_happens_nothing_refused_ever_runs(data: st.DataObject) -> None:
    """Threads call, race, fail and end in any order; what is let go after an execve was allowed as what it is."""
    world = World()
    kernel = world.kernel
    running: dict[int, Execution] = {}

    def answer() -> None:
        number, command = world.asked[data.draw(st.integers(0, len(world.asked) - 1))]
        world.asked.remove((number, command))
        world.supervisor.answered(number, REFUSED if command.argv[0].encode() in BAD else CONSENT)

    def arrive() -> None:
        thread = data.draw(st.sampled_from(sorted(on_their_way)))
        on_their_way.discard(thread)
        running[thread] = data.draw(st.sampled_from(COMMANDS))
        world.arrives(thread, running[thread])

    on_their_way: set[int] = set()
    free = {20, 21, 22}
    for _ in range(data.draw(st.integers(1, 30))):
        steps: list[Callable[[], None]] = []
        if free:
            steps.append(lambda: world.calls(free.pop(), data.draw(st.sampled_from(COMMANDS))))
        if world.asked:
            steps.append(answer)
        if on_their_way:
            steps.append(arrive)
        if not steps:
            break
        data.draw(st.sampled_from(steps))()
        for step in world.did:
            match step:
                case ("proceed", int(thread)):
                    on_their_way.add(thread)
                case ("fail", int(thread), _):
                    free.add(thread)
                case ("let go", int(thread), _):
                    assert running[thread].argv[0] not in BAD
                    free.add(thread)
                case ("kill", int(thread)):
                    kernel.traced.discard(thread)
                    free.add(thread)
