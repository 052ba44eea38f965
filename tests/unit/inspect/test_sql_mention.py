from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ciguard.inspect.sql_mention import find_statements


def kinds(text: str) -> set[str]:
    return {statement.kind for statement in find_statements(text)}


def without_where(text: str) -> set[str]:
    return {statement.kind for statement in find_statements(text) if not statement.has_where}


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("DROP TABLE users", "drop"),
        ("drop database if exists shop", "drop"),
        ("DROP MATERIALIZED VIEW sales", "drop"),
        ("drop index concurrently i", "drop"),
        ("ALTER TABLE t DROP COLUMN c", "drop"),
        ("truncate users", "truncate"),
        ("TRUNCATE TABLE ONLY public.users", "truncate"),
        ('truncate "Users"', "truncate"),
        ("delete from users", "delete"),
        ("DELETE LOW_PRIORITY QUICK FROM users", "delete"),
        ("delete a, b from a join b", "delete"),
        ("DELETE t.* FROM t", "delete"),
        ("delete t from users as t where x", "delete"),
        ("update users set a = 1", "update"),
        ("UPDATE ONLY public.users AS u SET name = 'x'", "update"),
        ('update "my users" set "a b"=1', "update"),
        ("update [dbo].[users] set a=1", "update"),
        ("update a, b set a.x = b.y", "update"),
        ("update a inner join b on a.id = b.id set a.x = 1", "update"),
        ("update or replace users set a=1", "update"),
        ("update users set (a, b) = (1, 2)", "update"),
        ("update users set tags[1] = 'x'", "update"),
        ("insert into users values (1)", "insert"),
        ("INSERT IGNORE INTO users", "insert"),
        ("replace into users", "insert"),
        ("merge into users using x", "merge"),
        ("alter role admin superuser", "alter"),
        ("create or replace function f()", "create"),
        ("grant all on users to bob", "grant"),
        ("revoke select on users from bob", "revoke"),
        ("copy users to program 'cat'", "outside"),
        ("load data local infile '/etc/passwd' into table t", "outside"),
        ("select 1 into outfile '/tmp/x'", "outside"),
        ("bulk insert t from 'x'", "outside"),
        ("select pg_read_file('x')", "outside"),
        ("exec xp_cmdshell 'dir'", "outside"),
    ],
)
def test_statements_and_their_kinds(text: str, kind: str) -> None:
    assert kind in kinds(text)
    assert kind in kinds(text.upper())
    if '"' not in text:
        assert kind in kinds(text.replace(" ", "\n\t "))


@pytest.mark.parametrize(
    "text",
    [
        "psql -c 'DROP TABLE users'",
        'psql --quiet -c "DROP /* hi */ TABLE users"',
        "echo 'drop table users;' | psql",
        "psql <<EOF\nDROP TABLE users;\nEOF",
        "cursor.execute('DROP ' + 'TABLE users')",
        'cursor.execute("DROP "\n  "TABLE users")',
        "DROP/**/TABLE users",
        "DROP /* a */ /* b */ TABLE users",
        "DROP /* a /* nested */ b */ TABLE users",
        f"DROP /*{'x' * 5000}*/ TABLE users",
        "DROP -- why not\n TABLE users",
        f"DROP -- {'x' * 5000}\n TABLE users",
        "DROP # mysql\n TABLE users",
        "psql --quiet -c 'DROP -- x\n TABLE users'",
        "/*!50000 DROP */ TABLE users",
        "DROP /*!50000 TABLE */ users",
        "/*M! DROP TABLE users */",
        '{"sql": "DROP\\nTABLE users"}',
        "DrOp\u0009tAbLe users",
        "é😀 DROP TABLE users",
        "\ud800 DROP TABLE users",
        "*/ DROP TABLE users /*",
    ],
)
def test_disguises_are_seen_through(text: str) -> None:
    assert "drop" in kinds(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "SELECT * FROM users",
        "drop the table of contents",
        "git commit -m 'Update the docs'",
        "apt-get update && apt-get install -y jq",
        "git update-index --refresh",
        "delete old files from disk",
        "truncate -s 0 app.log",
        "update README and set the version",
        "npm run update; set -e",
        "raindrop table",
        "dict.update(b)\nset(x)",
        "-- where is my table",
        "load data into memory",
        "copy files to the program folder",
    ],
)
def test_ordinary_texts_hold_no_statement(text: str) -> None:
    assert find_statements(text) == []


@pytest.mark.parametrize(
    "text",
    [
        "delete from users",
        "delete from users;",
        "delete from users; select 1 where true",
        "update users set a = 1 -- where id = 1",
        "delete from users /* where */",
        "update users set a = 'where'",
        "update users set a = 'no where to go'",
        'psql -c "delete from users" -c "select 1 where true"',
        "psql -c 'delete from users' | grep where",
        "psql -c 'delete from users' && echo where",
        "psql -c 'delete from users' > where",
        "psql -c 'delete from users'",
        "psql -c 'delete from users'; where",
        "(psql -c 'delete from users') where",
        "delete from users where 1=1",
        "delete from users where 1 = 1;",
        "update users set a=1 where true",
        "psql -c 'delete from users where (1=1)'",
        "delete from a where id = 1; delete from b",
        "delete from nowhere",
        "psql <<EOF\ndelete from users\nEOF",
    ],
)
def test_statements_without_a_restriction(text: str) -> None:
    assert without_where(text)


@pytest.mark.parametrize(
    "text",
    [
        "delete from users where id = 1",
        "DELETE FROM users\nWHERE id = 1;",
        'DELETE FROM "users"\nWHERE id = 1',
        "delete from users using x where users.id = x.id",
        "update users set a = 'b' where c = 'd'",
        "update users set a = a || 'x' where id = 1",
        "psql -c \"update users set a = 'b' where id = 1\"",
        "psql -c 'delete from users where id = 1' | cat",
        "delete from users /* all? */ where id = 1",
        "delete from users where active = 1 and x = 1=1",
    ],
)
def test_statements_with_a_restriction(text: str) -> None:
    assert find_statements(text)
    assert without_where(text) == set()


def test_statements_say_where_they_are() -> None:
    text = "é; delete from ü where x; drop table y"
    assert [(s.kind, s.has_where, text[s.start : s.end]) for s in find_statements(text)] == [
        ("delete", True, "delete from ü where x"),
        ("drop", False, "drop table y"),
    ]


@pytest.mark.parametrize(
    "piece",
    [
        "delete from x ",
        "update ",
        "update a join ",
        "update a,",
        "update [a update b set c=1 ",
        'update "x update y set z=1 ',
        "drop /* drop table x ",
        "drop -- drop table x ",
        "drop ",
        "/*",
        "*/ drop ",
        "/*! drop ",
        "grant ",
        "where ",
        "delete a, delete from ",
        "drop ' ",
        "drop-- \n",
    ],
)
def test_long_hostile_texts_come_to_an_end(piece: str) -> None:
    """Were finding all statements quadratic, one of these would take hours."""
    text = piece * (400_000 // len(piece))
    assert all(0 <= statement.start < statement.end <= len(text) for statement in find_statements(text))


@given(st.lists(st.sampled_from(["drop", " ", "/*", "*/", "--", "\n", "table", "'", "x", ";", "é", "\ud800", "where"])))
def test_any_text_has_statements_within_it(pieces: list[str]) -> None:
    text = "".join(pieces)
    statements = find_statements(text)
    assert all(text[statement.start] in "dD" and statement.end <= len(text) for statement in statements)
    assert statements == sorted(statements, key=lambda statement: statement.start)
