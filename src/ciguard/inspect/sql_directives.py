"""What command line clients of databases do themselves: psql's ``\\copy``, sqlite3's ``.read``, mysql's ``source``."""

from __future__ import annotations

import re

from ciguard.inspect.sql_statement import BEYOND, UNKNOWN, Dialect, Statement

_REACHING = frozenset(
    {"archive", "backup", "clone", "e", "ed", "edit", "ef", "ev", "excel", "host", "import", "lo_export"}
    | {"lo_import", "load", "log", "once", "open", "output", "pager", "restore", "save", "setenv", "shell", "spool"}
    | {"system", "tee", "w"}
)
"""Directives that run a program, load code, or write or read a file other than a script."""

_HARMLESS = frozenset(
    {
        ";",
        ":",
        "/",
        "a",
        "bail",
        "bind",
        "binary",
        "c",
        "changes",
        "columns",
        "connect",
        "conninfo",
        "crosstabview",
    }
    | {"databases", "define", "delimiter", "dump", "echo", "elif", "else", "encoding", "endif", "eqp", "errverbose"}
    | {"exit", "explain", "f", "fullschema", "g", "gdesc", "go", "gset", "gx", "h", "header", "headers", "help", "html"}
    | {"if", "indexes", "limit", "lint", "mode", "n", "nullvalue", "o", "on", "out", "p", "parse", "print", "prompt"}
    | {"pset", "q", "qecho", "quit", "r", "reset", "s", "schema", "separator", "set", "sf", "show", "stats", "status"}
    | {"sv", "t", "tables", "timer", "timing", "u", "unset", "use", "warn", "watch", "width", "x", "z"}
)


def directive_effects(directive: str, dialect: Dialect) -> list[Statement]:
    """What ``directive`` does: a line of a client's own, from its mark on."""
    found = re.match(r"([\\.:@/!?;]*)([A-Za-z_]*)\s*(.*)", directive, re.DOTALL)
    mark, word, rest = found.groups() if found else ("", "", "")
    word = word.lower()
    if "!" in mark and dialect is not Dialect.SNOWFLAKE:
        return [BEYOND]
    if "@" in mark or mark == "\\." or (dialect is Dialect.TSQL and word == "r"):
        return [UNKNOWN]
    if word == "copy":
        # What it copies is read as the COPY that psql makes of it.
        return [BEYOND] if re.search(r"(?i)\bprogram\b", rest) else []
    if word in _REACHING or (word in ("o", "g", "gx") and "|" in rest):
        return [BEYOND]
    if word in _HARMLESS or (dialect is Dialect.POSTGRES and re.fullmatch(r"d[a-zS]*|l[a-z]?", word)):
        return []
    return [UNKNOWN]
