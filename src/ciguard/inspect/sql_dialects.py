"""SQL of the databases other than PostgreSQL, as sqlglot reads it.

sqlglot takes more than the servers do, and reads some texts otherwise: to T-SQL ``SELECT a DELETE FROM t`` is two
statements. So what it found is compared with the statements that stand in the text outside of strings and comments,
and those that it has not seen are added.
"""

from __future__ import annotations

import logging
from collections import Counter
from typing import TYPE_CHECKING, Any

from ciguard.inspect import sql_mention
from ciguard.inspect.sql_lexis import Lexed
from ciguard.inspect.sql_statement import BEYOND, UNKNOWN, Dialect, Reading, Statement, StatementKind, Unreadable
from ciguard.inspect.sql_truth import Column, Comparison, Condition, Constant, Junction, truth

if TYPE_CHECKING:
    from sqlglot.expressions import Expr

LONGEST = 65_536
"""Characters that sqlglot is given: it reads about a megabyte in a second."""


def read(text: Lexed, dialect: Dialect) -> Reading:
    """What the statements of ``text`` do; Unreadable when sqlglot does not take it or it is too long."""
    import sqlglot
    from sqlglot.errors import SqlglotError

    # Its warnings quote the text.
    logging.getLogger("sqlglot").setLevel(logging.CRITICAL)
    if len(text.sql) > LONGEST:
        raise Unreadable
    reading, planned = Reading(), Reading()
    try:
        for tree in sqlglot.parse(text.sql, read=dialect.value):
            if tree is not None:
                _read_tree(tree, planned if _is_plan(tree) else reading, dialect)
    except (SqlglotError, RecursionError, ValueError, AttributeError, TypeError, IndexError, KeyError):
        # Its parser is written for texts that are meant well: some others end in an error of its own code.
        raise Unreadable from None
    seen = Counter(statement.kind for statement in [*reading.statements, *planned.statements])
    reading.statements += _unseen(text.words, seen)
    return reading


def _unseen(text: str, seen: Counter[StatementKind]) -> list[Statement]:
    mentioned = sql_mention.find_in_words(text)
    more = Counter(kind for kind, _ in mentioned)
    return [Statement(kind, None, has_where) for kind, has_where in mentioned if more[kind] > seen[kind]]


_OUTSIDE = frozenset(
    {
        "load_file",
        "sys_exec",
        "sys_eval",
        "sys_get",
        "sys_set",
        "load_extension",
        "readfile",
        "writefile",
        "fileio_read",
    }
    | {
        "fileio_write",
        "openrowset",
        "opendatasource",
        "openquery",
        "edit",
        "utl_file",
        "utl_http",
        "utl_tcp",
        "utl_smtp",
    }
    | {"utl_inaddr", "dbms_scheduler", "dbms_java", "dbms_ldap", "httpuritype", "dbms_xslprocessor", "dbms_lob"}
    | {"external_query"}
)
"""Functions and packages that read or write files, run programs or connect elsewhere."""

_CLICKHOUSE = frozenset(
    {"url", "file", "executable", "remote", "remotesecure", "s3", "mysql", "postgresql", "jdbc", "odbc"}
)
"""ClickHouse's table functions of that kind."""

_OUTSIDE_PROCEDURES = ("xp_", "sp_oa", "sp_addlinkedserver", "sp_configure", "sp_execute_external", "sp_start_job")
_RUNNING_PROCEDURES = frozenset({"sp_executesql", "sp_execute", "sp_sqlexec"})

_HARMLESS_COMMANDS = frozenset(
    {"analyze", "begin", "check", "checkpoint", "commit", "deallocate", "describe", "end", "fetch", "flush", "kill"}
    | {
        "lock",
        "lock tables",
        "optimize",
        "reindex",
        "release",
        "reset",
        "rollback",
        "savepoint",
        "set",
        "show",
        "start",
    }
    | {"unlock", "unlock tables", "use", "vacuum", "close", "open", "help", "list", "print"}
)

_TRANSACTION = frozenset({"deferred", "exclusive", "immediate", "isolation", "tran", "transaction", "work"})


_LOCAL = frozenset({Dialect.SQLITE, Dialect.DUCKDB})
"""Databases that run within their client: the files that they open are those that the client may open anyway."""


