"""The items of one answer: each is judged, recorded, and let through, changed or refused."""

from __future__ import annotations

from ciguard.codecs.answer import Barrier, CallItem, Item, TextItem
from ciguard.decision import ALLOWED, Action, Decision, Reason
from ciguard.guard.holding import Holding
from ciguard.guard.intake import Intake
from ciguard.guard.judge import Held, Judge, Judgement
from ciguard.guard.mask_rules import mask_by_rules
from ciguard.inspect.placeholder import Placeholders
from ciguard.operation import Json, Operation, OperationKind, Result, ResultKind


class Settling:
    """Settles the items of the answer to the request ``seq`` over ``connection``, in their order."""

    def __init__(self, judge: Judge, intake: Intake, placeholders: Placeholders, connection: str, seq: int) -> None:
        self._judge = judge
        self._intake = intake
        self._placeholders = placeholders
        self._connection = connection
        self._seq = seq
        self._said = ""

    async def settle(self, item: Item, holding: Holding) -> None:
        """Settle ``item``; a call that is held is left for later, and everything is settled at a barrier."""
        match item:
            case CallItem():
                self._settle_call(item, holding)
            case TextItem():
                await self._settle_text(item, holding)
            case Barrier.SETTLE_ALL:
                await holding.all()

    def delivered(self, item: TextItem) -> None:
        """What of ``item`` went to the agent before the answer broke off, or what needs no decision, is recorded."""
        self._judge.record_result(self._text(item.text, item.part), Judgement(ALLOWED), self._seq, item.kinds)

    def _settle_call(self, item: CallItem, holding: Holding) -> None:
        operation = Operation(
            OperationKind.TOOL_CALL, {"name": item.name, "input": item.input, "id": item.id}, self._connection
        )
        if item.problem:
            reason = Reason("ciguard:unreadable-call", item.problem)
            decision = Decision(Action.BLOCK, reasons=(reason,))
            self._conclude(item, operation, Judgement(decision, f"It cannot be judged: {item.problem}."))
            return
        judged = self._judge.decide(operation)
        if isinstance(judged, Held):
            holding.begin(self._ask(item, operation, judged, self._said))
        else:
            self._conclude(item, operation, judged)

    async def _ask(self, item: CallItem, operation: Operation, held: Held, said: str) -> None:
        self._conclude(item, operation, await self._judge.ask(held, said))

    def _conclude(self, item: CallItem, operation: Operation, judgement: Judgement) -> None:
        if not item.problem:
            item.input, rules = self._mask(item.input, OperationKind.TOOL_CALL)
            item.kinds = (*item.kinds, *rules)
        recorded = Operation(operation.kind, {**operation.body, "input": item.input}, operation.connection)
        self._judge.record_operation(recorded, judgement, self._seq, item.kinds)
        if judgement.refusal:
            item.refuse(refused_call(item.name, judgement.refusal))
            self._intake.heard(item.note, self._connection)
        else:
            item.allow()

    async def _settle_text(self, item: TextItem, holding: Holding) -> None:
        subject = self._text(item.text, item.part)
        judged = self._judge.decide(subject)
        judgement = await holding.run(self._judge.ask(judged)) if isinstance(judged, Held) else judged
        masked, rules = self._mask(item.text, ResultKind.RESPONSE_TEXT)
        text = masked if isinstance(masked, str) else ""
        shown = subject if text == item.text else self._text(text, item.part)
        self._judge.record_result(shown, judgement, self._seq, (*item.kinds, *rules))
        if judgement.refusal:
            text = f"[ciguard] This text was withheld. {judgement.refusal}"
        if text != item.text:
            item.replace(text)
        self._intake.heard(text, self._connection)
        self._said = text

    def _text(self, text: str, part: str) -> Result:
        return Result(ResultKind.RESPONSE_TEXT, {"text": text, "part": part}, self._connection)

    def _mask(self, value: Json, kind: OperationKind | ResultKind) -> tuple[Json, tuple[str, ...]]:
        return mask_by_rules(value, (kind,), self._connection, self._judge.evaluator, self._placeholders)


def refused_call(name: str, refusal: str) -> str:
    """What stands in an answer where a refused call was; the model reads it, and so does the agent."""
    return (
        f"[ciguard] The call of the tool {name} was refused and did not run. {refusal} "
        "Do not try the same thing in another way: choose another approach, or say that it is not permitted."
    )
