from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ciguard.inspect.sql import LONGEST, mentions, statements
from ciguard.inspect.sql_statement import Dialect

P, M, T, S, ORA = Dialect.POSTGRES, Dialect.MYSQL, Dialect.TSQL, Dialect.SQLITE, Dialect.ORACLE


def effects(text: str, dialect: Dialect = Dialect.ANY) -> set[str]:
    """Each thing done as ``kind table,table``, with ``where`` when a WHERE restricts it; ``?`` for unknown tables."""
    found = set()
    for statement in statements(text, dialect):
        tables = "?" if statement.tables is None else ",".join(dict.fromkeys(statement.tables))
        found.add(" ".join(filter(None, [statement.kind, tables, "where" if statement.has_where else ""])))
    return found


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("DROP TABLE Shop.Users, c CASCADE", {"drop shop.users,c"}),
        ('drop table "Users"', {"drop users"}),
        ("drop schema x", {"drop x"}),
        ("drop database x", {"drop x"}),
        ("drop function f(int)", {"drop f"}),
        ("drop type t", {"drop t"}),
        ("drop role r", {"drop"}),
        ("drop owned by r", {"drop"}),
        ("alter table t drop column c", {"alter t", "drop c"}),
        ("alter table t add column c int", {"alter t"}),
        ("alter role postgres superuser", {"alter"}),
        ("alter system set a = 1", {"alter"}),
        ("alter table a rename to b", {"alter a"}),
        ("truncate a, b", {"truncate a,b"}),
        ("delete from t", {"delete t"}),
        ("delete from t where id = 1", {"delete t where"}),
        ("delete from t using u", {"delete t", "select u"}),
        ("update t set a = 1", {"update t"}),
        ("update t set a = 1 from u where t.id = u.id", {"update t where", "select u"}),
        ("insert into a values (1)", {"insert a"}),
        ("insert into a select * from b", {"insert a", "select b"}),
        ("merge into a using b on a.x = b.x when matched then delete", {"merge a", "select b"}),
        ("select 1", {"select"}),
        ("select * from a join b on true", {"select a,b"}),
        ("select * into x from y", {"create x", "select y"}),
        ("create table x as select * from y", {"create x", "select y"}),
        ("create extension dblink", {"create"}),
        ("grant select on a to b", {"grant a"}),
        ("revoke all on a from b", {"revoke a"}),
        ("grant r to s", {"grant"}),
        ("alter default privileges grant select on tables to y", {"alter", "grant"}),
        ("call p()", {"call p"}),
        ("execute x", {"call x"}),
        ("prepare x as delete from t", {"delete t"}),
        ("begin; set a = 1; vacuum; show a; lock table t; commit", set()),
        # Common table expressions that change data.
        ("with d as (delete from t returning *) select * from d", {"delete t", "select d"}),
        ("with t as (select 1) delete from t", {"delete t", "select"}),
        # EXPLAIN runs nothing, EXPLAIN ANALYZE does.
        ("explain delete from t", set()),
        ("explain (analyze, buffers) delete from t", {"delete t"}),
        ("explain analyze verbose delete from t", {"delete t"}),
        # Beyond the database.
        ("copy t from program 'curl x'", {"insert t", "outside ?"}),
        ("copy (select * from t) to '/tmp/x'", {"select", "select t", "outside ?"}),
        ("copy t from stdin", {"insert t"}),
        ("select pg_read_file('/etc/passwd')", {"select", "outside ?"}),
        ("select pg_catalog.pg_ls_dir('.')", {"select", "outside ?"}),
        ("select lo_import('/etc/passwd')", {"select", "outside ?"}),
        ("load 'evil'", {"outside ?"}),
        ("create subscription s connection 'host=x' publication p", {"create", "outside ?"}),
        # What runs from strings.
        ("do $$ begin delete from t; end $$", {"delete t"}),
        ("do $$ begin execute 'drop table x'; end $$", {"drop x"}),
        ("do $$ declare y text; begin execute 'drop table ' || y; end $$", {"unknown ?", "drop ?"}),
        ("do $$ declare r record; begin for r in execute 'drop table x' loop end loop; end $$", {"drop x"}),
        ("do $$ begin perform pg_read_file('x'); end $$", {"select", "outside ?"}),
        ("do $$ begin if true then if true then truncate t; end if; end if; end $$", {"truncate t", "select"}),
        ("do language plpython3u $$ plpy.execute('drop table x') $$", {"unknown ?", "drop ?"}),
        ("do $$ this is no code; drop table x $$", {"unknown ?", "drop ?"}),
        ("create function f() returns int language sql as 'delete from t; select 1'", {"create", "delete t", "select"}),
        ("create function f() returns int begin atomic delete from t; select 1; end", {"create", "delete t", "select"}),
        ("create function f() returns int language c as 'x.so', 'f'", {"create", "unknown ?"}),
        ("select query_to_xml('delete from t', true, true, '')", {"select", "delete t"}),
        ("select dblink_exec('x', 'drop table ' || y)", {"select", "outside ?", "unknown ?", "drop ?"}),
        # psql's own.
        ("\\dt", set()),
        ("\\! rm -rf /", {"outside ?"}),
        ("select 1 \\g | sh", {"select", "outside ?"}),
        ("select 'drop table x' \\gexec", {"select", "unknown ?"}),
        ("\\i x.sql\nselect 1", {"select", "unknown ?"}),
        ("\\copy t from program 'sh'", {"insert t", "outside ?"}),
        ("\\copy t to 'x.csv'", {"select t"}),
        ("\\copy t from x.csv with csv", {"insert t"}),
        ("\\copy what is this", {"insert what", "outside ?", "unknown ?"}),
        ("\\copy (delete from t returning *) to stdout", {"select", "delete t"}),
        ("select '\\! x'", {"select"}),
        ("\\set t users\ndelete from :t where id = 1", {"delete ? where", "unknown ?"}),
        ("\\set t users\nselect * from a where b = :'t'", {"select ?", "unknown ?"}),
        ("\\set ON_ERROR_STOP on\nselect a::int from b", {"select b"}),
        # Several in one text; what fails does not hide the others.
        (
            "select 1; drop table x; no sql (; delete from t where id = %s",
            {"select", "drop x", "delete ? where", "unknown ?"},
        ),
        ("drop table a; no sql; drop table b", {"drop a", "drop b", "unknown ?"}),
        ("delete from t where id = %s and a = ? and b = :c", {"delete t where"}),
        ("delete from t where a = %(a)s; drop table x", {"delete t where", "drop x"}),
        # Strings and comments hold no statements.
        ("insert into log values ('drop table x; delete from y')", {"insert log"}),
        ("select $$drop table x$$, E'\\'; drop table x', U&'a'", {"select"}),
        ("/* drop /* table */ x */ select 1 -- drop table x", {"select"}),
        ("-- drop table x", set()),
        (" ; ;\n", set()),
        ("select '\\'; drop table x; --'", {"select", "drop x"}),
        ("hello world", {"unknown ?"}),
        ("drop table 'unclosed", {"unknown ?", "drop ?"}),
        ("select 1\0; drop table x", {"unknown ?", "drop ?"}),
        ("DR\0OP table x", {"unknown ?", "drop ?"}),
        ("truncate \ud800", {"truncate \ufffd"}),
    ],
)
def test_postgres(text: str, expected: set[str]) -> None:
    assert effects(text, P) == expected


