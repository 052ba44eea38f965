"""The one question of GitHub's GraphQL that approvals ask: ``nodes(ids: ...)``, for issue comments.

Source: GitHub's "GraphQL reference", objects IssueComment, User, Bot, Mannequin. Only the fields that a query names
are answered; one that does not exist is an error, as on GitHub.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from ciguard.operation import Json
from ciguard.testing.github_forge.answers import node_id
from ciguard.testing.github_forge.state import Comment, State, User

_TOKEN = re.compile(r"\.\.\.|[{}]|\([^)]*\)|[A-Za-z_]\w*")


class UnknownFieldError(Exception):
    """The query names something that there is not."""


def answer(state: State, query: str, variables: Mapping[str, Any]) -> dict[str, Json]:
    """What the query gets; unknown comments are null and come with an error, as on GitHub."""
    tokens = iter(_TOKEN.findall(query))
    if next(tokens, "") != "query":
        raise UnknownFieldError("only queries are answered here")
    while next(tokens, "{") != "{":
        pass
    selection = _selection(tokens)
    if set(selection) != {"nodes"} or not isinstance(ids := variables.get("ids"), list) or len(ids) > 100:
        raise UnknownFieldError("only up to 100 nodes are answered here")
    by_node = {node_id(comment): comment for comment in state.thread.values()}
    nodes: list[Json] = []
    errors: list[Json] = []
    for place, wanted in enumerate(ids):
        found = by_node.get(wanted)
        nodes.append(_project(_comment(found), selection["nodes"]) if found else None)
        if found is None:
            message = f"Could not resolve to a node with the global id of '{wanted}'"
            errors.append({"type": "NOT_FOUND", "path": ["nodes", place], "message": message})
    return {"data": {"nodes": nodes}, **({"errors": errors} if errors else {})}


def _selection(tokens: Iterator[str]) -> dict[str, Any]:
    chosen: dict[str, Any] = {}
    last = ""
    for token in tokens:
        if token == "}":
            return chosen
        if token == "{":
            chosen[last] = _selection(tokens)
        elif token == "...":
            if next(tokens) != "on":
                raise UnknownFieldError("fragments have a type here")
            last = f"... on {next(tokens)}"
        elif not token.startswith("("):
            last = token
            chosen[last] = None
    raise UnknownFieldError("the query does not end")


def _project(value: Mapping[str, Any], selection: Mapping[str, Any]) -> dict[str, Json]:
    shown: dict[str, Json] = {}
    for name, below in selection.items():
        if name.startswith("... on "):
            if name == f"... on {value['__typename']}":
                shown |= _project(value, below)
        elif name not in value:
            raise UnknownFieldError(f"Field '{name}' doesn't exist on type '{value['__typename']}'")
        else:
            shown[name] = _project(value[name], below) if below and value[name] is not None else value[name]
    return shown


def _comment(comment: Comment) -> dict[str, Any]:
    edited = comment.editor is not None
    return {
        "__typename": "IssueComment",
        "id": node_id(comment),
        "databaseId": comment.id,
        "body": comment.body,
        "createdAt": comment.created.isoformat(),
        "updatedAt": comment.updated.isoformat(),
        "lastEditedAt": comment.updated.isoformat() if edited else None,
        "includesCreatedEdit": edited,
        "editor": _actor(comment.editor) if comment.editor else None,
        "author": _actor(comment.author),
    }


def _actor(user: User) -> dict[str, Any]:
    return {"__typename": user.type, "login": user.login, "databaseId": user.id}
