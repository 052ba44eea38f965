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
from dataclasses import dataclass, replace
from typing import Any, Protocol, TypeVar

from ciguard.codecs.answer import list_of, masked_value, named_texts, object_of, with_names_masked
from ciguard.codecs.codec import Codec, Saying, SayingKind
from ciguard.codecs.document import Document, Part, PartKey, dump
from ciguard.codecs.signed import restore, signed_texts
from ciguard.decision import Action
from ciguard.guard.judge import Held, Judge, Judgement
from ciguard.guard.mask_rules import mask_by_rules
from ciguard.inspect.masking import Masker
from ciguard.inspect.placeholder import Placeholders
from ciguard.operation import Json, Operation, OperationKind, Result, ResultKind
from ciguard.session.recorder import Recorder
from ciguard.session.reference import Places, places_in, refer

REMEMBERED_REQUESTS = 16
"""How many earlier requests a new one may be recorded as a difference to."""


@dataclass(frozen=True, slots=True)
class Seen:
    """A part that was taken in: what is forwarded for it, how the log lists it, and a refusal if it has one.

    ``forwarded`` is None when that is the part as it came. ``listed`` is its label and the digest of its body.
    ``refusal`` makes every later request that carries the part be refused like the first.
    """

    forwarded: bytes | None
    listed: tuple[str, str]
    refusal: str = ""


@dataclass(frozen=True, slots=True)
class RecordedRequest:
    """The parts of a request, as the log lists them."""

    seq: int
    parts: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Admitted:
    """A request that was taken in: what may be forwarded, its event's ``seq``, and why it is refused, if it is."""

    document: Document
    seq: int
    refusal: str = ""


@dataclass(frozen=True, slots=True)
class _New:
    """A part that was not seen before: parsed and with its secrets masked, and who says what in it."""

    part: Part
    original: Json
    masked: Json
    kinds: tuple[str, ...]
    sayings: tuple[Saying, ...]


T = TypeVar("T")

