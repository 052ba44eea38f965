"""PostgreSQL as PostgreSQL's own grammar reads it (libpg_query).

The library parses and writes out its tree by recursion without a bound of its own: a chain of some ten thousand
operators ends the process. So a text is only given to it when its tokens cannot make a tree that deep; and no text may
hold a NUL, at which the library stops reading.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from ciguard.inspect.sql_statement import BEYOND, UNKNOWN, Reading, Statement, StatementKind, Unreadable
from ciguard.inspect.sql_truth import Column, Comparison, Condition, Constant, Junction, truth

if TYPE_CHECKING:
    from google.protobuf.message import Message
    from postgast import pg_query_pb2 as pb

MOST_NESTED = 64
"""Brackets within brackets that a statement may have."""

MOST_LINKED = 500
"""Operators and keywords that a statement may have: each can make its tree one level deeper.

libpg_query takes a thousand levels on a stack of 512 kB, the smallest that threads have on the systems served, and a
bracket can make three.
"""


def read(text: str) -> Reading:
    """What the statements of ``text`` do; Unreadable when PostgreSQL would not take it, or when it is too deep."""
    import postgast
    from google.protobuf.message import DecodeError

    _refuse_deep(text)
    try:
        tree = postgast.parse(text)
    except (postgast.PgQueryError, DecodeError, UnicodeEncodeError):
        raise Unreadable from None
    reading = Reading()
    data = text.encode()
    for raw in tree.stmts:
        end = raw.stmt_location + raw.stmt_len if raw.stmt_len else len(data)
        _read_statement(raw.stmt, data[raw.stmt_location : end].decode(), reading)
    return reading


def split(text: str) -> list[str]:
    """``text`` cut at the semicolons that end statements; Unreadable when its quotes do not close."""
    data = text.encode("utf-8", "replace")
    cuts = [0, *(token.end for token, depth in _tokens(text) if not depth and token.token == _SEMICOLON), len(data)]
    return [data[start:end].decode() for start, end in pairwise(cuts) if start < end]


_SEMICOLON = ord(";")
_OPEN = frozenset(b"([")
_CLOSE = frozenset(b")]")
_FREE = _OPEN | _CLOSE | frozenset(b",.;")


def _tokens(text: str) -> Iterator[tuple[pb.ScanToken, int]]:
    """The tokens of ``text`` that are no comments, each with the number of brackets around it."""
    import postgast
    from postgast import pg_query_pb2 as pb

    if "\0" in text:
        raise Unreadable
    try:
        scanned = postgast.scan(text)
    except (postgast.PgQueryError, UnicodeEncodeError):
        raise Unreadable from None
    depth = 0
    for token in scanned.tokens:
        if token.token in (pb.SQL_COMMENT, pb.C_COMMENT):
            continue
        # A scan names ASCII tokens by their character.
        if token.token in _CLOSE:
            depth -= 1
        yield token, depth
        if token.token in _OPEN:
            depth += 1


def _refuse_deep(text: str) -> None:
    from postgast import pg_query_pb2 as pb

    leaves = {pb.IDENT, pb.UIDENT, pb.SCONST, pb.USCONST, pb.ICONST, pb.FCONST, pb.BCONST, pb.XCONST, pb.PARAM}
    leaves |= {pb.NULL_P, pb.TRUE_P, pb.FALSE_P, pb.DEFAULT}
    links = 0
    for token, depth in _tokens(text):
        if token.token == _SEMICOLON:
            links = 0
        elif token.token not in leaves and token.token not in _FREE:
            links += 1
        if depth > MOST_NESTED or links > MOST_LINKED:
            raise Unreadable


_CREATING = frozenset({"IndexStmt", "ViewStmt", "RuleStmt", "DefineStmt", "CompositeTypeStmt", "IntoClause"})
_CONNECTING = frozenset(
    {"CreateSubscriptionStmt", "AlterSubscriptionStmt", "CreateForeignServerStmt", "AlterForeignServerStmt"}
    | {"CreateUserMappingStmt", "AlterUserMappingStmt", "LoadStmt", "CreatePLangStmt"}
)
_ALTERING = frozenset({"RenameStmt", "CommentStmt", "SecLabelStmt", "ReassignOwnedStmt", "ImportForeignSchemaStmt"})
_HARMLESS = frozenset(
    {"TransactionStmt", "VariableSetStmt", "VariableShowStmt", "NotifyStmt", "ListenStmt", "UnlistenStmt", "LockStmt"}
    | {"VacuumStmt", "ClusterStmt", "ReindexStmt", "CheckPointStmt", "DiscardStmt", "FetchStmt", "ClosePortalStmt"}
    | {"ConstraintsSetStmt", "DeallocateStmt", "RefreshMatViewStmt", "ExplainStmt", "PrepareStmt", "CreateTableAsStmt"}
    | {
        "ReturnStmt",
        "PLAssignStmt",
        "SetOperationStmt",
        "RawStmt",
        "LoadStmt",
        "DoStmt",
        "SelectStmt",
        "ReplicaIdentityStmt",
    }
)
"""Statements that only say or keep something, or whose parts say what they do."""

_OUTSIDE = frozenset(
    {"pg_read_file", "pg_read_binary_file", "pg_stat_file", "pg_ls_dir", "pg_ls_logdir", "pg_ls_waldir", "pg_ls_tmpdir"}
    | {"pg_ls_archive_statusdir", "pg_file_write", "pg_file_rename", "pg_file_unlink", "pg_file_sync"}
    | {"lo_import", "lo_export", "http", "http_get", "http_post", "http_put", "http_patch", "http_delete", "http_head"}
    | {"table_import_from_s3", "query_export_to_s3", "pg_logdir_ls"}
)
"""Functions of the server and of common extensions that read or write files, run programs or connect elsewhere."""

_RUNNING = frozenset({"query_to_xml", "query_to_xmlschema", "query_to_xml_and_xmlschema", "ts_stat", "crosstab"}) | {
    *("schedule", "schedule_in_database", "dblink", "dblink_exec", "dblink_open", "dblink_send_query"),
    "pg_background_launch",
}
"""Functions that run SQL which they get as text."""


def _read_statement(node: pb.Node, text: str, reading: Reading) -> None:
    reads: list[str] = []
    selects = False
    for place, message in _walk(node):
        name = message.DESCRIPTOR.name
        found: Any = message
        if name == "RangeVar":
            if place not in _TARGETS:
                reads.append(_table(found))
        elif name == "SelectStmt":
            selects = selects or not found.values_lists
        elif name == "FuncCall":
            _read_call(found, reading)
        elif name in ("DoStmt", "CreateFunctionStmt"):
            _read_body(found, text, reading)
        if name.endswith("Stmt") or name in ("IntoClause", "AlterTableCmd"):
            reading.statements += _effects(name, found)
    if selects or reads:
        reading.statements.append(Statement(StatementKind.SELECT, tuple(reads)))


_TARGETS = frozenset(
    {"relation", "relations", "objects", "view", "rel", "rels", "pktable", "inh_relations", "constrrel"}
)
"""Fields that hold the tables which a statement works on, or names, but does not read from."""


def _walk(root: Message) -> Iterator[tuple[str, Message]]:
    """Every message below ``root`` that is run, with the name of the field that holds it."""
    from google.protobuf.message import Message

    pending: list[tuple[str, Message]] = [("", root)]
    while pending:
        place, message = pending.pop()
        name = message.DESCRIPTOR.name
        if name not in ("Node", "List"):
            yield place, message
        planned = name == "ExplainStmt" and not _analyzes(message)
        for entry, value in reversed(message.ListFields()):
            below = place if name in ("Node", "List") else entry.name
            if isinstance(value, Message):
                if not (planned and entry.name == "query"):
                    pending.append((below, value))
            elif entry.message_type is not None:
                pending.extend((below, item) for item in reversed(value))


def _analyzes(explain: Any) -> bool:
    return any(option.def_elem.defname == "analyze" for option in explain.options)


def _effects(name: str, message: Any) -> list[Statement]:
    """What the statement ``message`` itself does, without its parts."""
    kind = StatementKind
    match name:
        case "DeleteStmt" | "UpdateStmt":
            which = kind.DELETE if name == "DeleteStmt" else kind.UPDATE
            restricted = message.HasField("where_clause") and truth(_condition(message.where_clause)) is not True
            return [Statement(which, (_table(message.relation),), restricted)]
        case "InsertStmt":
            return [Statement(kind.INSERT, (_table(message.relation),))]
        case "MergeStmt":
            return [Statement(kind.MERGE, (_table(message.relation),))]
        case "TruncateStmt":
            return [Statement(kind.TRUNCATE, tuple(_table(one.range_var) for one in message.relations))]
        case "CopyStmt":
            which = kind.INSERT if message.is_from else kind.SELECT
            found = [Statement(which, (_table(message.relation),) if message.HasField("relation") else ())]
            return [*found, BEYOND] if message.filename else found
        case "CallStmt":
            return [Statement(kind.CALL, (_dotted(message.funccall.funcname),))]
        case "ExecuteStmt":
            return [Statement(kind.CALL, (message.name.lower(),))]
        case "GrantStmt" | "GrantRoleStmt":
            objects = [one for one in getattr(message, "objects", ()) if one.HasField("range_var")]
            which = kind.GRANT if message.is_grant else kind.REVOKE
            return [Statement(which, tuple(_table(one.range_var) for one in objects))]
        case "DropdbStmt":
            return [Statement(kind.DROP, (message.dbname.lower(),))]
        case "AlterTableCmd":
            drops = {"AT_DropColumn", "AT_DropConstraint", "AT_DetachPartition", "AT_DropExpression"}
            word = type(message).DESCRIPTOR.fields_by_name["subtype"].enum_type.values_by_number[message.subtype].name
            return [Statement(kind.DROP, (message.name.lower(),))] if word in drops else []
    found = [BEYOND] if name in _CONNECTING else []
    if name in _HARMLESS:
        return found
    if name.startswith("Drop"):
        return [*found, Statement(kind.DROP, tuple(_object(one) for one in getattr(message, "objects", ())))]
    if name.startswith("Alter") or name in _ALTERING:
        return [*found, Statement(kind.ALTER, _direct(message))]
    if name.startswith("Create") or name in _CREATING:
        return [*found, Statement(kind.CREATE, _direct(message))]
    return [UNKNOWN]


def _table(relation: Any) -> str:
    return ".".join(part for part in (relation.catalogname, relation.schemaname, relation.relname) if part).lower()


def _dotted(names: Any) -> str:
    return ".".join(name.string.sval for name in names).lower()


def _direct(message: Any) -> tuple[str, ...]:
    """The table that ``message`` names as the one it works on; none when it has none."""
    fields = message.DESCRIPTOR.fields_by_name
    return tuple(
        _table(getattr(message, name))
        for name in ("relation", "view", "rel")
        if name in fields and message.HasField(name) and fields[name].message_type.name == "RangeVar"
    )


def _object(node: Any) -> str:
    """The name of what a DROP drops."""
    match node.WhichOneof("node"):
        case "list":
            return _dotted(node.list.items)
        case "string":
            return str(node.string.sval).lower()
        case "object_with_args":
            return _dotted(node.object_with_args.objname)
        case "type_name":
            return _dotted(node.type_name.names)
        case _:
            return ""


def _read_call(call: Any, reading: Reading) -> None:
    name = _dotted(call.funcname).rpartition(".")[2]
    if name in _OUTSIDE or name.startswith("dblink"):
        reading.statements.append(BEYOND)
    if name in _RUNNING:
        _read_run(list(call.args), reading)


def _read_run(arguments: list[Any], reading: Reading) -> None:
    """SQL is run that is among ``arguments``, as literals or put together from them."""
    for argument in arguments:
        literal = _condition(argument)
        if isinstance(literal, Constant):
            if isinstance(literal.value, str):
                reading.mentions.append(literal.value)
            continue
        reading.statements.append(UNKNOWN)
        pieces: list[Any] = [message for _, message in _walk(argument) if message.DESCRIPTOR.name == "String"]
        reading.mentions += [piece.sval for piece in pieces]


def _read_body(message: Any, text: str, reading: Reading) -> None:
    """The body of a DO block or function: SQL and PL/pgSQL are read, other languages are not."""
    options = {
        option.def_elem.defname: option.def_elem.arg
        for option in (message.args if message.DESCRIPTOR.name == "DoStmt" else message.options)
    }
    if "as" not in options:
        return
    language = options["language"].string.sval.lower() if "language" in options else "plpgsql"
    source = options["as"]
    body = source.string.sval or "".join(item.string.sval for item in source.list.items)
    match language:
        case "sql":
            reading.texts.append(body)
        case "plpgsql":
            _read_plpgsql(text, body, reading)
        case _:
            reading.statements.append(UNKNOWN)
            reading.mentions.append(body)


def _read_plpgsql(text: str, body: str, reading: Reading) -> None:
    import postgast

    try:
        _refuse_deep(body)
        functions = postgast.parse_plpgsql(text)
    except (Unreadable, postgast.PgQueryError, ValueError, RecursionError):
        reading.statements.append(UNKNOWN)
        reading.mentions.append(body)
        return
    pending: list[Any] = [functions]
    while pending:
        item = pending.pop()
        if isinstance(item, list):
            pending += item
        elif isinstance(item, dict):
            for key, value in item.items():
                if key == "PLpgSQL_expr":
                    _read_expression(value, reading)
                elif key == "dynquery" or (key in _DYNAMIC and "query" in value):
                    _read_dynamic(value["query" if key in _DYNAMIC else "PLpgSQL_expr"], reading)
                    pending += [inner for name, inner in value.items() if key in _DYNAMIC and name != "query"]
                else:
                    pending.append(value)


_DYNAMIC = frozenset({"PLpgSQL_stmt_dynexecute", "PLpgSQL_stmt_dynfors"})


def _read_expression(expression: Any, reading: Reading) -> None:
    """An expression of PL/pgSQL: a statement (parse mode 0), a value, or an assignment of a value."""
    query = str(expression["query"])
    mode = expression.get("parseMode", 0)
    value = query if mode < _FIRST_ASSIGNMENT else query.partition("=")[2]
    reading.texts.append(query if not mode else f"select {value}")


_FIRST_ASSIGNMENT = 3
"""``RAW_PARSE_PLPGSQL_ASSIGN1`` of PostgreSQL's ``parser.h``."""