@pytest.mark.parametrize(
    "where",
    [
        *("true", "1=1", "1 = 1.0", "'a'='a'", "id = id", "t.id = id", "id >= id", "not false", "not not true"),
        *("true or id = 2", "id = 1 or 1 = 1", "(1=1) and (2>1)", "'t'::bool", "name like '%'", "1 in (2, 1)"),
        *("exists (select 1)", "(1=1) is true", "1 <> 2", "2 > 1", "null is null or true"),
    ],
)
def test_a_where_that_is_always_true_restricts_nothing(where: str) -> None:
    assert "delete t" in effects(f"delete from t where {where}", P)
    assert "update t" in effects(f"update t set a = 1 where {where}", P)


@pytest.mark.parametrize(
    "where",
    [
        *("id = 1", "id <> id", "1 = 2", "false", "not true", "true and id = 1", "a = b", "name like 'a%'", "null"),
        *("exists (select 1 from u)", "id in (1, 2)", "id = any (array[1])", "current of c", "(id = 1) is true"),
        *(
            "'a' = 'b'",
            "1 > 2",
            "0x1FFFFFFFFFFFFFFFFF = 1",
            "x'ff' = b'1'",
            "id is not null",
            "'word'",
            "1 = '1' or id = 2",
        ),
    ],
)
def test_a_where_that_depends_on_the_row_restricts(where: str) -> None:
    assert "delete t where" in effects(f"delete from t where {where}", P)


