"""What a text of SQL does, as far as rules ask, whichever grammar read it."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum


class StatementKind(StrEnum):
    """What a statement does. One statement can do several things: ``INSERT ... SELECT`` inserts and selects.

    ``call`` runs a stored procedure or a prepared statement. ``outside`` reaches beyond the database: it runs a
    program, reads or writes files, loads code, or connects elsewhere. ``unknown`` could not be read: text that no
    grammar takes, SQL that is put together while it runs, a file whose contents are not at hand.
    """

    SELECT = "select"
    INSERT = "insert"
    UPDATE = "update"
    DELETE = "delete"
    MERGE = "merge"
    TRUNCATE = "truncate"
    CREATE = "create"
    ALTER = "alter"
    DROP = "drop"
    GRANT = "grant"
    REVOKE = "revoke"
    CALL = "call"
    OUTSIDE = "outside"
    UNKNOWN = "unknown"


class Dialect(StrEnum):
    """Whose SQL a text is. ``any`` when that is not known: it counts what any of the readers finds."""

    ANY = "any"
    POSTGRES = "postgres"
    MYSQL = "mysql"
    SQLITE = "sqlite"
    TSQL = "tsql"
    ORACLE = "oracle"
    BIGQUERY = "bigquery"
    SNOWFLAKE = "snowflake"
    DUCKDB = "duckdb"
    CLICKHOUSE = "clickhouse"


@dataclass(frozen=True, slots=True)
class Statement:
    """One thing that a statement does.

    ``tables`` are the tables and other objects that it does that to, in lower case, with schema and database as far as
    they were written: ``shop.users``. None when they are not known. ``has_where`` says that a WHERE restricts it
    (``WHERE 1=1`` does not); it is only meaningful for ``update`` and ``delete``.
    """

    kind: StatementKind
    tables: tuple[str, ...] | None = None
    has_where: bool = False


BEYOND = Statement(StatementKind.OUTSIDE)
UNKNOWN = Statement(StatementKind.UNKNOWN)


@dataclass(slots=True)
class Reading:
    """What a grammar read: the statements, further SQL that they run as ``texts``, and ``mentions``: other texts with
    SQL somewhere in them."""

    statements: list[Statement] = field(default_factory=list)
    texts: list[str] = field(default_factory=list)
    mentions: list[str] = field(default_factory=list)


class Unreadable(Exception):
    """A grammar does not take a text. The text is not in the message."""
