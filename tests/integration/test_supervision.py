"""Supervision with the real kernel: what is seen, what is refused, and attacks on the way between."""

from __future__ import annotations

import ctypes
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from ciguard.sandbox.command import Command
from ciguard.sandbox.notification import Listener, Notification
from ciguard.sandbox.seccomp import machine, number
from ciguard.sandbox.tracing import AgentProcesses
from tests.integration.supervised import Seen, consent, supervise

REFUSED = "rule no-victim: not here"


@pytest.fixture
def victim(tmp_path: Path) -> Path:
    """A program that must not run: it leaves a trace in its folder."""
    program = tmp_path / "victim"
    program.write_text(f"#!/bin/sh\necho ran >> {tmp_path}/ran\n")
    program.chmod(0o755)
    return program


def no_victim(command: Command) -> str:
    """Refuse the victim however it is named."""
    told = (command.path, *command.argv[:2], command.script)
    return REFUSED if not command.launch and any("victim" in word or "echo ran" in word for word in told) else ""


def ran(victim: Path) -> bool:
    """Whether the victim came to effect."""
    return (victim.parent / "ran").exists()


def sh(script: str, cwd: Path, decide: object = no_victim) -> Seen:
    """Supervise a shell script as the agent."""
    return supervise(["sh", "-c", script], decide, cwd=cwd)  # type: ignore[arg-type]  # a decision


def compiled(folder: Path, source: str, *options: str) -> Path:
    """A C program."""
    program = folder / "attack"
    subprocess.run(["gcc", "-x", "c", "-", "-o", program, "-pthread", *options], input=source, text=True, check=True)
    return program


def test_every_process_is_seen_with_its_words(tmp_path: Path) -> None:
    seen = sh("/bin/echo one 'two  three'; env A=b true; cat < /dev/null | wc -l >&2", tmp_path)
    assert seen.status == 0, seen.errors
    words = [command.argv for command in seen.commands]
    assert words[1] == ("/bin/echo", "one", "two  three")
    assert sorted(words[2:]) == sorted([("env", "A=b", "true"), ("true",), ("cat",), ("wc", "-l")])
    assert all(command.cwd == str(tmp_path) for command in seen.commands)
    assert {command.parent for command in seen.commands[1:3]} == {os.path.realpath("/bin/sh")}
    assert seen.commands[0].launch
    assert not seen.commands[1].launch


def test_bytes_that_are_no_text_are_shown(tmp_path: Path) -> None:
    seen = sh("/bin/echo $(printf '\\377')", tmp_path)
    assert ("/bin/echo", "\\xff") in [command.argv for command in seen.commands]


OPENED = 'import os; f = os.open("vict" + "im", 0); os.set_inheritable(f, True)'
HIDDEN = {
    "directly": "./victim",
    "eval": "eval $(echo Li92aWN0aW0= | base64 -d)",
    "decoded and piped": "echo Li92aWN0aW0= | base64 -d | sh",
    "another interpreter": f"{sys.executable} -c 'import os; os.system(chr(46) + chr(47) + chr(118) + \"ictim\")'",
    "xargs": "echo victim | sed s,^,./, | xargs -n1 env",
    "find": "find . -name 'vic*' -exec {} \\;",
    "written, then run": "echo Li92aWN0aW0= | base64 -d > w.sh; sh w.sh",
    "a link": "ln -s victim innocent; ./innocent",
    "by a descriptor": f"{sys.executable} -c '{OPENED}; os.execve(f, [\"x\"], dict())'",
    "by /proc/self/fd": f'{sys.executable} -c \'{OPENED}; os.execv("/proc/self/fd/%d" % f, ["x"])\'',
    "by /dev/fd": f'{sys.executable} -c \'{OPENED}; os.execv("/dev/fd/%d" % f, ["x"])\'',
    "by /proc/self/cwd": "/proc/self/cwd/victim",
    "content of a script": "cat < victim > other; chmod +x other; ./other",
    "a script as an argument": "cat < victim > other; chmod +x other; sh ./other",
    "a script as an argument after options": "cat < victim > other; chmod +x other; sh -e -o nounset ./other",
    "a script as standard input": "cat < victim > other; chmod +x other; sh < other",
    "a script as standard input of -s": "cat < victim > other; chmod +x other; sh -s a b < other",
}


