"""Where an operation holds scripts and commands, and which files an agent's own file tools are given."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace

from ciguard.inspect.shell.analysis import analyse, analyse_inline, analyse_program
from ciguard.inspect.shell.command import Script, Word
from ciguard.inspect.shell.effects import Effects
from ciguard.inspect.shell.paths import target
from ciguard.operation import Json, Operation, OperationKind
from ciguard.policy.tools import CHANGES_FILES, GROUPS, SCRIPT_KEYS

_CONTENT_KEYS = frozenset(
    {"content", "description", "explanation", "file_text", "insert_text", "new_str", "new_string", "old_str"}
    | {"old_string", "pattern", "prompt", "query", "regex", "text", "todos", "url"}
)
_SHELL_TOOL = re.compile(r"(?i)bash|shell|terminal|exec|command|\bsh\b")
_PATCHED = re.compile(r"(?m)^\*\*\* (?:(?:Add|Update|Delete) File|Move to): (.+)$")
_LONGEST_PATH = 1024


def scripts_of(operation: Operation) -> tuple[Script, ...]:
    """Everything in ``operation`` that runs, or may run, commands; nothing of tools that only read or write texts."""
    body = operation.body
    match operation.kind:
        case OperationKind.COMMAND:
            found = [analyse_program(_words(body.get("argv")))]
            script = body.get("script")
            return (*found, analyse(script)) if isinstance(script, str) else tuple(found)
        case OperationKind.SSH_COMMAND:
            return (analyse(str(body.get("command", ""))),)
        case OperationKind.TOOL_CALL:
            name = _name(operation)
            if name in GROUPS["ciguard:text-tools"]:
                return ()
            shell = _SHELL_TOOL.search(name) is not None
            return tuple(_in_call(body.get("input"), shell=shell))
        case _:
            return ()


def touched_by(operation: Operation) -> tuple[tuple[str, Effects], ...]:
    """The files that a tool call names outside of scripts, each with how people would write it."""
    if operation.kind is not OperationKind.TOOL_CALL:
        return ()
    name = _name(operation)
    changes = name in GROUPS["ciguard:writing-tools"] or (
        name not in GROUPS["ciguard:reading-tools"] and CHANGES_FILES.search(name) is not None
    )
    found = []
    for key, text in _strings(operation.body.get("input"), ""):
        if key not in _CONTENT_KEYS and key not in SCRIPT_KEYS and len(text) <= _LONGEST_PATH and "\n" not in text:
            path = target(Word(text), "")
            found.append((f"{name} {text}", Effects((), (path,)) if changes else Effects((path,))))
        patched = tuple(target(Word(path.strip()), "") for path in _PATCHED.findall(text))
        if patched:
            found.append((f"{name} with a patch", Effects((), patched)))
    return tuple(found)


def _name(operation: Operation) -> str:
    name = operation.body.get("name")
    return name if isinstance(name, str) else ""


def _in_call(value: Json, *, shell: bool) -> Iterator[Script]:
    """The scripts in the input of a tool.

    Other strings than those under the usual keys count for the commands that they would run, if anything runs them.
    """
    pending: list[tuple[str, Json]] = [("", value)]
    while pending:
        key, item = pending.pop()
        if isinstance(item, dict):
            pending.extend(reversed(item.items()))
        elif isinstance(item, list) and key in SCRIPT_KEYS and _is_program(key, item):
            yield analyse_program(_words(item))
        elif isinstance(item, list):
            pending.extend((key, part) for part in reversed(item))
        elif isinstance(item, str):
            yield from _in_text(key, item, shell=shell)


def _is_program(key: str, words: list[Json]) -> bool:
    """Whether a list is one program with its arguments, and not several scripts."""
    return key != "commands" and len(words) > 1 and isinstance(words[0], str) and " " not in words[0]


def _in_text(key: str, text: str, *, shell: bool) -> Iterator[Script]:
    if key in SCRIPT_KEYS or (shell and key in ("", "input")):
        yield analyse(text)
    elif not shell or key not in _CONTENT_KEYS:
        yield replace(analyse(text), traits=frozenset())
        yield replace(analyse_inline(text), traits=frozenset())


def _words(value: Json) -> list[str]:
    return [word for word in value if isinstance(word, str)] if isinstance(value, list) else []


def _strings(value: Json, key: str) -> Iterator[tuple[str, str]]:
    """Every string with the key that it, or the list around it, stands under."""
    pending = [(key, value)]
    while pending:
        key, item = pending.pop()
        if isinstance(item, str):
            yield key, item
        elif isinstance(item, list):
            pending.extend((key, part) for part in reversed(item))
        elif isinstance(item, dict):
            pending.extend(reversed(item.items()))
