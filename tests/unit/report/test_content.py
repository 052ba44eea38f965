from __future__ import annotations

import pytest

from ciguard.operation import Json, OperationKind, ResultKind
from ciguard.report.content import Content, content_of


@pytest.mark.parametrize(
    ("kind", "body", "content"),
    [
        (OperationKind.PROMPT, {"texts": ["one", "two"]}, Content("", "one\ntwo")),
        (OperationKind.INSTRUCTIONS, {"texts": ["one"]}, Content("", "one")),
        (OperationKind.TOOL_CALL, {"name": "Bash", "input": {"command": "ls"}, "id": "1"}, Content("Bash", "ls")),
        (
            OperationKind.TOOL_CALL,
            {"name": "Write", "input": {"path": "a", "lines": [1, "é"]}, "id": "1"},
            Content("Write", 'path: a\nlines: [1, "é"]'),
        ),
        (OperationKind.TOOL_CALL, {"name": "Bash", "input": {"command": ["ls"]}}, Content("Bash", 'command: ["ls"]')),
        (OperationKind.TOOL_CALL, {"name": "Bash", "input": "ls"}, Content("Bash", "ls")),
        (OperationKind.TOOL_CALL, {"name": "Bash", "input": None}, Content("Bash", "null")),
        (OperationKind.COMMAND, {"argv": ["echo", "a b"]}, Content("", "echo 'a b'")),
        (
            OperationKind.HTTP_REQUEST,
            {"method": "POST", "url": "https://example.com/", "body": "a=b"},
            Content("POST https://example.com/", "a=b"),
        ),
        (
            OperationKind.HTTP_REQUEST,
            {"method": "PUT", "url": "https://example.com/", "bytes": 7, "sha256": "00"},
            Content("PUT https://example.com/", "(7 bytes)"),
        ),
        (OperationKind.SQL, {"statement": "SELECT 1"}, Content("", "SELECT 1")),
        (OperationKind.CONNECT, {"host": "example.com", "port": 443}, Content("example.com:443", "")),
        (
            OperationKind.CONNECT,
            {"host": "example.com", "port": 443, "address": "192.0.2.1", "server_name": "b.example"},
            Content("example.com:443", "192.0.2.1, TLS for b.example"),
        ),
        (OperationKind.SSH_COMMAND, {"host": "example.com", "command": "ls"}, Content("example.com", "ls")),
        (
            OperationKind.GIT_PUSH,
            {"repository": "acme/shop", "force": True},
            Content("", "repository: acme/shop\nforce: true"),
        ),
        (ResultKind.RESPONSE_TEXT, {"text": "hello"}, Content("", "hello")),
        (ResultKind.TOOL_RESULT, {"texts": ["out", 1], "id": "1"}, Content("", "out\n1")),
        (ResultKind.ROWS, {"rows": [[1]]}, Content("", "rows: [[1]]")),
    ],
)
def test_bodies_read_as_people_would_write_them(kind: OperationKind, body: Json, content: Content) -> None:
    assert content_of(kind, body) == content


@pytest.mark.parametrize("kind", [*OperationKind, *ResultKind])
@pytest.mark.parametrize("body", [None, [], "text", 1, {}, {"texts": "x"}, {"argv": None}, {"name": 1, "input": 2}])
def test_a_body_of_another_shape_reads_as_what_it_is(kind: OperationKind, body: Json) -> None:
    assert isinstance(content_of(kind, body).line, str)


def test_title_and_text_share_a_line() -> None:
    assert Content("Bash", "ls").line == "Bash: ls"
    assert Content("", "ls").line == "ls"
    assert Content("Bash", "").line == "Bash"