@pytest.mark.parametrize("script", HIDDEN.values(), ids=HIDDEN.keys())
def test_what_is_refused_does_not_run(victim: Path, script: str) -> None:
    assert sh(script, victim.parent, consent).status == 0
    assert ran(victim), "the attack works where nobody refuses it"
    (victim.parent / "ran").unlink()
    for left in ("innocent", "other", "w.sh"):
        (victim.parent / left).unlink(missing_ok=True)
    seen = sh(script, victim.parent)
    assert not ran(victim)
    assert REFUSED in seen.errors
    assert "ciguard: " in seen.errors


def test_the_error_is_one_of_permission(victim: Path) -> None:
    seen = sh("./victim", victim.parent)
    assert seen.status == 126
    assert "Operation not permitted" in seen.errors


def test_a_false_name_is_seen_with_the_true_one(tmp_path: Path) -> None:
    seen = sh(f'exec {sys.executable} -c \'import os; os.execv("/bin/cat", ["ls", "/dev/null"])\'', tmp_path)
    last = seen.commands[-1]
    assert (last.path, last.argv) == (os.path.realpath("/bin/cat"), ("ls", "/dev/null"))


@pytest.mark.parametrize("deleted", ["memfd", "unlinked"])
def test_a_program_without_a_name_has_a_flaw(tmp_path: Path, deleted: str) -> None:
    make = {
        "memfd": "f = os.memfd_create('x', 0); os.write(f, open('/bin/true', 'rb').read())",
        "unlinked": "import shutil; shutil.copy('/bin/true', 't'); f = os.open('t', os.O_PATH); os.unlink('t')",
    }[deleted]
    code = f"import os; {make}; os.execve(f, ['true'], {{}})"
    seen = supervise([sys.executable, "-c", code], lambda command: command.flaw, cwd=tmp_path)
    assert "no name in the file system" in seen.commands[-1].flaw
    assert "PermissionError" in seen.errors


def test_too_long_a_command_line_has_a_flaw(tmp_path: Path) -> None:
    code = "import os; os.execv('/bin/true', ['x' * 100_000, 'y' * 30_000, 'z' * 2_000])"
    seen = supervise([sys.executable, "-c", code], lambda command: command.flaw, cwd=tmp_path)
    assert "longer than 131072 bytes" in seen.commands[-1].flaw
    assert seen.status == 1


def test_failures_are_those_of_the_kernel(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("x")
    (tmp_path / "loop").symlink_to("loop")
    (tmp_path / "bad").write_text("#!/no/such/interpreter\n")
    (tmp_path / "bad").chmod(0o755)
    code = """
import os
for path in ("./none", "./data", ".", "./data/x", "./loop", "./bad", "", "x" * 5000):
    try:
        os.execv(path, ["x"])
    except OSError as error:
        print(error.errno, end=" ")
"""
    bare = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True).stdout
    assert supervise([sys.executable, "-c", code], cwd=tmp_path).output == bare


def test_a_program_that_the_kernel_does_not_know_fails_and_the_caller_lives_on(tmp_path: Path) -> None:
    odd = tmp_path / "odd"
    odd.write_bytes(b"not a program")
    odd.chmod(0o755)
    code = """
import os, signal, time
try:
    os.execv("./odd", ["odd"])
except OSError as error:
    print(error.errno)
signal.signal(signal.SIGUSR1, lambda *_: print("signal"))
os.kill(os.getpid(), signal.SIGUSR1)
os.execv("/bin/echo", ["echo", "still", "here"])
"""
    seen = supervise([sys.executable, "-u", "-c", code], cwd=tmp_path)
    assert seen.output.split() == ["8", "signal", "still", "here"], seen.errors


def test_a_thread_that_is_not_the_first_executes(tmp_path: Path) -> None:
    code = "import os, threading; threading.Thread(target=os.execv, args=('/bin/echo', ['echo', 'hi'])).start()"
    assert supervise([sys.executable, "-c", code], cwd=tmp_path).output == "hi\n"


def test_a_held_command_waits_and_nothing_else_does(victim: Path) -> None:
    done = victim.parent / "others"

    def decide(command: Command) -> str | None:
        return None if "victim" in command.argv[0] else ""

    def later(held: list[tuple[int, Command]]) -> dict[int, str]:
        return {number: "" for number, _ in held} if done.exists() else {}

    seen = supervise(
        ["sh", "-c", "./victim & for i in 1 2 3; do env true; done; touch others; wait"], decide, later, victim.parent
    )
    assert seen.status == 0
    assert ran(victim)