@pytest.mark.parametrize(
    ("dialect", "text", "expected"),
    [
        (M, "drop table a, `B`.`c`", {"drop a,b.c"}),
        (M, "/*!50000 DROP */ TABLE users", {"drop users"}),
        (M, "/*! drop table users */", {"drop users"}),
        (M, "/*M!100100 drop table users */", {"drop users"}),
        (M, "select 1 --1; drop table x", {"select", "drop x"}),
        (M, "select 1 -- ; drop table x", {"select"}),
        (M, "select 1 # ; drop table x", {"select"}),
        (M, "select '\\'; drop table x; -- '", {"select"}),
        (M, 'select "drop table x"', {"select"}),
        (M, "delete a, b from a join b on a.id = b.id", {"delete a,b"}),
        (M, "delete from t where true limit 5", {"delete t"}),
        (M, "delete from t where id = ?", {"delete t where"}),
        (M, "delete t.* from t", {"delete ?", "unknown ?"}),
        (M, "delete quick from t", {"delete quick,t"}),
        (M, "update a inner join b on a.id = b.id set a.x = 1", {"update a,b"}),
        (M, "update ignore t set a = 1", {"update ?", "unknown ?"}),
        (M, "replace into t values (1)", {"insert ?"}),
        (M, "rename table a to b", {"alter ?"}),
        (M, "truncate t", {"truncate t"}),
        (M, "load data infile '/etc/passwd' into table t", {"outside ?", "unknown ?"}),
        (M, "select * from t into outfile '/tmp/x'", {"outside ?", "unknown ?"}),
        (M, "select load_file('/etc/passwd')", {"select", "outside ?"}),
        (M, "set @a = 'drop table x'; prepare s from @a; execute s", {"unknown ?", "call ?"}),
        (M, "prepare s from 'drop table x'", {"unknown ?", "drop ?"}),
        (M, "create procedure p() begin drop table x; end", {"create p", "drop x"}),
        (M, "create trigger x after insert on t for each row delete from u", {"create ?", "delete ?"}),
        (M, "grant all on a.b to c", {"grant a.b"}),
        (M, "alter user root identified by 'x'", {"alter ?"}),
        (M, "drop user x@localhost", {"drop ?"}),
        (M, "explain delete from t", set()),
        (M, "explain analyze delete from t", {"delete t"}),
        (M, "show tables; use x; describe t; start transaction; commit", set()),
        (M, "source x.sql", {"unknown ?"}),
        (M, "\\. x.sql", {"unknown ?"}),
        (M, "\\! sh", {"outside ?"}),
        (M, "system sh", {"outside ?"}),
        (M, "call p()", {"call ?"}),
        (T, "exec xp_cmdshell 'dir'", {"outside ?"}),
        (T, "exec master..xp_cmdshell 'dir'", {"outside ?"}),
        (T, "exec('drop table x')", {"drop x"}),
        (T, "exec sp_executesql N'drop table x'", {"drop x"}),
        (T, "exec sp_executesql @x", {"unknown ?"}),
        (T, "exec(@x)", {"unknown ?"}),
        (T, "exec p 1", {"call p"}),
        (T, "drop table x\nGO\nselect 1", {"drop x", "select"}),
        (T, "select a delete from t", {"select t", "delete ?"}),
        (T, "select 1 drop table x", {"drop ?", "unknown ?"}),
        (T, "if 1=1 drop table x", {"drop x"}),
        (T, "begin delete from x end", {"delete ?", "unknown ?"}),
        (T, "select * into n from t", {"create n", "select t"}),
        (T, "select * from openrowset('a', 'b', 'c')", {"select", "outside ?"}),
        (T, "update u set a = 1 from users u", {"update u,users"}),
        (T, "delete from s where x in (select x from u)", {"delete s where", "select u"}),
        (T, "update [t] set a = 1 where 1=1", {"update t"}),
        (T, "shutdown", {"unknown ?"}),
        (T, ":r x.sql", {"unknown ?"}),
        (S, ".read x.sql", {"unknown ?"}),
        (S, ".shell rm -rf /", {"outside ?"}),
        (S, ".tables", set()),
        (S, "attach 'x' as y", set()),
        (S, "vacuum into 'x'", set()),
        (S, "pragma writable_schema = 1", {"alter"}),
        (S, "pragma table_info(x)", set()),
        (S, "select load_extension('x')", {"select", "outside ?"}),
        (ORA, "begin execute immediate 'drop table x'; end;", {"drop ?", "unknown ?"}),
        (ORA, "select utl_http.request('x') from dual", {"select dual", "outside ?"}),
        (ORA, "drop table x purge", {"drop x"}),
        (ORA, "select q'[it's; drop table x]' from dual", {"select dual"}),
        (Dialect.BIGQUERY, "truncate table a.b.c", {"truncate a.b.c"}),
        (Dialect.BIGQUERY, "export data options(uri='x') as select 1", {"select", "outside ?"}),
        (Dialect.SNOWFLAKE, "copy into t from @s", {"insert t", "outside ?"}),
        (Dialect.SNOWFLAKE, "!source x.sql", {"unknown ?"}),
        (Dialect.DUCKDB, "copy t to '/tmp/x'", {"select t"}),
        (Dialect.DUCKDB, "install httpfs; drop table t", {"outside ?", "drop t"}),
        (Dialect.CLICKHOUSE, "select * from url('http://x')", {"select", "outside ?"}),
        (Dialect.CLICKHOUSE, "alter table t delete where 1", {"alter t", "delete ?"}),
    ],
)
def test_other_databases(dialect: Dialect, text: str, expected: set[str]) -> None:
    assert effects(text, dialect) == expected


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("/*!50000 DROP */ TABLE users", "drop"),
        ("select 1 --1; drop table x", "drop"),
        ("select '\\'; drop table x; -- '", "drop"),
        ("drop table `x`", "drop"),
        ("exec xp_cmdshell 'dir'", "outside"),
        ("delete from [dbo].[users]", "delete"),
        ("truncate table x", "truncate"),
        ("begin execute immediate 'drop table x'; end;", "unknown"),
    ],
)
def test_without_a_dialect_every_reading_counts(text: str, kind: str) -> None:
    assert kind in {statement.kind for statement in statements(text)}