def _read_tree(tree: Expr, reading: Reading, dialect: Dialect) -> None:
    from sqlglot import exp

    kind = StatementKind
    if not isinstance(tree, _statement_types()):
        # An expression on its own, which no database takes as a statement.
        reading.statements.append(UNKNOWN)
        return
    targets: list[str] = []
    read: list[str] = []
    selects = False
    for node in tree.walk(prune=lambda node: isinstance(node, exp.Execute)):
        found: Statement | None = None
        match node:
            case exp.Delete() | exp.Update():
                where = node.args.get("where")
                restricted = where is not None and truth(_condition(where.this)) is not True
                which = kind.DELETE if isinstance(node, exp.Delete) else kind.UPDATE
                found = Statement(which, _changed(node) or None, restricted)
            case exp.Insert():
                found = Statement(kind.INSERT, _names([node.this]))
            case exp.Merge():
                found = Statement(kind.MERGE, _names([node.this]))
            case exp.TruncateTable():
                found = Statement(kind.TRUNCATE, _names(node.expressions))
            case exp.Drop() | exp.DropPartition():
                found = Statement(kind.DROP, _names(node.args.get("tables") or node.expressions or [node.this]))
            case exp.Alter() | exp.Comment() | exp.Undrop():
                found = Statement(kind.ALTER, _names([node.this]))
            case exp.Create():
                found = Statement(kind.CREATE, _names([node.this]))
            case exp.Into():
                found = Statement(kind.CREATE, _names([node.this]))
            case exp.Revoke():
                found = Statement(kind.REVOKE, _names([node.args.get("securable")]))
            case exp.Grant():
                found = Statement(kind.GRANT, _names([node.args.get("securable")]))
            case exp.Copy():
                reading.statements += [] if dialect in _LOCAL else [BEYOND]
                found = Statement(kind.INSERT if node.args.get("kind") else kind.SELECT, _names([node.this]))
            case exp.LoadData():
                reading.statements.append(BEYOND)
                found = Statement(kind.INSERT, _names([node.this]))
            case exp.Install():
                found = BEYOND
            case exp.Export() | exp.Attach() | exp.Put() | exp.Get():
                found = None if dialect in _LOCAL else BEYOND
            case exp.Execute():
                _read_execute(node, reading)
            case exp.Command():
                _read_command(node, reading)
            case exp.Pragma():
                found = Statement(kind.ALTER, ()) if "writable_schema" in node.sql().lower() else None
            case exp.Anonymous() | exp.Identifier():
                name = node.name.lower()
                is_call = isinstance(node, exp.Anonymous) or isinstance(node.parent, exp.Dot)
                if is_call and (name in _OUTSIDE or (dialect is Dialect.CLICKHOUSE and name in _CLICKHOUSE)):
                    found = BEYOND
            case exp.Select() | exp.SetOperation():
                selects = True
            case exp.Table() if isinstance(node.this, exp.Identifier):
                read += _names([node])
            case _:
                pass
        if found is not None:
            reading.statements.append(found)
            targets += found.tables or ()
    only_read = list((Counter(read) - Counter(targets)).elements())
    if selects or (only_read and not isinstance(tree, exp.Use | exp.Describe | exp.Execute | exp.Show)):
        reading.statements.append(Statement(kind.SELECT, tuple(only_read)))


def _statement_types() -> tuple[type[Any], ...]:
    from sqlglot import exp

    return (
        *(exp.Query, exp.DML, exp.DDL, exp.Drop, exp.Alter, exp.TruncateTable, exp.Grant, exp.Revoke, exp.Copy),
        *(exp.LoadData, exp.Export, exp.Attach, exp.Detach, exp.Install, exp.Put, exp.Get, exp.Execute, exp.Command),
        *(exp.Pragma, exp.Set, exp.Use, exp.Transaction, exp.Commit, exp.Rollback, exp.Describe, exp.Show, exp.Kill),
        *(exp.Analyze, exp.Cache, exp.Uncache, exp.Refresh, exp.Summarize, exp.Comment, exp.Declare, exp.IfBlock),
        *(exp.WhileBlock, exp.Block, exp.Semicolon, exp.Undrop, exp.Merge, exp.Delete, exp.Pivot, exp.Subquery),
        *(exp.Return, exp.Values),
    )


def _is_plan(node: Expr) -> bool:
    """Whether ``node`` only shows how a statement would run."""
    from sqlglot import exp

    return isinstance(node, exp.Describe) and "ANALYZE" not in str(node.args.get("style") or "").upper()


