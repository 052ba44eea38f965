"""Requests on their way in: masked, read for what is new, judged, recorded.

Agents resend the whole conversation with every request, so every part of a request is remembered by its bytes: a part
that was seen before is neither parsed nor masked nor stored again. Within new parts, texts that were judged before are
not judged again, where the same speaker says them over the same connection; texts that were refused stay refused,
whoever says them. While humans are asked about a text, other requests with that text wait for what becomes of it, and
all others go on.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections import defaultdict, deque
from collections.abc import Callable, Coroutine, Iterator, Sequence
from contextlib import contextmanager
from itertools import chain
from typing import Any, Protocol, TypeVar

import msgspec
from msgspec.structs import replace

from ciguard.codecs.answer import list_of, object_of
from ciguard.codecs.codec import Codec, Saying, SayingKind
from ciguard.codecs.document import Document, Part, PartKey, dump
from ciguard.codecs.signed import restore, signed_texts
from ciguard.decision import Action
from ciguard.guard.judge import Held, Judge, Judgement
from ciguard.guard.mask_rules import mask_by_rules
from ciguard.guard.new_parts import NewPart, read_new
from ciguard.inspect.masking import Masker
from ciguard.inspect.placeholder import Placeholders
from ciguard.operation import Json, Operation, OperationKind, Result, ResultKind, strings
from ciguard.session.event import Parts
from ciguard.session.recorder import Recorder
from ciguard.session.reference import Places, places_in, refer

REMEMBERED_REQUESTS = 16
"""How many earlier requests a new one may be recorded as a difference to."""


class Known(msgspec.Struct, frozen=True):
    """The parts that were taken in over one connection, by their keys.

    ``listed`` is how the log lists each: its label and the digest of its body. ``forwarded`` has what goes on for those
    that do not go on as they came. ``refusals`` make every later request that carries the part be refused like the
    first.
    """

    listed: dict[PartKey, tuple[str, str]] = {}
    forwarded: dict[PartKey, Part] = {}
    refusals: dict[PartKey, str] = {}


class _Stored(msgspec.Struct, frozen=True):
    """A new part whose body is stored: the strings in that, how the log lists it, what goes on for it, its refusal."""

    key: PartKey
    texts: list[str]
    listed: tuple[str, str]
    forwarded: Part
    refusal: str


class Admitted(msgspec.Struct, frozen=True):
    """A request that was taken in: what may be forwarded, its event's ``seq``, and why it is refused, if it is."""

    document: Document
    seq: int
    refusal: str = ""


T = TypeVar("T")

_Listed = tuple[tuple[str, str], ...]
_Subject = tuple[Operation | Result, tuple[str, ...]]


class Waiting(Protocol):
    """Waits for humans: runs ``work`` to its end while the agent is kept from giving up."""

    async def __call__(self, work: Coroutine[Any, Any, T]) -> T: ...