def test_a_held_command_survives_signals(victim: Path) -> None:
    code = """
import os, signal, subprocess, time
ready, tell = os.pipe()
child = os.fork()
if not child:
    signal.signal(signal.SIGUSR1, lambda *_: None)
    os.write(tell, b"!")
    os.execv("./victim", ["victim"])
os.read(ready, 1)
time.sleep(0.2)
for _ in range(20):
    os.kill(child, signal.SIGUSR1)
    time.sleep(0.01)
open("others", "w").close()
os.waitpid(child, 0)
"""
    asked = []

    def decide(command: Command) -> str | None:
        if "victim" not in command.argv[0]:
            return ""
        asked.append(command)
        return None

    def later(held: list[tuple[int, Command]]) -> dict[int, str]:
        return {number: "" for number, _ in held} if (victim.parent / "others").exists() else {}

    supervise([sys.executable, "-c", code], decide, later, victim.parent)
    assert len(asked) == 1


def test_repeats_are_counted(tmp_path: Path) -> None:
    seen = sh("i=0; while [ $i -lt 50 ]; do /bin/true; i=$((i+1)); done", tmp_path)
    assert len(seen.commands) == 2
    assert list(seen.repeats.values()) == [49]


RACES = {
    # Another thread changes the word between the two readings.
    "a word in shared memory": """
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
static char word[] = "innocent";
static void *flip(void *_) { for (;;) { memcpy(word, "innocent", 8); memcpy(word, "dreadful", 8); } }
int main(void) {
  for (int i = 0; i < 300; i++) {
    pthread_t t;
    int child = fork();
    if (!child) {
      pthread_create(&t, 0, flip, 0);
      char *argv[] = {"./note", word, 0};
      execv("./note", argv); _exit(9);
    }
    waitpid(child, 0, 0);
  }
}""",
    # Another process with the same memory changes the path.
    "the path in a process with the same memory": """
#define _GNU_SOURCE
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
static char path[] = "./note";
static char *argv[] = {"x", "innocent", 0};
static volatile int stop;
static int run(void *_) { execv(path, argv); _exit(9); }
static char stack[65536];
int main(void) {
  for (int i = 0; i < 300; i++) {
    int child = clone(run, stack + sizeof stack, CLONE_VM | SIGCHLD, 0);
    int status;
    for (int n = 0; waitpid(child, &status, WNOHANG) == 0; n++) memcpy(path, n & 1 ? "./dead" : "./note", 6);
  }
}""",
    # The link that the path goes through is changed.
    "a link": """
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>
int main(void) {
  int flipper = fork();
  if (!flipper) for (;;) {
    symlink("note", "l.1"); rename("l.1", "link");
    symlink("dead", "l.2"); rename("l.2", "link");
  }
  for (int i = 0; i < 300; i++) {
    int child = fork();
    if (!child) { char *argv[] = {"x", "innocent", 0}; execv("./link", argv); _exit(9); }
    waitpid(child, 0, 0);
  }
  kill(flipper, 9);
}""",
    # The folder that the command runs in is changed by a thread that shares it.
    "the folder": """
#define _GNU_SOURCE
#include <pthread.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>
static void *flip(void *here) { for (;;) { chdir("/"); chdir(here); } }
int main(int argc, char **given) {
  for (int i = 0; i < 300; i++) {
    int child = fork();
    if (!child) {
      pthread_t t;
      pthread_create(&t, 0, flip, given[1]);
      char *argv[] = {"x", "innocent", given[2], 0};
      execv(given[2], argv); _exit(9);
    }
    waitpid(child, 0, 0);
  }
}""",
}


MOST_BARE_RACES = 20
"""Times that an attack may take to win its race where nobody looks; on a busy machine it needs a few."""


