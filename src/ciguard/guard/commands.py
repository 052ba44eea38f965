"""The commands that the agent executes: each becomes an operation, decided and recorded before it runs."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping

from ciguard.codecs.answer import masked_value, object_of
from ciguard.decision import ALLOWED, Action, Decision, Reason
from ciguard.errors import CiguardError, RecordingFailed
from ciguard.guard.judge import Judge, Judgement
from ciguard.guard.mask_rules import mask_by_rules
from ciguard.inspect.masking import Masker
from ciguard.inspect.placeholder import Placeholders
from ciguard.operation import Json, Operation, OperationKind
from ciguard.sandbox.command import Command
from ciguard.sandbox.process import Answer
from ciguard.session.event import CommandsRepeated
from ciguard.session.recorder import Recorder

UNSEEN = "ciguard:unseen-command"
"""The rule that refuses what cannot be decided because nobody can say what would run."""

_LOADER = re.compile(r"ld(?:-[\w.-]+)?\.so(?:\.\d+)*")
_LOADER_VALUES = frozenset(
    {"--library-path", "--inhibit-rpath", "--audit", "--preload", "--argv0"}
    | {"--glibc-hwcaps-prepend", "--glibc-hwcaps-mask"}
)


class Commands:
    """Decides the commands of one session. ``fail`` ends the session when they cannot be recorded."""

    def __init__(
        self,
        judge: Judge,
        masker: Masker,
        placeholders: Placeholders,
        recorder: Recorder,
        fail: Callable[[CiguardError], None],
    ) -> None:
        self._judge = judge
        self._masker = masker
        self._placeholders = placeholders
        self._recorder = recorder
        self._fail = fail
        self._recorded: dict[int, int] = {}

    async def decide(self, question: int, command: Command) -> Answer:
        """The answer to a supervisor's question. What people decided, they decided for one execution."""
        try:
            return await self._decide(question, command)
        except RecordingFailed as failure:
            self._fail(failure)
            return Answer(f"It cannot be recorded: {failure.cause}")

    async def _decide(self, question: int, command: Command) -> Answer:
        body, kinds = masked_value(described(command), self._masker)
        operation = Operation(OperationKind.COMMAND, object_of(body))
        if command.flaw:
            decision = Decision(Action.BLOCK, reasons=(Reason(UNSEEN, _sentence(command.flaw)),))
            judged = Judgement(decision, f"It is blocked by rule {UNSEEN}: {_sentence(command.flaw)}")
        elif command.launch:
            # The job's own words, which it may have put a text about commands into.
            judged = Judgement(ALLOWED)
        else:
            judged = await self._judge.judge(operation)
        shown, rules = mask_by_rules(
            dict(operation.body), {OperationKind.COMMAND}, "", self._judge.evaluator, self._placeholders
        )
        recorded = Operation(OperationKind.COMMAND, object_of(shown))
        self._recorded[question] = self._judge.record_operation(recorded, judged, None, (*kinds, *rules))
        return Answer(judged.refusal, once=not judged.lasting)

    def repeated(self, counts: Mapping[int, int]) -> None:
        """Record how many more times commands ran, or were refused, as they were decided the first time."""
        times = [(self._recorded[question], count) for question, count in sorted(counts.items())]
        if times:
            self._recorder.record(CommandsRepeated(times=times))


def described(command: Command) -> dict[str, Json]:
    """The body of a ``command`` operation."""
    body: dict[str, Json] = {"path": command.path, "argv": list(command.argv), "cwd": command.cwd}
    if command.parent:
        body["parent"] = command.parent
    if also := list(_readings(command)):
        body["also"] = also
    if command.script:
        body["script"] = command.script
    if command.files:
        body["files"] = dict(command.files)
    if command.unread:
        body["unread"] = command.unread
    return body


def _readings(command: Command) -> Iterator[Json]:
    """What else the command line means: a caller is free to give a program another name, or to have it loaded."""
    if not command.argv:
        return
    name = _base(command.path)
    if name != _base(command.argv[0]):
        yield [command.path, *command.argv[1:]]
    if _LOADER.fullmatch(name):
        words = iter(command.argv[1:])
        for word in words:
            if word in _LOADER_VALUES:
                next(words, None)
            elif not word.startswith("--"):
                yield [word, *words]


def _base(path: str) -> str:
    return path.rpartition("/")[2]


def _sentence(flaw: str) -> str:
    return f"Nobody can say what would run: {flaw}."