class Intake:
    """Takes in the requests of one session."""

    def __init__(self, masker: Masker, placeholders: Placeholders, judge: Judge, recorder: Recorder) -> None:
        self._masker = masker
        self._placeholders = placeholders
        self._judge = judge
        self._recorder = recorder
        # By connection and codec.
        self._known: defaultdict[tuple[str, str], Known] = defaultdict(Known)
        # Texts by their digests: those that were judged, by connection, each with the mark of its speaker; those that
        # were refused, with why; and those that humans are asked about: set once these have decided, or nobody waits
        # for that any more.
        self._judged: defaultdict[str, set[bytes]] = defaultdict(set)
        self._refused: dict[tuple[str, bytes], str] = {}
        self._asking: dict[tuple[str, bytes], asyncio.Event] = {}
        self._signed: dict[str, dict[str, str]] = {}
        # Each with its seq, and its parts as the log lists them.
        self._requests: deque[tuple[int, _Listed]] = deque(maxlen=REMEMBERED_REQUESTS)

    def heard(self, text: str, connection: str) -> None:
        """``text`` went to the agent over ``connection``: when it comes back as the model's own, it is not new."""
        self._judged[connection].add(_digest(text) + _MARKS[SayingKind.ASSISTANT])

    def answered(self, message: Json, connection: str) -> None:
        """``message`` is an answer as it came over ``connection``: its signed texts are kept for the way back."""
        if signed := signed_texts(message):
            self._signed.setdefault(connection, {}).update(signed)

    def restored(self, message: Json, connection: str) -> Json:
        """``message``, which goes out over ``connection``, with the texts that were signed there as they were.

        No other upstream gets them: what is masked for the agent is not for it to pass on.
        """
        signed = self._signed.get(connection)
        return restore(message, signed) if signed else message

    async def admit(
        self,
        codec: Codec,
        document: Document,
        connection: str,
        record: Callable[[Parts], int],
        waiting: Waiting,
    ) -> Admitted:
        """Take in a request.

        ``record`` writes the request event, given its ``parts``, and returns its ``seq``. ``waiting`` runs what waits
        for humans, if anything does. Raises :class:`~ciguard.codecs.error.WireError` when a part cannot be read.
        """
        known = self._known[connection, type(codec).__name__]
        while True:
            self._masker.remember()
            fresh = {part.key: place for place, part in enumerate(document.parts) if part.key not in known.listed}
            new = read_new(codec, document, fresh.values(), self._masker)
            asking = self._asked_of_others(new, connection)
            if asking is None:
                break
            await waiting(asking.wait())
        said: set[bytes] = set()
        subjects = self._subjects(new, connection, said)
        decided = [self._judge.decide(subject) for subject, _ in subjects]
        judged = [one for one in decided if not isinstance(one, Held)]
        if len(judged) == len(decided):
            return self._take_in(codec, document, connection, known, new, subjects, judged, said, record)
        held = [one for one in decided if isinstance(one, Held)]
        with self._asking_about(held):
            released = iter(await waiting(self._released(held)))
            # Nothing waits from here on: no other request comes between a decision and what it leads to.
            judged = [next(released) if isinstance(one, Held) else one for one in decided]
            return self._take_in(codec, document, connection, known, new, subjects, judged, said, record)

    def _take_in(
        self,
        codec: Codec,
        document: Document,
        connection: str,
        known: Known,
        new: list[NewPart],
        subjects: list[_Subject],
        judged: list[Judgement],
        said: set[bytes],
        record: Callable[[Parts], int],
    ) -> Admitted:
        """Remember and record what became of the ``new`` parts of ``document``."""
        for place, judgement in enumerate(judged):
            if judgement.refusal:
                subjects[place] = self._guilty_first(*subjects[place], judgement.refusal)
        stored = [self._store(codec, one, connection) for one in new]
        for one in stored:
            known.listed[one.key] = one.listed
            if one.forwarded.key != one.key:
                known.forwarded[one.key] = one.forwarded
            if one.refusal:
                known.refusals[one.key] = one.refusal
        listed = tuple([known.listed[part.key] for part in document.parts])
        seq = record(self._difference(listed, new[0].place if new else len(listed)))
        # Texts count as judged once all of the request is: what ends a judgement early must not let them pass.
        self._judged[connection] |= said
        self._requests.append((seq, listed))
        places = places_in([(one.listed[1], one.texts) for one in stored]) if subjects else {}
        for (subject, kinds), judgement in zip(subjects, judged, strict=True):
            self._record(subject, judgement, seq, kinds, places)
        refusal = ""
        if known.refusals:
            refusal = next((known.refusals[part.key] for part in document.parts if part.key in known.refusals), "")
        if known.forwarded:
            document = document.with_parts([known.forwarded.get(part.key, part) for part in document.parts])
        return Admitted(document, seq, refusal)

    def _subjects(self, new: list[NewPart], connection: str, said: set[bytes]) -> list[_Subject]:
        """The operations and results that the texts never judged before make up, with the kinds masked in their parts.

        ``said`` gathers what these texts are remembered by.
        """
        operations: dict[OperationKind | ResultKind, tuple[list[Json], dict[PartKey, tuple[str, ...]]]] = {}
        results: list[_Subject] = []
        for one in new:
            for saying in one.sayings:
                texts = self._fresh(saying, connection, said)
                if saying.kind is SayingKind.TOOL_RESULT:
                    self._judge.approved.ended(saying.id)
                    if texts:
                        body: dict[str, Json] = {"texts": texts, "id": saying.id}
                        results.append((Result(ResultKind.TOOL_RESULT, body, connection), one.kinds))
                else:
                    kind = _KINDS[saying.kind]
                    if kind not in operations:
                        operations[kind] = ([], {})
                    gathered, kinds = operations[kind]
                    gathered += texts
                    kinds[one.part.key] = one.kinds
        return [
            (Operation(kind, {"texts": operations[kind][0]}, connection), tuple(chain(*operations[kind][1].values())))
            for kind in _ORDER
            if kind in operations and operations[kind][0]
        ] + results

    def _fresh(self, saying: Saying, connection: str, said: set[bytes]) -> list[Json]:
        """The texts of ``saying`` that nobody of its kind said before."""
        judged = self._judged[connection]
        found: list[Json] = []
        for text in saying.texts:
            remembered = _digest(text) + _MARKS[saying.kind]
            if remembered not in judged and remembered not in said:
                found.append(text)
            said.add(remembered)
        return found

    def _asked_of_others(self, new: list[NewPart], connection: str) -> asyncio.Event | None:
        """What to wait for, while another request has humans asked about a text of these parts."""
        if not self._asking:
            return None
        texts = (text for one in new for saying in one.sayings for text in saying.texts)
        return next(filter(None, (self._asking.get((connection, _digest(text))) for text in texts)), None)

    @contextmanager
    def _asking_about(self, held: Sequence[Held]) -> Iterator[None]:
        """Other requests with the texts of ``held`` wait until this is left."""
        decided = asyncio.Event()
        texts = {
            (one.subject.connection, _digest(text))
            for one in held
            for text in list_of(one.subject.body["texts"])
            if isinstance(text, str)
        }
        self._asking |= dict.fromkeys(texts, decided)
        try:
            yield
        finally:
            for text in texts:
                del self._asking[text]
            decided.set()

    async def _released(self, held: Sequence[Held]) -> Sequence[Judgement]:
        """What humans say, who are asked about all of ``held`` at once."""
        return await asyncio.gather(*(self._judge.ask(one) for one in held))

    def _guilty_first(self, subject: Operation | Result, kinds: tuple[str, ...], refusal: str) -> _Subject:
        """A refused subject, what it is refused for in front: people read that first. These texts stay refused."""
        guilty = self._guilty(subject)
        for text in guilty:
            self._refused[subject.connection, _digest(text)] = refusal
        innocent = [text for text in list_of(subject.body["texts"]) if text not in guilty]
        return replace(subject, body={**subject.body, "texts": [*guilty, *innocent]}), kinds

    def _guilty(self, subject: Operation | Result) -> list[str]:
        """The texts of a refused subject that are refused on their own; all of them when only their sum is."""
        texts = [text for text in list_of(subject.body["texts"]) if isinstance(text, str)]
        alone = [
            text
            for text in texts
            if self._judge.evaluator.decide(replace(subject, body={"texts": [text]})).action >= Action.HOLD
        ]
        return alone or texts

    def _store(self, codec: Codec, new: NewPart, connection: str) -> _Stored:
        value, refusal = (new.masked, "") if not self._refused else self._without_refused(codec, new, connection)
        kinds = {_KINDS[saying.kind] for saying in new.sayings}
        value, _ = mask_by_rules(value, kinds, connection, self._judge.evaluator, self._placeholders)
        restored = self.restored(value, connection)
        part = new.part
        recorded = part if value is new.original else Part.of(part.label, dump(value), item=part.item)
        forwarded = recorded if restored is value else Part.of(part.label, dump(restored), item=part.item)
        listed = part.label, self._recorder.store(recorded.raw, recorded.digest)
        texts = new.texts if value is new.masked else strings(value)
        return _Stored(part.key, texts, listed, forwarded, refusal)

    def _without_refused(self, codec: Codec, new: NewPart, connection: str) -> tuple[Json, str]:
        """The value of a new part without the results that were refused, and why the whole request is refused."""
        value, refusal = new.masked, ""
        for saying in new.sayings:
            told = self._told(saying, connection)
            if told and saying.kind is SayingKind.TOOL_RESULT:
                value = codec.withhold(value, saying.id, f"[ciguard] This result was withheld. {told}")
            elif told:
                refusal = told
        if value is not new.masked:
            # A result that its id does not lead to is still there.
            left = (self._told(saying, connection) for saying in codec.sayings(new.part.label, value))
            refusal = refusal or next(filter(None, left), "")
        return value, refusal

    def _told(self, saying: Saying, connection: str) -> str:
        """Why a text of ``saying`` was refused; empty when none was."""
        told = (self._refused.get((connection, _digest(text)), "") for text in saying.texts)
        return next(filter(None, told), "")

    def _record(
        self, subject: Operation | Result, judgement: Judgement, seq: int, kinds: tuple[str, ...], places: Places
    ) -> None:
        body, rules = mask_by_rules(
            dict(subject.body), (subject.kind,), subject.connection, self._judge.evaluator, self._placeholders
        )
        shown = refer(object_of(body), places)
        if isinstance(subject, Operation):
            recorded = Operation(subject.kind, shown, subject.connection)
            self._judge.record_operation(recorded, judgement, seq, (*kinds, *rules))
        else:
            self._judge.record_result(Result(subject.kind, shown, subject.connection), judgement, seq, (*kinds, *rules))

    def _difference(self, parts: _Listed, most: int) -> Parts:
        """The parts as the log lists them: only what differs from the earlier request that has most in common.

        One that has the first ``most`` in common is enough: what follows is new.
        """
        base, keep = None, 0
        for seq, theirs in reversed(self._requests):
            # What has no more in common than the best so far mostly differs in the next part already.
            if keep < len(theirs) and keep < len(parts) and theirs[keep] == parts[keep]:
                common = _common(parts, theirs)
                if common > keep:
                    base, keep = seq, common
                    if keep >= most:
                        break
        return Parts(base=base, keep=keep, add=list(parts[keep:]))


def _common(mine: _Listed, theirs: _Listed) -> int:
    """How many parts both begin with."""
    length = min(len(mine), len(theirs))
    if mine[:length] == theirs[:length]:
        return length
    place = 0
    while mine[place] == theirs[place]:
        place += 1
    return place


_KINDS: dict[SayingKind, OperationKind | ResultKind] = {
    SayingKind.INSTRUCTIONS: OperationKind.INSTRUCTIONS,
    SayingKind.PROMPT: OperationKind.PROMPT,
    SayingKind.ASSISTANT: OperationKind.PROMPT,
    SayingKind.REMOTE: OperationKind.REMOTE,
    SayingKind.TOOL_RESULT: ResultKind.TOOL_RESULT,
}
"""What the texts of each speaker make up."""

_ORDER = (OperationKind.INSTRUCTIONS, OperationKind.PROMPT, OperationKind.REMOTE)
"""The order in which the operations of one request are judged and recorded."""

_MARKS = {kind: bytes([place]) for place, kind in enumerate(SayingKind)}
"""What tells the texts of each speaker apart in what is remembered of them."""


def _digest(text: str) -> bytes:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()