def _read_dynamic(expression: Any, reading: Reading) -> None:
    """EXECUTE of a text: known when it is a literal."""
    query = str(expression.get("PLpgSQL_expr", expression).get("query", ""))
    try:
        tree = _value(f"select {query}")
    except Unreadable:
        tree = None
    if isinstance(tree, Constant) and isinstance(tree.value, str):
        reading.texts.append(tree.value)
    else:
        reading.statements.append(UNKNOWN)
        reading.mentions.append(query)


def _value(select: str) -> Condition:
    import postgast
    from google.protobuf.message import DecodeError

    _refuse_deep(select)
    try:
        tree = postgast.parse(select)
    except (postgast.PgQueryError, DecodeError, UnicodeEncodeError):
        raise Unreadable from None
    return _condition(tree.stmts[0].stmt.select_stmt.target_list[0].res_target.val)


_OPERATORS = {"=": "=", "<>": "<>", "!=": "<>", "<": "<", "<=": "<=", ">": ">", ">=": ">=", "~~": "like", "~~*": "like"}


def _condition(node: Any) -> Condition:
    """``node`` as a condition. Trees are shallow here: the message itself has at most a hundred levels."""
    from postgast import pg_query_pb2 as pb

    match node.WhichOneof("node"):
        case "a_const":
            return _constant(node.a_const)
        case "column_ref":
            return Column(tuple(part.string.sval.lower() for part in node.column_ref.fields))
        case "type_cast":
            return _condition(node.type_cast.arg)
        case "bool_expr":
            word = {pb.AND_EXPR: "and", pb.OR_EXPR: "or", pb.NOT_EXPR: "not"}[node.bool_expr.boolop]
            return Junction(word, tuple(_condition(part) for part in node.bool_expr.args))
        case "a_expr":
            expression = node.a_expr
            left = _condition(expression.lexpr)
            if expression.kind == pb.AEXPR_IN and expression.name[0].string.sval == "=":
                items = expression.rexpr.list.items
                return Junction("or", tuple(Comparison("=", left, _condition(item)) for item in items))
            operator = _OPERATORS.get(expression.name[-1].string.sval)
            if operator is None or expression.kind not in (pb.AEXPR_OP, pb.AEXPR_LIKE, pb.AEXPR_ILIKE):
                return None
            return Comparison(operator, left, _condition(expression.rexpr))
        case "sub_link":
            link = node.sub_link
            select = link.subselect.select_stmt
            bare = not select.from_clause and not select.HasField("where_clause") and bool(select.target_list)
            return Constant(value=True) if link.sub_link_type == pb.EXISTS_SUBLINK and bare else None
        case "boolean_test":
            positive = node.boolean_test.booltesttype in (pb.IS_TRUE, pb.IS_NOT_FALSE)
            return _condition(node.boolean_test.arg) if positive else None
        case _:
            return None


def _constant(constant: Any) -> Condition:
    if constant.isnull:
        return None
    match constant.WhichOneof("val"):
        case "ival":
            return Constant(int(constant.ival.ival))
        case "fval":
            return _number(constant.fval.fval)
        case "boolval":
            return Constant(bool(constant.boolval.boolval))
        case "sval":
            return Constant(str(constant.sval.sval))
        case _:
            return None


def _number(written: str) -> Condition:
    """A number that is no small integer; one of another base than ten is not compared with others."""
    return Constant(float(written)) if re.fullmatch(r"[0-9_.]+(?:[eE][+-]?[0-9_]+)?", written) else None
