"""Which files of SQL a client of a database is given."""

from __future__ import annotations

import os
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ciguard.inspect import sql_clients
from ciguard.sandbox.program import LONGEST_SCRIPT, Program
from ciguard.sandbox.sql_files import CLIENTS, MOST, STANDARD_INPUT, named_files, sql_files


def test_every_client_whose_words_are_read_has_its_files_read() -> None:
    assert set(sql_clients.CLIENTS) == CLIENTS


@pytest.mark.parametrize(
    ("words", "names"),
    [
        ("-f m.sql", ["m.sql"]),
        ("-fm.sql db", ["m.sql"]),
        ("-Atqf m.sql -c x", ["m.sql"]),
        ("--file m.sql --file=n.sql", ["m.sql", "n.sql"]),
        ("-i m.sql", ["m.sql"]),
        ("--input-file=m.sql", ["m.sql"]),
        ("-init m.sql app.db", ["m.sql"]),
        ("--queries-file m.sql", ["m.sql"]),
        ("u/p@db @m.sql", ["m.sql"]),
        ("-f -", ["-"]),
        ("-c x app.db m.sql", []),
        ("", []),
    ],
)
def test_words_that_may_name_a_file(words: str, names: list[str]) -> None:
    assert list(named_files(words.split())) == names


@given(
    st.lists(st.sampled_from(["-f", "-", "--", "--file", "--file=", "@", "x", "-qf", "-init", "", "-F"]), max_size=6)
)
def test_any_words_are_read(words: list[str]) -> None:
    assert all(isinstance(name, str) for name in named_files(words))


@pytest.fixture
def sleeping(tmp_path: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A process in ``tmp_path`` with a file as their standard input."""
    (tmp_path / "in.sql").write_text("drop table x")
    with (
        (tmp_path / "in.sql").open() as given_,
        subprocess.Popen(["sleep", "60"], stdin=given_, cwd=tmp_path) as process,
    ):
        yield process
        process.kill()


def found(process: subprocess.Popen[bytes], line: str, path: bytes = b"/usr/bin/psql") -> dict[str, str]:
    program = Program(path, (0, 0), True, (), (0, 0))
    return {
        name: text.unread or text.text for name, text in sql_files(process.pid, program, os.fsencode(line).split(b" "))
    }


def test_files_are_read_from_where_the_process_is(sleeping: subprocess.Popen[bytes], tmp_path: Path) -> None:
    (tmp_path / "m.sql").write_bytes(b"delete from t -- \xff")
    seen = found(sleeping, "psql -f m.sql -f /no/such.sql -f .")
    assert seen == {"m.sql": "delete from t -- \\xff", STANDARD_INPUT: "drop table x"}
    assert found(sleeping, "x -f m.sql")["m.sql"] == seen["m.sql"]
    assert found(sleeping, "psql", b"/opt/wrapper") == {STANDARD_INPUT: "drop table x"}
    assert found(sleeping, "cat -f m.sql", b"/bin/cat") == {}


def test_what_is_too_long_or_too_much_is_not_read(sleeping: subprocess.Popen[bytes], tmp_path: Path) -> None:
    for number in range(MOST + 2):
        (tmp_path / f"{number}.sql").write_text("select 1")
    seen = found(sleeping, "psql " + " ".join(f"-f {number}.sql" for number in range(MOST + 2)))
    assert set(seen) == {STANDARD_INPUT, *(f"{number}.sql" for number in range(MOST))}
    (tmp_path / "0.sql").write_text("x" * (LONGEST_SCRIPT + 1))
    (tmp_path / "in.sql").write_text("x" * (LONGEST_SCRIPT + 1))
    seen = found(sleeping, "psql -f 0.sql")
    assert list(seen) == [STANDARD_INPUT]
    assert "more than" in seen[STANDARD_INPUT]


@pytest.mark.parametrize(("kind", "told"), [("pipe", "a pipe"), ("socket", "a pipe"), ("null", ""), ("gone", "")])
def test_what_comes_through_a_pipe_is_not_read_and_said(kind: str, told: str) -> None:
    ours, theirs = socket.socketpair()
    given_ = {"pipe": subprocess.PIPE, "socket": theirs.fileno()}.get(kind, subprocess.DEVNULL)
    with ours, theirs, subprocess.Popen(["sleep", "60"], stdin=given_) as process:
        if kind == "gone":
            process.kill()
            process.wait()
        seen = found(process, "psql -f m.sql")
        process.kill()
    assert list(seen) == ([STANDARD_INPUT] if told else [])
    assert told in seen.get(STANDARD_INPUT, "")
