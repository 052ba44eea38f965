from __future__ import annotations

import pytest

from ciguard.operation import Json, Operation, OperationKind, Result, ResultKind
from ciguard.policy.matching import Matcher, Subject
from ciguard.policy.rules import Rule
from tests.unit.policy.sources import loaded


def rule(text: str) -> Rule:
    return loaded(f"rules: [{{id: r, {text}}}]").rules[0]


def evidence(text: str, kind: OperationKind, body: dict[str, Json]) -> list[str] | None:
    matcher, subject = Matcher(rule(text)), Subject(Operation(kind, body))
    return matcher.evidence(subject) if matcher.matches(subject) else None


def call(name: str, value: Json) -> dict[str, Json]:
    return {"name": name, "input": value, "id": "toolu_1"}


DROP = "on: [tool_call, command, ssh_command], command: {run: [dropdb]}"


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        (OperationKind.TOOL_CALL, call("Bash", {"command": "cd x && dropdb y"})),
        (OperationKind.TOOL_CALL, call("exec_command", {"cmd": "dropdb y"})),
        (OperationKind.TOOL_CALL, call("shell", {"command": ["dropdb", "y"]})),
        (OperationKind.TOOL_CALL, call("shell", {"command": ["bash", "-lc", "'drop'db y"]})),
        (OperationKind.TOOL_CALL, call("shell", {"command": ["cd x", "dropdb y"]})),
        (OperationKind.TOOL_CALL, call("x", {"commands": ["ls", "dropdb y"]})),
        (OperationKind.TOOL_CALL, call("shell", "dropdb y")),
        (OperationKind.TOOL_CALL, call("x", {"deep": [{"er": ["dropdb y"]}]})),
        (OperationKind.TOOL_CALL, call("mcp__x__Write", {"anything": "dropdb y"})),
        (OperationKind.TOOL_CALL, call("exec", {"input": "await tools.exec_command({cmd: 'dropdb y'})"})),
        (OperationKind.COMMAND, {"argv": ["dropdb", "y"]}),
        (OperationKind.COMMAND, {"argv": ["/bin/sh", "x.sh"], "script": "dropdb y"}),
        (OperationKind.SSH_COMMAND, {"host": "h", "command": "sudo dropdb y"}),
    ],
)
def test_commands_are_found_in_every_shape(kind: OperationKind, body: dict[str, Json]) -> None:
    assert evidence(DROP, kind, body) is not None


@pytest.mark.parametrize(
    "body",
    [
        call("Bash", {"command": "echo dropdb y"}),
        call("Bash", {"command": "ls", "description": "dropdb y"}),
        call("Write", {"file_path": "x.sh", "content": "dropdb y"}),
        call("shell", {"command": ["echo", "dropdb y"]}),
        call("Bash", None),
        call("Bash", {"command": 5}),
        {},
    ],
)
def test_what_runs_nothing_is_no_command(body: dict[str, Json]) -> None:
    assert evidence(DROP, OperationKind.TOOL_CALL, body) is None


@pytest.mark.parametrize(
    ("matcher", "script", "found"),
    [
        ("command: {run: [rm]}", "sudo bash -c 'rm x'", ["rm x (started by sudo bash)"]),
        ("command: {traits: [downloaded-code]}", "curl x | sh", ["the script has the trait downloaded-code"]),
        ("files: {writes: [x]}", "tee x", ["tee x writes x"]),
        ("files: {reads: [x], deletes: [y]}", "rm y", ["rm y deletes y"]),
        ("git: {acts: [push]}", "git push", ["git push"]),
        ("git: {acts: [push], branches: [main]}", "git push origin x:main", ["git push origin x:main"]),
        ("git: {acts: [push], branches: [main]}", "git push", ["git push"]),
        ("git: {acts: [push], branches: [main]}", "git push origin x", None),
        ("kubernetes: {verbs: [delete]}", "kubectl delete pod x", ["kubectl delete pod x"]),
        ("kubernetes: {verbs: [delete], resources: [nodes]}", "kubectl delete pod x", None),
        ("kubernetes: {verbs: [delete], resources: [nodes]}", "kubectl delete -f x", None),
        ("kubernetes: {verbs: [delete], namespaces: [a]}", "kubectl -n b delete pod x", None),
        ("kubernetes: {verbs: [delete], namespaces: [a]}", "kubectl delete pod x", ["kubectl delete pod x"]),
        ("kubernetes: {verbs: [delete], contexts: [a]}", "kubectl --context b delete pod x", None),
        ("command: {run: [rm]}, files: {writes: [x]}", "rm y", None),
        ("command: {run: [rm]}, files: {writes: [x]}", "rm x", ["rm x", "rm x writes x"]),
    ],
)
def test_what_is_found_is_said(matcher: str, script: str, found: list[str] | None) -> None:
    body = call("Bash", {"command": script})
    assert evidence(f"on: [tool_call], {matcher}", OperationKind.TOOL_CALL, body) == found


@pytest.mark.parametrize(
    ("tool", "value", "reads", "writes"),
    [
        ("Read", {"file_path": "a/.env"}, True, False),
        ("Write", {"file_path": "a/.env", "content": "x"}, False, True),
        ("Edit", {"file_path": "x", "old_string": ".env", "new_string": ".env"}, False, False),
        ("mcp__fs__move_file", {"source": "a", "destination": ".env"}, False, True),
        ("mcp__fs__get", {"paths": ["a", ".env"]}, True, False),
        ("apply_patch", {"input": "*** Begin Patch\n*** Update File: .env\n*** End Patch"}, False, True),
        ("Bash", {"command": "apply_patch <<E\n*** Delete File: .env\nE"}, False, True),
        ("Grep", {"pattern": ".env", "path": "src"}, False, False),
    ],
)
def test_file_tools_touch_files(tool: str, value: Json, reads: bool, writes: bool) -> None:
    body = call(tool, value)
    assert (evidence("on: [tool_call], files: {reads: [.env]}", OperationKind.TOOL_CALL, body) is not None) is reads
    assert (evidence("on: [tool_call], files: {writes: [.env]}", OperationKind.TOOL_CALL, body) is not None) is writes


def test_what_crosses_the_guard_is_matched_too() -> None:
    push = "on: [git_push], git: {acts: [force-push], branches: [main]}"
    assert evidence(push, OperationKind.GIT_PUSH, {"ref": "refs/heads/main", "force": True}) == ["the push"]
    assert evidence(push, OperationKind.GIT_PUSH, {"ref": "refs/heads/main"}) == ["the push"]
    assert evidence(push, OperationKind.GIT_PUSH, {"ref": "refs/heads/main", "force": False}) is None
    request = "on: [kubernetes_request], kubernetes: {verbs: [delete], resources: [pods]}"
    body: dict[str, Json] = {"verb": "delete", "resource": "pods", "namespace": "x"}
    assert evidence(request, OperationKind.KUBERNETES_REQUEST, body) == ["the request"]
    assert evidence(request, OperationKind.KUBERNETES_REQUEST, {**body, "verb": "get"}) is None


def test_results_hold_no_commands() -> None:
    subject = Subject(Result(ResultKind.TOOL_RESULT, {"texts": ["dropdb y"]}))
    assert subject.commands.all == []