def test_without_a_dialect_plain_sql_is_exact() -> None:
    assert effects("insert into log values ('drop table x')") == {"insert log"}
    assert effects("insert into `log` values ('drop table x')") == {"insert log"}


@pytest.mark.parametrize(
    "text",
    [
        "select " + "+".join(["1"] * 200_000),
        "select " + "not " * 50_000 + "1",
        "select 1" + " isnull" * 30_000,
        "select " + "(" * 100_000,
        "select " + "(select " * 20_000,
        "select " + "a[" * 30_000,
        "select * from a" + " natural join a" * 20_000,
        "with a as(" * 20_000,
        "do $$ begin x := " + "+".join(["1"] * 100_000) + "; end $$",
        "do $$ begin " + "if true then " * 20_000 + "end $$",
        "create function f() returns int language sql as 'select " + "+".join(["1"] * 100_000) + "'",
    ],
)
def test_deep_trees_end_in_unknown_and_not_in_the_end_of_the_process(text: str) -> None:
    assert "unknown ?" in effects(text + "; drop table x", P)
    assert "unknown ?" in effects(text)


def test_long_texts_are_unknown_but_not_unseen() -> None:
    text = "select 1;" * (LONGEST // 9 + 1) + "drop table x"
    assert effects(text, P) == {"unknown ?", "drop ?"}
    assert effects("select 1;" * 10_000 + "drop table x", M) == {"unknown ?", "drop ?"}


def test_texts_that_run_texts_come_to_an_end() -> None:
    text = "drop table x"
    for depth in range(100):
        tag = f"$t{depth}$"
        text = f"do $b{depth}$ begin execute {tag}{text}{tag}; end $b{depth}$"
    assert "unknown ?" in effects(text, P)


@pytest.mark.parametrize("nest", ["select query_to_xml({0}{1}{0})", "do {0} begin execute {1}; end {0}"])
def test_texts_nested_in_texts_are_read_one_by_one(nest: str) -> None:
    text = "drop table x"
    for depth in range(400):
        text = nest.format(f"$t{depth}$", text)
    assert {"unknown ?"} <= effects(text, P)
    assert {"unknown ?"} <= effects(text)


def test_what_is_beyond_the_bound_is_still_looked_through() -> None:
    many = "".join(f"do $$ begin select {number}; end $$;" for number in range(100))
    assert "drop ?" in effects(many + "do $$ begin drop table x; end $$", P)


def test_two_readings_that_disagree_on_what_is_a_string_both_count() -> None:
    assert {"drop x"} <= effects("select '\\'; drop table x; -- '; select `a`")


def test_what_goes_deeper_than_the_grammar_is_still_found() -> None:
    chain = "||".join(["'a'"] * 100)
    assert effects(f"select {chain}; drop table x", P) == {"select", "unknown ?", "drop x"}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("DROP TABLE users", {("drop", ("users",))}),
        ("insert into log values ('drop table x')", {("insert", ("log",))}),
        ("please run: drop table users", {("drop", None)}),
        ("cursor.execute('drop table users')", {("drop", None)}),
        ("select 1", set()),
        ("ordinary words", set()),
    ],
)
def test_mentions_are_exact_for_sql_and_by_pattern_elsewhere(text: str, expected: set[object]) -> None:
    assert {(statement.kind.value, statement.tables) for statement in mentions(text)} == expected