def _changed(node: Expr) -> tuple[str, ...]:
    """The tables of an UPDATE or DELETE, those that it joins too: any of them may go under an alias."""
    from sqlglot import exp

    parts = node.walk(prune=lambda part: isinstance(part, exp.Query))
    return tuple(name for part in parts if isinstance(part, exp.Table) for name in _names([part]))


def _names(nodes: list[Any]) -> tuple[str, ...]:
    from sqlglot import exp

    found: list[str] = []
    for node in nodes:
        table = node.find(exp.Table) if isinstance(node, exp.Expr) else None
        if table is not None:
            found.append(".".join(part.name for part in table.parts).lower())
        elif isinstance(node, exp.Expr) and node.name:
            found.append(node.name.lower())
    return tuple(found)


def _read_execute(node: Expr, reading: Reading) -> None:
    """T-SQL's EXECUTE of a procedure or of a text."""
    from sqlglot import exp

    table = node.this.find(exp.Table)
    name = table.name if table is not None else node.this.name
    if isinstance(node.this, exp.Subquery | exp.Paren):
        literal = table is not None and isinstance(table.this, exp.Identifier) and bool(table.this.args.get("quoted"))
        reading.mentions.append(name if literal else node.sql())
        if literal:
            reading.texts.append(name)
        else:
            reading.statements.append(UNKNOWN)
    elif name.lower() in _RUNNING_PROCEDURES:
        arguments = [argument for argument in node.expressions[:1] if isinstance(argument, exp.Literal | exp.National)]
        reading.texts += [argument.name for argument in arguments]
        if not arguments:
            reading.statements.append(UNKNOWN)
    else:
        outside = name.lower().startswith(_OUTSIDE_PROCEDURES)
        reading.statements.append(BEYOND if outside else Statement(StatementKind.CALL, (name.lower(),)))


def _read_command(node: Expr, reading: Reading) -> None:
    """A statement of which sqlglot reads no more than its first word."""
    word = node.name.lower()
    rest = node.args.get("expression")
    text = rest if isinstance(rest, str) else rest.name if rest is not None else ""
    kind = StatementKind
    match word:
        case "explain":
            if text.lower().lstrip("( ").startswith("analy"):
                reading.mentions.append(text)
        case "call" | "execute" | "exec":
            reading.statements.append(Statement(kind.CALL, None))
        case "rename" | "alter" | "comment":
            reading.statements.append(Statement(kind.ALTER, None))
        case "drop":
            reading.statements.append(Statement(kind.DROP, None))
        case "create":
            reading.statements.append(Statement(kind.CREATE, None))
            reading.mentions.append(text)
        case "replace":
            reading.statements.append(Statement(kind.INSERT, None))
            reading.mentions.append(text)
        case "begin":
            if text and text.lower().split()[0] not in _TRANSACTION:
                reading.statements.append(UNKNOWN)
        case _ if word not in _HARMLESS_COMMANDS or text:
            if word not in _HARMLESS_COMMANDS:
                reading.statements.append(UNKNOWN)
            reading.mentions.append(text)
        case _:
            pass


def _condition(node: Any) -> Condition:
    from sqlglot import exp

    match node:
        case exp.Paren():
            return _condition(node.this)
        case exp.Boolean():
            return Constant(bool(node.this))
        case exp.Literal():
            return Constant(node.name) if node.is_string else Constant(float(node.name))
        case exp.Column():
            return Column(tuple(part.name.lower() for part in node.parts))
        case exp.And() | exp.Or():
            word = "and" if isinstance(node, exp.And) else "or"
            return Junction(word, tuple(_condition(part) for part in node.flatten()))
        case exp.Not():
            return Junction("not", (_condition(node.this),))
        case exp.In() if node.expressions:
            left = _condition(node.this)
            return Junction("or", tuple(Comparison("=", left, _condition(item)) for item in node.expressions))
        case exp.Exists() if isinstance(node.this, exp.Select):
            select = node.this.args
            return None if select.get("from_") or select.get("where") else Constant(value=True)
        case exp.EQ() | exp.NEQ() | exp.LT() | exp.LTE() | exp.GT() | exp.GTE() | exp.Like() | exp.NullSafeEQ():
            return Comparison(_OPERATORS[node.key], _condition(node.left), _condition(node.right))
        case _:
            return None


_OPERATORS = {"eq": "=", "nullsafeeq": "=", "neq": "<>", "lt": "<", "lte": "<=", "gt": ">", "gte": ">=", "like": "like"}
