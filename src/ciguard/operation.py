"""What an agent tries to do, and what came back for it, free of any wire format.

A codec turns wire bytes into operations and results; policy, recording and approval speak only of these.

Bodies by kind (every value is JSON; keys not listed here may be present and are matched like the others):

==================  ==============================================================
``prompt``          ``{"texts": [str, ...]}``: conversation text that is new in this session
``instructions``    ``{"texts": [str, ...]}``: system and developer text and tool definitions that are new
``tool_call``       ``{"name": str, "input": any, "id": str}``
``command``         ``{"argv": [str, ...]}``; of one that is executed also what is said below
``http_request``    ``{"method": str, "url": str, "body": str}``; in place of a ``body`` that is no text, ``bytes``
                    (how many) and ``sha256``
``sql``             ``{"statement": str}``
``kubernetes_request`` ``{"verb": str, "resource": str, "namespace": str}``
``git_push``        ``{"repository": str, "ref": str, "force": bool}``
``ssh_command``     ``{"host": str, "command": str}``
``connect``         ``{"host": str, "port": int, "address": str, "inspect": bool}``; ``server_name`` is the other name
                    that a TLS client asked for
``remote``          ``{"texts": [str, ...]}``: what the model's service is asked to do itself, each ``tool NAME`` or
                    ``address URL``
``response_text``   ``{"text": str}``
``tool_result``     ``{"texts": [str, ...], "id": str}``
``rows``            ``{"rows": [...]}``
==================  ==============================================================

Of a ``command`` that is executed: ``path`` is the program's file, ``parent`` that of the program that starts it;
``also`` holds other readings of the command line, where the program has another name than it is called by or is started
by the dynamic loader; ``script`` is the text of the shell script that it runs; ``files`` are the texts of the files
that a client of a database is given, by the names that the command line has for them (``-`` for its standard input);
and ``unread`` says why a script or a standard input is not there.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import TypeAlias

import msgspec

Json: TypeAlias = "None | bool | int | float | str | list[Json] | dict[str, Json]"
"""Any JSON value."""


class OperationKind(StrEnum):
    """The closed set of things an agent can try to do."""

    PROMPT = "prompt"
    INSTRUCTIONS = "instructions"
    TOOL_CALL = "tool_call"
    COMMAND = "command"
    HTTP_REQUEST = "http_request"
    SQL = "sql"
    KUBERNETES_REQUEST = "kubernetes_request"
    GIT_PUSH = "git_push"
    SSH_COMMAND = "ssh_command"
    CONNECT = "connect"
    REMOTE = "remote"


class ResultKind(StrEnum):
    """The closed set of things that come back for an operation."""

    RESPONSE_TEXT = "response_text"
    TOOL_RESULT = "tool_result"
    ROWS = "rows"


class Operation(msgspec.Struct, frozen=True):
    """One thing the agent tries to do over ``connection`` (its name in the policy; empty when there is none)."""

    kind: OperationKind
    body: Mapping[str, Json]
    connection: str = ""


class Result(msgspec.Struct, frozen=True):
    """What came back for an operation over ``connection``."""

    kind: ResultKind
    body: Mapping[str, Json]
    connection: str = ""


def strings(value: Json) -> list[str]:
    """Every string in ``value``, which is nested no deeper than bodies may be, in document order; keys are strings."""
    found: list[str] = []
    _gather(value, found)
    return found


def _gather(value: Json, found: list[str]) -> None:
    # Most of what values hold are strings: a call for each would cost more than all the rest.
    if isinstance(value, dict):
        for key, item in value.items():
            found.append(key)
            if type(item) is str:
                found.append(item)
            elif item is not None:
                _gather(item, found)
    elif isinstance(value, list):
        for item in value:
            if type(item) is str:
                found.append(item)
            else:
                _gather(item, found)
    elif isinstance(value, str):
        found.append(value)