_Judged = tuple[Operation | Result, Judgement, tuple[str, ...]]


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
        self._parts: defaultdict[tuple[str, str], dict[PartKey, Seen]] = defaultdict(dict)
        self._judged_texts: set[bytes] = set()
        self._refused_texts: dict[bytes, str] = {}
        self._signed: dict[str, dict[str, str]] = {}
        self._requests: deque[RecordedRequest] = deque(maxlen=REMEMBERED_REQUESTS)
        # By text: set once humans have decided on it, or nobody waits for that any more.
        self._asking: dict[bytes, asyncio.Event] = {}

    def heard(self, text: str, connection: str) -> None:
        """``text`` went to the agent over ``connection``: when it comes back as the model's own, it is not new."""
        self._judged_texts.add(_digest(connection, SayingKind.ASSISTANT, text))

    def answered(self, message: Json, connection: str) -> None:
        """``message`` is an answer as it came over ``connection``: its signed texts are kept for the way back."""
        self._signed.setdefault(connection, {}).update(signed_texts(message))

    def restored(self, message: Json, connection: str) -> Json:
        """``message``, which goes out over ``connection``, with the texts that were signed there as they were.

        No other upstream gets them: what is masked for the agent is not for it to pass on.
        """
        return restore(message, self._signed.get(connection, {}))

    async def admit(
        self,
        codec: Codec,
        document: Document,
        connection: str,
        record: Callable[[dict[str, Json]], int],
        waiting: Waiting,
    ) -> Admitted:
        """Take in a request.

        ``record`` writes the request event, given its ``parts``, and returns its ``seq``. ``waiting`` runs what waits
        for humans, if anything does. Raises :class:`~ciguard.codecs.error.WireError` when a part cannot be read.
        """
        known = self._parts[connection, type(codec).__name__]
        while True:
            self._masker.remember()
            fresh = {part.key: place for place, part in enumerate(document.parts) if part.key not in known}
            new = self._nameless(codec, [self._read(codec, document, place) for place in fresh.values()])
            asking = self._asked_of_others(new, connection)
            if asking is None:
                break
            await waiting(asking.wait())
        # Texts count as judged once all of the request is: what ends a judgement early must not let them pass.
        texts: set[bytes] = set()
        decided = [
            (subject, self._judge.decide(subject), kinds) for subject, kinds in self._subjects(new, connection, texts)
        ]
        held = [one for _, one, _ in decided if isinstance(one, Held)]
        with self._asking_about(held):
            judgements = iter(await waiting(self._released(held)) if held else ())
            # Nothing below waits: no other request comes between a decision and what it leads to.
            judged = [
                self._settled(subject, next(judgements) if isinstance(one, Held) else one, kinds)
                for subject, one, kinds in decided
            ]
            taken = [(one.part.key, *self._seen(codec, one, connection)) for one in new]
            known.update({key: seen for key, seen, _ in taken})
            parts = [known[part.key] for part in document.parts]
            listed = tuple(seen.listed for seen in parts)
            seq = record(self._difference(listed))
            self._judged_texts |= texts
        self._requests.append(RecordedRequest(seq, listed))
        places = places_in((seen.listed[1], value) for _, seen, value in taken)
        for subject, judgement, kinds in judged:
            self._record(subject, judgement, seq, kinds, places)
        forwarded = document.with_parts(
            part if seen.forwarded is None else Part(part.label, seen.forwarded, part.item)
            for part, seen in zip(document.parts, parts, strict=True)
        )
        return Admitted(forwarded, seq, next((seen.refusal for seen in parts if seen.refusal), ""))

    def _read(self, codec: Codec, document: Document, place: int) -> _New:
        part, value = document.parts[place], document.read(place)
        masked, kinds = masked_value(value, self._masker)
        return _New(part, value, masked, kinds, _sayings(codec, part, masked))

    def _nameless(self, codec: Codec, new: list[_New]) -> list[_New]:
        """``new`` with the names masked in what was said. Instructions keep theirs: they define tools, too."""
        said = [{text for saying in one.sayings if saying.kind in _SAID for text in saying.texts} for one in new]
        named = named_texts((text for texts in said for text in texts), self._masker)
        if not named:
            return new
        changed = []
        for one, texts in zip(new, said, strict=True):
            value, kinds = with_names_masked(one.masked, {text: named[text] for text in texts & named.keys()})
            sayings = _sayings(codec, one.part, value)
            changed.append(replace(one, masked=value, kinds=(*one.kinds, *kinds), sayings=sayings))
        return changed

    def _subjects(
        self, new: list[_New], connection: str, judged: set[bytes]
    ) -> Iterator[tuple[Operation | Result, tuple[str, ...]]]:
        """The operations and results that the texts never judged before make up, with the kinds masked in their parts.

        ``judged`` gathers the digests of these texts.
        """

        def fresh(saying: Saying) -> list[Json]:
            digests = {text: _digest(connection, saying.kind, text) for text in saying.texts}
            found = [
                text for text, digest in digests.items() if digest not in self._judged_texts and digest not in judged
            ]
            judged.update(digests.values())
            return [*found]

        for kind in (OperationKind.INSTRUCTIONS, OperationKind.PROMPT, OperationKind.REMOTE):
            sayings = [saying for one in new for saying in one.sayings if _kind(saying.kind) is kind]
            texts = [text for saying in sayings for text in fresh(saying)]
            spoken = [one for one in new if any(_kind(saying.kind) is kind for saying in one.sayings)]
            kinds = tuple(found for one in spoken for found in one.kinds)
            if texts:
                yield Operation(kind, {"texts": texts}, connection), kinds
        for one in new:
            for saying in one.sayings:
                if saying.kind is SayingKind.TOOL_RESULT:
                    self._judge.approved.ended(saying.id)
                if saying.kind is SayingKind.TOOL_RESULT and (said := fresh(saying)):
                    yield Result(ResultKind.TOOL_RESULT, {"texts": said, "id": saying.id}, connection), one.kinds

    def _asked_of_others(self, new: list[_New], connection: str) -> asyncio.Event | None:
        """What to wait for, while another request has humans asked about a text of these parts."""
        if not self._asking:
            return None
        texts = (text for one in new for saying in one.sayings for text in saying.texts)
        return next(filter(None, (self._asking.get(_digest(connection, None, text)) for text in texts)), None)

    @contextmanager
    def _asking_about(self, held: Sequence[Held]) -> Iterator[None]:
        """Other requests with the texts of ``held`` wait until this is left."""
        decided = asyncio.Event()
        texts = {
            _digest(one.subject.connection, None, text)
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

    def _settled(self, subject: Operation | Result, judgement: Judgement, kinds: tuple[str, ...]) -> _Judged:
        if judgement.refusal:
            guilty = self._guilty(subject)
            for text in guilty:
                self._refused_texts[_digest(subject.connection, None, text)] = judgement.refusal
            # What people read of it first is what it was refused for.
            innocent = [text for text in list_of(subject.body["texts"]) if text not in guilty]
            subject = replace(subject, body={**subject.body, "texts": [*guilty, *innocent]})
        return subject, judgement, kinds

    def _guilty(self, subject: Operation | Result) -> list[str]:
        """The texts of a refused subject that are refused on their own; all of them when only their sum is."""
        texts = [text for text in list_of(subject.body["texts"]) if isinstance(text, str)]
        alone = [
            text
            for text in texts
            if self._judge.evaluator.decide(replace(subject, body={"texts": [text]})).action >= Action.HOLD
        ]
        return alone or texts

    def _seen(self, codec: Codec, new: _New, connection: str) -> tuple[Seen, Json]:
        """What is remembered of a new part, and its value as it is forwarded."""
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
        kinds = {_kind(saying.kind) for saying in new.sayings}
        value, _ = mask_by_rules(value, kinds, connection, self._judge.evaluator, self._placeholders)
        forwarded = None if value is new.original else dump(value)
        if forwarded is None:
            digest = self._recorder.store(new.part.raw, new.part.digest)
        else:
            digest = self._recorder.store(forwarded)
        restored = self.restored(value, connection)
        listed = new.part.label, digest
        return Seen(forwarded if restored is value else dump(restored), listed, refusal), value

    def _told(self, saying: Saying, connection: str) -> str:
        """Why a text of ``saying`` was refused; empty when none was."""
        if not self._refused_texts:
            return ""
        told = (self._refused_texts.get(_digest(connection, None, text), "") for text in saying.texts)
        return next(filter(None, told), "")

    def _record(
        self, subject: Operation | Result, judgement: Judgement, seq: int, kinds: tuple[str, ...], places: Places
    ) -> None:
        body, rules = mask_by_rules(
            dict(subject.body), {subject.kind}, subject.connection, self._judge.evaluator, self._placeholders
        )
        recorded = replace(subject, body=refer(object_of(body), places))
        if isinstance(recorded, Operation):
            self._judge.record_operation(recorded, judgement, seq, (*kinds, *rules))
        else:
            self._judge.record_result(recorded, judgement, seq, (*kinds, *rules))

    def _difference(self, parts: tuple[tuple[str, str], ...]) -> dict[str, Json]:
        """The parts as the log lists them: only what differs from the earlier request that has most in common."""
        base, keep = None, 0
        for earlier in reversed(self._requests):
            # What has no more in common than the best so far is told by one comparison.
            if len(earlier.parts) > keep and parts[: keep + 1] == earlier.parts[: keep + 1]:
                base, keep = earlier.seq, _common(parts, earlier.parts)
                if keep == len(parts):
                    break
        return {"base": base, "keep": keep, "add": [list(part) for part in parts[keep:]]}


def _common(mine: tuple[tuple[str, str], ...], theirs: tuple[tuple[str, str], ...]) -> int:
    """How many parts both begin with."""
    return next(
        (place for place, (one, other) in enumerate(zip(mine, theirs, strict=False)) if one != other),
        min(len(mine), len(theirs)),
    )


_SAID = frozenset({SayingKind.PROMPT, SayingKind.TOOL_RESULT, SayingKind.ASSISTANT})
"""Who says what names are masked in."""


def _sayings(codec: Codec, part: Part, value: Json) -> tuple[Saying, ...]:
    """Who says what in ``value``, which stands for ``part``, and what it asks of the model's service."""
    sayings = codec.sayings(part.label, value)
    if remote := tuple(dict.fromkeys(codec.remote(part.label, value))):
        sayings = [*sayings, Saying(SayingKind.REMOTE, remote)]
    return tuple(sayings)


def _kind(speaker: SayingKind) -> OperationKind | ResultKind:
    match speaker:
        case SayingKind.INSTRUCTIONS:
            return OperationKind.INSTRUCTIONS
        case SayingKind.TOOL_RESULT:
            return ResultKind.TOOL_RESULT
        case SayingKind.PROMPT | SayingKind.ASSISTANT:
            return OperationKind.PROMPT
        case SayingKind.REMOTE:
            return OperationKind.REMOTE


def _digest(connection: str, speaker: SayingKind | None, text: str) -> bytes:
    digest = hashlib.sha256(f"{connection}\0{speaker or ''}\0".encode())
    digest.update(text.encode("utf-8", "surrogatepass"))
    return digest.digest()