PIECES = st.sampled_from(
    [
        *(
            "drop table x",
            "delete from t",
            "select 1",
            "where",
            "1=1",
            "'",
            '"',
            "`",
            "$$",
            "$a$",
            "/*",
            "*/",
            "/*!1",
            "--",
        ),
        *(
            "\n",
            ";",
            "(",
            ")",
            "[",
            "]",
            "\\",
            "\\!",
            "\\gexec",
            "do",
            "begin",
            "end",
            "execute",
            "exec",
            "exec(",
            "@x",
        ),
        *(
            "explain",
            "analyze",
            "E'",
            "q'[",
            "]'",
            "U&'",
            "\0",
            "é",
            "\ud800",
            "%s",
            "?",
            ":x",
            "GO",
            ".read",
            "source",
        ),
        *(
            "create function f() returns int language sql as",
            "as",
            "if",
            "declare",
            "merge into a using b on true",
            "#",
        ),
        *("alter table t", "grant all on t to u", "copy t from", "program 'x'", "values (1)", "union", "like '%'", ","),
        *(
            "where 0x1FFFFFFFFFFFFFFFFF = 1",
            "where 1_0.5e9 = 0b1",
            "where x'f' = b'1'",
            "where t.* = (a).b",
            "where a[1]",
        ),
    ]
)


@given(st.lists(PIECES, max_size=12).map(" ".join) | st.text(max_size=60), st.sampled_from(Dialect))
def test_any_text_is_read_without_an_error(text: str, dialect: Dialect) -> None:
    found = statements(text, dialect)
    assert len(set(found)) == len(found)
    assert all(table == table.lower() for statement in found for table in statement.tables or ())


@given(st.lists(PIECES, max_size=6).map(" ".join), st.sampled_from([P, M, S, Dialect.ANY]))
def test_a_statement_of_its_own_line_is_never_unseen(before: str, dialect: Dialect) -> None:
    """Whatever stands before it: the statement is found, or the text is a comment or string that was left open."""
    text = f"{before};\ndrop table victim;"
    kinds = {statement.kind.value for statement in statements(text, dialect)}
    opened = any(
        mark in before for mark in ("'", '"', "`", "/*", "$$", "$a$", "[", "\\", "GO", ".read", "source", "explain")
    )
    assert opened or "drop" in kinds
