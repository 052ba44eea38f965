"""The process between the guard and the agent: it confines the agent, waits for it, and ends all of it.

It runs on the bare standard library, and on the light parts of that (without dataclasses and hashlib, which would take
a third more memory), as pid 1 of a sandbox with a process namespace, and speaks with the guard on its standard input
(``control.py``):

1. guard: the :class:`~ciguard.sandbox.confinement.Confinement`
2. launcher: ``ready`` with its listening sockets, once a trial process took the whole confinement, and why commands
   stay ``unseen`` if they do; or ``refused``
3. guard: ``argv``, ``env``, ``cwd``, ``terminal``, with the agent's standard input, output and error
4. launcher: ``failed`` when the agent cannot be executed; ``exceeded`` when it is over a bound, and is killed;
   ``question`` with a ``command`` that is about to be executed; ``repeated`` and ``exited`` at last, with the number of
   processes that are ``left`` because they may not be killed
5. guard, at any time from 3 on: ``answer`` to a question, with a ``refusal`` or an empty one; ``signal``; or the end of
   the stream, at which everything is killed

The agent cannot reach this process: it is pid 1 of the agent's namespace, or outside of the agent's Landlock domain,
and cannot be read by anyone.
"""

from __future__ import annotations

import errno
import os
import select
import signal
import socket
import time
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, NoReturn

from ciguard.sandbox import control, processes, supervising
from ciguard.sandbox.confinement import Confinement, confinement
from ciguard.sandbox.confining import (
    CAP_KILL,
    CAP_SYS_PTRACE,
    PR_SET_CHILD_SUBREAPER,
    PR_SET_DUMPABLE,
    PR_SET_PDEATHSIG,
    confine,
    keep_capabilities,
    prctl,
)
from ciguard.sandbox.seccomp import Supervised

LOOPBACK = "127.0.0.1"
BACKLOG = 128
WATCH_SECONDS = 0.25
AHEAD = -10
"""The niceness of this process where it may choose: it must get to run beside an agent that fills the machine."""
IGNORED = (signal.SIGPIPE, signal.SIGXFSZ, signal.SIGINT, signal.SIGQUIT)
"""Signals that this process ignores, some by Python's doing, and the agent must not."""


def main() -> None:
    """Serve the guard at the other end of standard input."""
    channel = socket.socket(fileno=os.dup(0))
    prctl(PR_SET_DUMPABLE, 0)
    prctl(PR_SET_CHILD_SUBREAPER, 1)
    try:
        wanted = confinement(control.receive(channel)[0]["confinement"])
        if wanted.supervised:
            # Read now, while this process may read what the guard may.
            from ciguard.sandbox import supervisor, tracing  # noqa: F401
        refusal, unseen = supervising.trial(wanted), ""
        if refusal and Supervised.COMMANDS in wanted.supervised:
            others = tuple(name for name in wanted.supervised if name != Supervised.COMMANDS)
            wanted, unseen = wanted._replace(supervised=others), refusal
            refusal = supervising.trial(wanted)
        if refusal:
            control.send(channel, {"refused": refusal})
            return
        sockets = [socket.create_server((LOOPBACK, 0), backlog=BACKLOG) for _ in range(wanted.listeners)]
        control.send(channel, {"ready": True, "unseen": unseen}, [opened.fileno() for opened in sockets])
        for opened in sockets:
            opened.close()
        order, stdio = control.receive(channel)
        _serve(channel, wanted, order, stdio)
    except control.Closed:
        return
    except OSError as error:
        control.send(channel, {"refused": f"the launcher failed: {error.strerror}"})
    finally:
        processes.end_descendants()