@pytest.mark.parametrize("source", RACES.values(), ids=RACES.keys())
def test_no_race_makes_another_command_run(tmp_path: Path, source: str) -> None:
    note, dead = tmp_path / "note.c", tmp_path / "dead.c"
    log = tmp_path / "log"
    for program in (note, dead):
        program.write_text(f"""
#include <fcntl.h>
#include <string.h>
#include <unistd.h>
int main(int argc, char **argv) {{
  int log = open("{log}", O_WRONLY | O_APPEND | O_CREAT, 0600);
  char here[4096]; getcwd(here, sizeof here);
  const char *what = strcmp(here, "/") == 0 ? "root" : "{program.stem}";
  write(log, what, 4); write(log, " ", 1); write(log, argv[1], strlen(argv[1])); write(log, "\\n", 1);
}}""")
        subprocess.run(["gcc", program, "-o", tmp_path / program.stem], check=True)
    attack = compiled(tmp_path, source, "-Wno-implicit-function-declaration")

    def decide(command: Command) -> str:
        if command.launch or (command.path, command.argv[1], command.cwd) == (
            str(tmp_path / "note"),
            "innocent",
            str(tmp_path),
        ):
            return ""
        return REFUSED

    argv = [str(attack), str(tmp_path), str(tmp_path / "note")]
    bare: set[str] = set()
    for _ in range(MOST_BARE_RACES):
        subprocess.run(argv, cwd=tmp_path, timeout=60)
        bare = set(log.read_text().splitlines())
        if len(bare) > 1:
            break
    assert len(bare) > 1, f"the race is won where nobody looks: {bare}"
    log.unlink()
    seen = supervise(argv, decide, cwd=tmp_path)
    assert set(log.read_text().splitlines()) == {"note innocent"}
    assert len(seen.commands) > 2, "the race was run: something else than the innocent command was asked for"


def test_a_supervisor_that_is_gone_leaves_nothing_to_execute(tmp_path: Path) -> None:
    code = """
import os, time
while True:
    time.sleep(0.01)
    child = os.fork()
    if not child:
        try:
            os.execv("/bin/true", ["true"])
        except OSError as error:
            open("errno", "w").write(str(error.errno))
            os._exit(1)
    os.waitpid(child, 0)
    if os.path.exists("errno"):
        break
"""
    guardian = f"""
import os, sys, threading
sys.path.insert(0, {str(Path(__file__).parents[2])!r})
from tests.integration.supervised import supervise
threading.Timer(1.0, os._exit, (0,)).start()
supervise([sys.executable, "-c", {code!r}])
"""
    subprocess.run([sys.executable, "-c", guardian], cwd=tmp_path, check=True)
    for _ in range(200):
        if (tmp_path / "errno").exists() and (tmp_path / "errno").read_text():
            break
        subprocess.run(["sleep", "0.02"], check=True)
    assert (tmp_path / "errno").read_text() == "38"


def test_a_line_for_a_person_goes_nowhere_it_may_not(tmp_path: Path, victim: Path) -> None:
    """A standard error that is a pipe nobody reads does not stop the supervisor."""
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    code = f"""
import os, subprocess
reading, writing = os.pipe()
os.set_blocking(writing, False)
try:
    while True:
        os.write(writing, b"x" * 4096)
except BlockingIOError:
    pass
os.set_blocking(writing, True)
for _ in range(3):
    try:
        subprocess.run(["{victim}"], stderr=writing)
    except PermissionError as error:
        print(error.errno)
"""
    seen = supervise([sys.executable, "-c", code], no_victim, cwd=tmp_path)
    assert seen.output.split() == ["1"] * 3
    assert stat.S_ISFIFO(fifo.stat().st_mode)


def test_a_call_that_ended_meanwhile_is_not_taken_for_what_is_there_now(tmp_path: Path) -> None:
    """The number of a thread may be another's by the time that its memory is read."""

    class Over(Listener):
        def is_waiting(self, id_: int) -> bool:
            return False

    path = ctypes.create_string_buffer(b"/bin/true")
    notification = Notification(1, os.getpid(), number("execve", machine()), (ctypes.addressof(path), 0, 0, 0, 0, 0))
    with (tmp_path / "listener").open("w") as file:
        assert AgentProcesses(Over(file.fileno()), ()).read(notification) is None
        path.value = b"/no"
        assert AgentProcesses(Over(file.fileno()), ()).read(notification) is None


def test_whether_commands_can_be_supervised_is_found_out_by_trying() -> None:
    """Behind a filter that refuses ptrace nobody can supervise; without one, this machine can."""
    code = """
from ciguard.sandbox.confinement import Confinement
from ciguard.sandbox.seccomp import Network, load, program
from ciguard.sandbox.supervising import trial
wanted = Confinement(network="own", supervised=("commands",))
print(trial(wanted) or "yes")
load(program(Network.OWN), supervised=False)
print(trial(wanted))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=30)
    assert done.stdout.splitlines() == ["yes", "the agent cannot be supervised: Operation not permitted"]
