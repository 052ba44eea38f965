"""Ending everything below a process, whatever a look at the processes of the machine shows."""

from __future__ import annotations

import subprocess
import sys

import pytest

LAUNCHER = """
import os, signal, time
from ciguard.sandbox import processes
from ciguard.sandbox.confining import PR_SET_CHILD_SUBREAPER, prctl

prctl(PR_SET_CHILD_SUBREAPER, 1)


def started():
    # In a session of its own, and with another below it.
    child = os.fork()
    if not child:
        os.setsid()
        os.fork()
        time.sleep(60)
        os._exit(0)
    return child


def have_ended():
    try:
        os.waitpid(-1, os.WNOHANG)
    except ChildProcessError:
        return True
    return False


"""

LOOKS = """
see, looks = processes.running, iter(range(1000))
processes.running = lambda: see() if next(looks) >= MISSING else iter(())
"""
"""The first ``MISSING`` looks at the processes of the machine show none."""

NOT_LISTED = """
list_folder = os.listdir


def listdir(folder):
    if folder == "/proc/self/task":
        raise FileNotFoundError
    return list_folder(folder)


os.listdir = listdir
"""
"""As with a kernel that keeps no lists of children."""


def as_launcher(code: str) -> None:
    """Run ``code`` in a process that inherits those below it who lose their parent."""
    ran = subprocess.run([sys.executable, "-c", LAUNCHER + code], capture_output=True, text=True, timeout=50)
    assert ran.returncode == 0, ran.stderr


@pytest.mark.parametrize("kernel", ["", NOT_LISTED], ids=["children listed", "children not listed"])
@pytest.mark.parametrize("missing", [0, 1, 5])
def test_nothing_is_left_though_looks_may_miss_it(kernel: str, missing: int) -> None:
    """As a look misses who was born while it was taken."""
    looks = LOOKS.replace("MISSING", str(missing))
    as_launcher(kernel + looks + "started(); started()\nassert processes.end_descendants() == []\nassert have_ended()")


def test_who_may_not_be_killed_is_told_and_all_others_have_ended() -> None:
    as_launcher("""
others, kill = started(), os.kill


def killing(pid, number):
    if pid != others:
        return kill(pid, number)
    raise PermissionError


started()
while len(list(processes.descendants(os.getpid(), processes.running()))) < 4:
    time.sleep(0.01)
os.kill, processes._PATIENCE = killing, 0.2
assert processes.end_descendants() == [others]
assert [process.pid for process in processes.descendants(os.getpid(), processes.running())] == [others]
kill(others, signal.SIGKILL)
""")


def test_who_may_not_be_killed_may_end_by_itself() -> None:
    as_launcher("""
others, kill = os.fork(), os.kill
if not others:
    time.sleep(0.3)
    os._exit(0)


def killing(pid, number):
    raise PermissionError


os.kill = killing
assert processes.end_descendants() == []
assert have_ended()
""")


def test_what_always_forks_and_may_not_be_stopped_is_told_too() -> None:
    as_launcher("""
import itertools

others, own, numbers = started(), os.getpid(), itertools.count(1 << 22)


def refused(whom, number):
    raise PermissionError


def running():
    yield processes.Process(next(numbers), own, own, "S", 0)


kill, os.kill, os.killpg, processes.running = os.kill, refused, refused, running
processes._STOPPING = processes._PATIENCE = 0.2
assert processes.end_descendants() == [others]
kill(-others, signal.SIGKILL)
""")