def _serve(channel: socket.socket, wanted: Confinement, order: Mapping[str, Any], stdio: list[int]) -> None:
    woken, wakes = os.pipe()
    os.set_blocking(wakes, False)
    signal.set_wakeup_fd(wakes, warn_on_full_buffer=False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    failing, failed = os.pipe()
    taking, handing = socket.socketpair()
    agent = os.fork()
    if not agent:
        _become(handing, wanted, order, stdio, failed)
    os.close(failed)
    handing.close()
    with suppress(PermissionError):
        os.setpriority(os.PRIO_PROCESS, 0, AHEAD)
    for descriptor in stdio:
        os.close(descriptor)
    keep_capabilities(CAP_KILL, *((CAP_SYS_PTRACE,) if wanted.supervised else ()))
    listener = supervisor = None
    if wanted.supervised:
        supervising.act_as(wanted.uid, wanted.gid)
        listener, supervisor = supervising.supervisor(
            taking,
            agent,
            order["argv"],
            wanted.ports,
            lambda question, command: control.send(channel, {"question": question, "command": command.message()}),
        )
    taking.close()
    group = agent if not order["terminal"] else 0
    status: int | None = None
    waited = [channel.fileno(), woken, failing, *([listener.fileno()] if listener else [])]
    bounded = wanted.watched.processes is not None or wanted.watched.memory is not None
    watch_at = time.monotonic()
    while status is None:
        readable, _, _ = select.select(waited, [], [], WATCH_SECONDS if bounded else None)
        if listener is not None and supervisor is not None and listener.fileno() in readable:
            supervisor.notified()
        if channel.fileno() in readable:
            match control.receive(channel)[0]:
                case {"answer": int(question), "refusal": str(refusal), "once": bool(once)} if supervisor is not None:
                    (supervisor.answered_once if once else supervisor.answered)(question, refusal)
                case {"signal": int(number)} if number == signal.SIGKILL:
                    status = number
                case {"signal": int(number)}:
                    _signal(agent, group, number)
        if failing in readable:
            failure = os.read(failing, 16)
            waited.remove(failing)
            if failure:
                control.send(channel, {"failed": int(failure)})
                return
        if woken in readable:
            os.read(woken, 4096)
            for pid, ended in processes.reaped():
                if supervisor is not None and os.WIFSTOPPED(ended):
                    supervisor.stopped(pid, ended)
                    continue
                if supervisor is not None:
                    supervisor.ended(pid)
                if pid == agent:
                    status = ended
        if bounded and (now := time.monotonic()) >= watch_at:
            watch_at = now + WATCH_SECONDS
            if words := processes.exceeded(wanted.watched):
                control.send(channel, {"exceeded": words})
                status = signal.SIGKILL.value
    left = processes.end_descendants()
    if supervisor is not None:
        control.send(channel, {"repeated": [[question, count] for question, count in supervisor.repeats().items()]})
    control.send(channel, {"exited": os.waitstatus_to_exitcode(status), "left": len(left)})


def _become(
    channel: socket.socket, wanted: Confinement, order: Mapping[str, Any], stdio: list[int], failed: int
) -> NoReturn:
    """Turn into the agent, or tell the error's number through ``failed``."""
    try:
        prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        signal.set_wakeup_fd(-1)
        for number in (signal.SIGCHLD, *IGNORED):
            signal.signal(number, signal.SIG_DFL)
        if not order["terminal"]:
            os.setpgid(0, 0)
        for place, descriptor in enumerate(stdio):
            os.dup2(descriptor, place)
        listener = confine(wanted)
        # After a change of user, which clears it.
        prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if listener >= 0:
            supervising.hand_over(channel, listener)
        os.chdir(order["cwd"])
        os.execvpe(order["argv"][0], order["argv"], order["env"])  # noqa: S606 - the agent's own program
    except OSError as error:
        os.write(failed, str(error.errno or errno.EIO).encode())
    except BaseException:  # noqa: BLE001 - between fork and exec nothing may escape
        os.write(failed, str(errno.EIO).encode())
    finally:
        os._exit(127)


def _signal(agent: int, group: int, number: int) -> None:
    """Signal the agent's process group; the agent alone on a terminal, which signals the group by itself."""
    try:
        if group:
            os.killpg(group, number)
        else:
            os.kill(agent, number)
    except ProcessLookupError:
        return


if __name__ == "__main__":
    main()
