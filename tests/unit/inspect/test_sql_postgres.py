from __future__ import annotations

import subprocess
import sys

import pytest

from ciguard.inspect.sql_postgres import MOST_LINKED, MOST_NESTED, read, split
from ciguard.inspect.sql_statement import Unreadable

NESTED = "select " + "(" * MOST_NESTED + "1" + ")" * MOST_NESTED
LONG_INSERT = "insert into t values " + ", ".join(["(1, 'a', null)"] * 2000)


def test_depth_is_bounded_by_brackets_and_by_operators() -> None:
    assert len(read(NESTED).statements) == 1
    with pytest.raises(Unreadable):
        read(NESTED.replace("1", "(1)"))
    with pytest.raises(Unreadable):
        read("select 1" + " isnull" * MOST_LINKED)


def test_what_is_wide_is_not_deep() -> None:
    assert [statement.kind for statement in read(LONG_INSERT).statements] == ["insert"]
    assert len(read("select 1 + 1;" * MOST_LINKED).statements) == MOST_LINKED


def test_a_nul_is_not_where_the_text_ends() -> None:
    with pytest.raises(Unreadable):
        read("select 1\0; drop table x")


def test_statements_are_split_outside_of_quotes_and_brackets() -> None:
    assert split("a; 'b;' ; $$c;$$; (d; e); é; -- f;\n g") == [
        "a;",
        " 'b;' ;",
        " $$c;$$;",
        " (d; e);",
        " é;",
        " -- f;\n g",
    ]
    with pytest.raises(Unreadable):
        split("'open")


DEEP = """
import threading
from ciguard.inspect.sql import statements
from ciguard.inspect.sql_postgres import MOST_LINKED, MOST_NESTED
from ciguard.inspect.sql_statement import Dialect

TEXTS = [
    "select 1" + " isnull" * (MOST_LINKED - 1),
    "select " + "(select " * MOST_NESTED + "1" + ")" * MOST_NESTED,
    "select " + "a[" * MOST_NESTED + "1" + "]" * MOST_NESTED,
    "with a as(" * MOST_NESTED + "select 1" + ")select 1" * MOST_NESTED,
    *("select " + unit * count for unit in ("1+", "a[", "(select ", "not ") for count in (3_000, 30_000)),
    *("do $$ begin " + "begin " * count + "null;" + " end;" * count + " end $$" for count in (100, 3_000, 30_000)),
]

def run():
    for text in TEXTS:
        statements(text, Dialect.POSTGRES)
    print("whole")

threading.stack_size(512 * 1024)
thread = threading.Thread(target=run)
thread.start()
thread.join()
"""


def test_no_text_is_too_deep_for_a_small_stack() -> None:
    done = subprocess.run([sys.executable, "-c", DEEP], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "whole\n", "")
