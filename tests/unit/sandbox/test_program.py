"""Which file an execve runs, and which shell script."""

from __future__ import annotations

import errno
import os
import subprocess
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ciguard.sandbox.program import (
    HEAD,
    LONGEST_SCRIPT,
    Program,
    Programs,
    interpreter,
    script_argument,
    script_of,
    seen_from,
)

SHEBANGS = {
    b"#!/bin/sh\n": (b"/bin/sh",),
    b"#! \t/bin/sh  \t\n": (b"/bin/sh",),
    b"#!/bin/sh -e\nrest": (b"/bin/sh", b"-e"),
    b"#!/usr/bin/env -S bash -e \n": (b"/usr/bin/env", b"-S bash -e"),
    b"#!/bin/sh\t-e -x\n": (b"/bin/sh", b"-e -x"),
    b"#!/bin/sh": (b"/bin/sh",),
    b"#!\n": (),
    b"#! \n/bin/sh\n": (),
    b"\x7fELF": (),
    b"": (),
    b" #!/bin/sh\n": (),
    b"#!/" + b"x" * (HEAD - 3): (),
}


@pytest.mark.parametrize(("head", "words"), SHEBANGS.items())
def test_the_first_line_names_the_interpreter(head: bytes, words: tuple[bytes, ...]) -> None:
    assert interpreter(head) == words


@settings(max_examples=60)
@given(gap=st.sampled_from([b"", b" ", b"\t", b"  "]), argument=st.text("-ab \t", max_size=8))
def test_the_kernel_reads_the_first_line_the_same_way(
    tmp_path_factory: pytest.TempPathFactory, gap: bytes, argument: str
) -> None:
    """What the interpreter gets is what was foretold."""
    show = Path("/bin/echo").resolve()
    script = tmp_path_factory.mktemp("script") / "s"
    head = b"#!" + gap + os.fsencode(show) + b" " + argument.encode() + b"\n"
    script.write_bytes(head)
    script.chmod(0o755)
    done = subprocess.run([script, "end"], capture_output=True)
    words = [word.decode() for word in interpreter(head)[1:]]
    foretold = subprocess.run([show, *words, script, "end"], capture_output=True)
    assert done.stdout == foretold.stdout


def test_a_program_is_found_through_links(tmp_path: Path) -> None:
    real = tmp_path / "real"
    real.write_bytes(b"\x7fELF")
    (tmp_path / "link").symlink_to("real")
    status = real.stat()
    identity = (status.st_dev, status.st_ino)
    assert Programs().find(os.fsencode(tmp_path / "link")) == Program(os.fsencode(real), identity, True, (), identity)


def test_a_script_runs_its_interpreter_and_that_ones(tmp_path: Path) -> None:
    inner, outer = tmp_path / "inner", tmp_path / "outer"
    inner.write_text("#!/bin/sh -e\n")
    outer.write_text(f"#!{inner} x y\n")
    found = Programs().find(os.fsencode(outer))
    assert found.interpreter == (b"/bin/sh", b"-e", os.fsencode(inner), b"x y")
    status = Path("/bin/sh").stat()
    assert found.runs == (status.st_dev, status.st_ino)


def test_a_changed_script_is_read_again(tmp_path: Path) -> None:
    script, programs = tmp_path / "s", Programs()
    script.write_text("#!/bin/sh\n")
    assert programs.find(os.fsencode(script)).interpreter == (b"/bin/sh",)
    script.write_text("#!/bin/cat -n\n")
    assert programs.find(os.fsencode(script)).interpreter == (b"/bin/cat", b"-n")


def test_interpreters_that_run_one_another_end(tmp_path: Path) -> None:
    script = tmp_path / "s"
    script.write_text(f"#!{script}\n")
    with pytest.raises(OSError, match=os.strerror(errno.ELOOP)):
        Programs().find(os.fsencode(script))


@pytest.mark.parametrize(("name", "number"), [("none", errno.ENOENT), ("folder", errno.EACCES), ("file/x", 20)])
def test_what_cannot_be_executed_fails_as_for_the_kernel(tmp_path: Path, name: str, number: int) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match=os.strerror(number)):
        Programs().find(os.fsencode(tmp_path / name))


PLACES = {
    ("/bin/true", None): "/bin/true",
    ("./x", None): "/proc/7/cwd/./x",
    ("x", 4): "/proc/7/fd/4/x",
    ("", 4): "/proc/7/fd/4",
    ("/bin/x", 4): "/bin/x",
    ("/proc/self/exe", None): "/proc/7/exe",
    ("/proc/self/fd/3", None): "/proc/7/fd/3",
    ("/proc/thread-self/exe", None): "/proc/7/exe",
    ("/dev/fd/5", None): "/proc/7/fd/5",
}


@pytest.mark.parametrize(("said", "meant"), PLACES.items())
def test_a_path_is_that_of_the_process_that_says_it(said: tuple[str, int | None], meant: str) -> None:
    assert seen_from(7, said[0].encode(), said[1]) == meant.encode()


ARGUMENTS = {
    "sh file a b": "file",
    "sh -e file": "file",
    "sh -ex +x -o nounset file": "file",
    "bash --norc --rcfile rc file": "file",
    "bash -O extglob file": "file",
    "sh -- -file": "-file",
    "sh": "",
    "sh -": "",
    "sh -s a": "",
    "sh -e": "",
    "sh -c code": None,
    "sh -ec code": None,
    "bash -lc code": None,
    "busybox sh file": "file",
    "busybox sh -c code": None,
}


@pytest.mark.parametrize(("line", "script"), ARGUMENTS.items())
def test_the_script_of_a_shell_is_told_from_its_options(line: str, script: str | None) -> None:
    assert script_argument(line.split()) == script


def shell(path: str = "/bin/sh") -> Program:
    return Program(path.encode(), (0, 0), True, (), (0, 0))


def test_what_is_too_long_or_no_file_is_not_read(tmp_path: Path) -> None:
    long = tmp_path / "long"
    long.write_text("x" * (LONGEST_SCRIPT + 1))
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    process = os.getpid()
    assert "65537 bytes" in script_of(process, shell(), [b"sh", os.fsencode(long)]).unread
    assert script_of(process, shell(), [b"sh", os.fsencode(fifo)]).unread == "its script is not a file"
    assert "cannot be read" in script_of(process, shell(), [b"sh", b"/none"]).unread


def test_only_scripts_for_shells_are_read(tmp_path: Path) -> None:
    script = tmp_path / "s"
    script.write_text("text")
    path, process = os.fsencode(script), os.getpid()
    for words, text in [
        ((b"/bin/sh",), "text"),
        ((b"/usr/bin/env", b"bash"), "text"),
        ((b"/usr/bin/env", b"-S bash -e"), "text"),
        ((b"/usr/bin/python3",), ""),
        ((b"/usr/bin/env", b"node"), ""),
    ]:
        assert script_of(process, Program(path, (0, 0), True, words, (0, 0)), [b"s"]).text == text, words
    assert script_of(process, shell("/usr/bin/python3"), [b"python3", path]).text == ""
