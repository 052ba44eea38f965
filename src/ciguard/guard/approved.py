"""What people released as a tool call needs no second release when it becomes commands.

A rule often looks at tool calls and at commands alike: at what a call says, and at what then runs. Who releases a call
has seen its script, and releases the commands that stand in it, word by word and where they run, until the call has its
result; and the shell that is given this very script there, whose commands are then looked at one by one. Whatever else
is in a held command, such as what an agent wraps around a script, must be harmless by itself; else people are asked.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

from ciguard.decision import Action
from ciguard.operation import Json, Operation, OperationKind
from ciguard.policy.evaluation import Evaluator

if TYPE_CHECKING:
    from ciguard.inspect.shell.command import Command

Step = tuple[str, ...]
"""A command: the directory that it runs in, its program and its arguments."""

_SHELLS = frozenset({"sh", "bash", "dash", "ksh", "zsh"})
_RUNS_SCRIPT = re.compile(r"-[a-z]*c")


class Approved:
    """The tool calls of a session that people released and that have no result yet; they run in ``workspace``."""

    def __init__(self, evaluator: Evaluator, workspace: str) -> None:
        self._evaluator = evaluator
        self._workspace = workspace
        self._by_call: dict[str, frozenset[Step]] = {}
        self._scripts: dict[str, frozenset[str]] = {}

    def released(self, call: Operation) -> None:
        """People released ``call``, a tool call."""
        if identity := _text(call.body.get("id")):
            from ciguard.policy.command_matching import commands_of

            found = (_step(command, self._workspace) for command in commands_of(call).all)
            self._by_call[identity] = frozenset(step for step in found if step)
            self._scripts[identity] = _scripts(call.body.get("input"), self._workspace)

    def ended(self, call: str) -> None:
        """The call with this id has its result: what it may still start is not what people released."""
        self._by_call.pop(call, None)
        self._scripts.pop(call, None)

    def covers(self, command: Operation) -> bool:
        """Whether the held ``command`` is all released already, but for what is harmless by itself."""
        if not self._by_call or "unread" in command.body:
            return False
        from ciguard.policy.command_matching import commands_of

        released = frozenset().union(*self._by_call.values())
        directory = _text(command.body.get("cwd"))
        commands = commands_of(command).all
        within = self._released_scripts(commands, directory)
        rest = [one for one in commands if _step(one, directory) not in released and not _starts_with(one.via, within)]
        if len(rest) == len(commands):
            return False
        script = "\n".join(one.line for one in rest if not _only_starts_others(one))
        harmless = Operation(OperationKind.COMMAND, {"argv": ["sh", "-c", script], "cwd": directory})
        return self._evaluator.decide(harmless).action < Action.HOLD

    def _released_scripts(self, commands: Sequence[Command], directory: str) -> list[tuple[str, ...]]:
        """How the commands are started that stand in a script which was released as it is, where it was to run."""
        scripts = frozenset().union(*self._scripts.values())
        starts = [(*one.via, one.program) for one in commands]
        return [
            start
            for one, start in zip(commands, starts, strict=True)
            if _only_starts_others(one)
            and _script(one) in scripts
            and one.directory is not None
            and posixpath.normpath(posixpath.join(directory, one.directory)) == self._workspace
            # Of two that are started alike, nothing tells whose commands are whose.
            and starts.count(start) == 1
        ]


def _scripts(given: Json, workspace: str) -> frozenset[str]:
    """The scripts in the input of a call, when nothing in it says that they run anywhere else than in ``workspace``."""
    from ciguard.policy.tools import SCRIPT_KEYS

    if not isinstance(given, dict) or any(isinstance(value, dict | list) for value in given.values()):
        return frozenset()
    texts = {key: value for key, value in given.items() if isinstance(value, str)}
    if any(value != workspace for key, value in texts.items() if key not in SCRIPT_KEYS | {"description"}):
        return frozenset()
    return frozenset(value for key, value in texts.items() if key in SCRIPT_KEYS)


def _script(starter: Command) -> str:
    """What a command that only starts others is given to start."""
    words = [word.text for word in starter.arguments]
    return " ".join(words) if starter.program == "eval" else words[-1]


def _starts_with(via: tuple[str, ...], starts: Sequence[tuple[str, ...]]) -> bool:
    return any(via[: len(start)] == start for start in starts)


def _step(command: Command, start: str) -> Step:
    """``command`` where all of it is known; else nothing."""
    known = all(word.literal and not word.pattern for word in command.words)
    if not command.program or not known or command.directory is None:
        return ()
    if command.stdin is not None or command.assignments or command.redirections:
        return ()
    where = posixpath.normpath(posixpath.join(start, command.directory))
    return (where, command.program, *(word.text for word in command.arguments))


def _only_starts_others(command: Command) -> bool:
    """Whether all that ``command`` does is to start commands that the analysis found in its script."""
    words = [word.text for word in command.arguments]
    if not _reads_nothing(command) or command.assignments or not all(word.literal for word in command.words):
        return False
    if command.program == "eval":
        return True
    return command.program in _SHELLS and len(words) == 2 and _RUNS_SCRIPT.fullmatch(words[0]) is not None


def _reads_nothing(command: Command) -> bool:
    """Whether nothing but an empty input is opened for ``command``: so Claude Code runs its scripts."""
    from ciguard.inspect.shell.command import Access

    return all(
        one.access is Access.READ and one.target.literal and one.target.text == "/dev/null"
        for one in command.redirections
    )


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""
