"""Holding the events of a streamed answer until everything in them is decided.

Theory of operation. Every event of the upstream waits in a queue. A *reader*, which knows one API, says which strings
of an event are pieces of a text (a *passage*) and which events belong to a tool call. Passages are masked as streams:
an event leaves when the masker has decided all the text in it. The events of a call leave when the call is complete and
allowed; a refused call's events are replaced by a text. While a call waits for its decision, what follows is read and
waits behind it. All other strings of an event are masked on their own. An event
in which nothing changed leaves with the bytes that it came with, and order is kept. Only a sign of life overtakes.

Most events are the one before with another text (:mod:`ciguard.codecs.mould`). While nothing waits, such an event is
its text and nothing else: when nothing of that is masked or held back, its bytes leave at once. The reader is told of
what passed like this before it hears or is asked anything else.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection, Hashable, Iterator
from dataclasses import dataclass
from typing import Protocol

from ciguard.codecs.answer import SETTLE_ALL, CallItem, Item, Tally, TextItem, drop_logprobs
from ciguard.codecs.codec import TextRelease
from ciguard.codecs.document import parse
from ciguard.codecs.error import WireError
from ciguard.codecs.held_event import END_MARK, HeldEvent
from ciguard.codecs.latest import Latest, More
from ciguard.codecs.open_text import OpenText, Piece
from ciguard.codecs.passage import Passage, masked_text
from ciguard.codecs.rest import Rest
from ciguard.codecs.sse import EventParser, ServerSentEvent
from ciguard.inspect.masking import Masker
from ciguard.operation import Json

MOST_HELD = 32 * 1024 * 1024
"""Bytes of events that may wait; an answer that would make more wait is refused."""


class Reader(Protocol):
    """Knows the events of one API; calls back the :class:`HoldingStream` that it is given.

    ``varying`` are the top-level keys below which numbers, and strings that say nothing, may differ from event to event
    of one text.
    """

    varying: Collection[str]

    def read(self, event: HeldEvent, stream: HoldingStream) -> Iterator[Item]:
        """Classify an event as it comes; yields the items that it completes."""

    def release(self, event: HeldEvent, stream: HoldingStream) -> None:
        """Make the last changes to an event that is about to leave; called in the order of the stream."""

    def message(self) -> Json:
        """See :meth:`ciguard.codecs.codec.AnswerStream.message`."""

    def resume(self) -> None:
        """A further answer follows."""

    def error(self, message: str) -> bytes:
        """See :meth:`ciguard.codecs.codec.AnswerStream.error`."""

    def sign_of_life(self) -> bytes:
        """See :meth:`ciguard.codecs.codec.AnswerStream.sign_of_life`."""


@dataclass(frozen=True, slots=True)
class UndecidedCall:
    """A call that was handed out and not settled, and what is to be done in the stream once it is."""

    key: Hashable
    item: CallItem
    finish: Callable[[], None]


class HoldingStream:
    """A streamed answer: :class:`ciguard.codecs.codec.AnswerStream` for any API that has a :class:`Reader`."""

    def __init__(self, reader: Reader, masker: Masker, text: TextRelease) -> None:
        self.tally = Tally()
        self.ended = False
        self._reader = reader
        self._masker = masker
        self._text = text
        self._parser = EventParser()
        self._queue: deque[HeldEvent] = deque()
        self._held_bytes = 0
        self._open: dict[tuple[Hashable, ...], OpenText] = {}
        self._said: dict[tuple[Hashable, str], str] = {}
        self._withheld_end: list[HeldEvent] = []
        self._undecided: list[UndecidedCall] = []
        self._ready: list[bytes] = []
        self._rest = Rest(masker)
        self._latest: Latest | None = None

    def feed(self, chunk: bytes) -> Iterator[Item]:
        """See :meth:`ciguard.codecs.codec.AnswerStream.feed`."""
        if self._undecided:
            self._finish_decided()
            self._release()
        for raw in self._parser.cut(chunk):
            if not self._goes_on(raw):
                self._end_run()
                yield from self._feed_event(self._parser.read(raw))
                self._release()

    def goes_on(self, chunk: bytes) -> bool:
        """See :meth:`ciguard.codecs.codec.AnswerStream.goes_on`."""
        return not self._parser.held and self._goes_on(chunk)

    def take(self) -> bytes:
        """See :meth:`ciguard.codecs.codec.AnswerStream.take`."""
        ready = b"".join(self._ready)
        self._ready.clear()
        return ready

    @property
    def stranded(self) -> bool:
        """See :meth:`ciguard.codecs.codec.AnswerStream.stranded`."""
        return self.ended and bool(self._withheld_end)

    def message(self) -> Json:
        """See :meth:`ciguard.codecs.codec.AnswerStream.message`."""
        self._end_run()
        return self._reader.message()

    def unfinished(self) -> list[TextItem]:
        """See :meth:`ciguard.codecs.codec.AnswerStream.unfinished`."""
        return [
            TextItem(
                one.passage.part,
                one.passage.edited(0, one.passage.original[: one.delivered]),
                one.passage.kinds,
            )
            for one in self._open.values()
            if one.delivered
        ]

    def resume(self) -> None:
        """See :meth:`ciguard.codecs.codec.AnswerStream.resume`."""
        self._end_run()
        self._withheld_end.clear()
        self._said.clear()
        self._parser = EventParser()
        self.ended = False
        self.tally = Tally(input_tokens=self.tally.input_tokens, output_tokens=self.tally.output_tokens)
        self._reader.resume()

    def close(self) -> None:
        """See :meth:`ciguard.codecs.codec.AnswerStream.close`."""
        self.let_end()
        self._release()

    def error(self, message: str) -> bytes:
        """See :meth:`ciguard.codecs.codec.AnswerStream.error`."""
        self._end_run()
        return self._reader.error(message)

    def sign_of_life(self) -> bytes:
        """See :meth:`ciguard.codecs.codec.AnswerStream.sign_of_life`."""
        self._end_run()
        return self._reader.sign_of_life()

    # What follows is for readers.

    def text(
        self,
        key: tuple[Hashable, ...],
        block: Hashable,
        part: str,
        event: HeldEvent,
        holder: dict[str, Json],
        name: str,
        more: More | None = None,
    ) -> None:
        """``holder[name]``, a string of ``event``, is the next piece of ``block`` in the passage ``key``.

        ``more`` is for a reader to hear of further texts by, when it makes nothing else of an event that is the same
        but for this text, and but for what varies.
        """
        text = holder[name]
        if not isinstance(text, str):
            raise WireError("a text of the stream is not a string")
        one = self._open.get(key)
        if one is None:
            one = self._open[key] = OpenText(Passage(part, self._masker))
        self._wait(one, Piece(event, holder, name, one.passage.length, text))
        one.passage.feed(block, text)
        if self._text is TextRelease.AS_IT_COMES:
            one.deliver_decided()
        if more is not None:
            self._latest = Latest(event, one, block, holder, name, more, self._reader.varying)

    def end_text(self, key: tuple[Hashable, ...]) -> Iterator[TextItem]:
        """The passage ``key`` is complete; yields it when there was any text."""
        one = self._open.pop(key, None)
        if one is None:
            return
        if self._latest is not None and self._latest.text is one:
            self._end_run()
        passage = one.passage
        passage.finish()
        item = TextItem(passage.part, passage.masked, passage.kinds)
        if item.text:
            yield item
        replacement = item.replacement
        if replacement is None:
            one.deliver_decided()
            self._said |= {(block, text): passage.edited(start, text) for block, start, text in passage.blocks()}
            return
        if one.delivered:
            raise WireError("a text was replaced after it had been delivered")
        self._said |= {
            (block, text): "" if place else replacement for place, (block, _, text) in enumerate(passage.blocks())
        }
        first = next(piece for piece in one.waiting if piece.text and not piece.repeated)
        for piece in one.waiting:
            piece.settle(replacement if piece is first or (piece.repeated and not piece.start) else "")

    def end_texts_of(self, owner: Hashable) -> Iterator[TextItem]:
        """All open passages whose key begins with ``owner`` are complete."""
        for key in [key for key in self._open if key[0] == owner]:
            yield from self.end_text(key)

    def end_texts(self) -> Iterator[TextItem]:
        """All open passages are complete."""
        for key in list(self._open):
            yield from self.end_text(key)

    def snapshot(
        self, block: Hashable, part: str, event: HeldEvent, holder: dict[str, Json], name: str
    ) -> Iterator[TextItem]:
        """``holder[name]`` is all of ``block``: what was said before keeps its decision; only a new text is yielded."""
        text = holder.get(name)
        if not isinstance(text, str) or not text:
            return
        for one in self._open.values():
            for known, start, said in one.passage.blocks() if one.passage.has(block) else []:
                if known == block and said == text:
                    self._wait(one, Piece(event, holder, name, start, text, repeated=True))
                    if self._text is TextRelease.AS_IT_COMES:
                        one.deliver_decided()
                    return
        delivered = self._said.get((block, text))
        if delivered is None:
            masked = masked_text(text, self._masker)
            item = TextItem(part, masked.text, masked.kinds)
            yield item
            delivered = masked.text if item.replacement is None else item.replacement
            self._said[block, text] = delivered
        event.put(holder, name, delivered)

    def hold(self, event: HeldEvent, call: Hashable) -> None:
        """``event`` belongs to the tool call ``call`` and waits for it."""
        if call not in event.calls:
            event.calls.add(call)
            event.held_by += 1

    def free(self, call: Hashable) -> list[HeldEvent]:
        """``call`` was settled: returns its events, which wait for it no longer."""
        events = [event for event in self._queue if call in event.calls]
        for event in events:
            event.calls.discard(call)
            event.held_by -= 1
        return events

    def settle(self, key: Hashable, item: CallItem, finish: Callable[[], None]) -> Iterator[Item]:
        """Hand out the complete call ``key``; once it is settled, ``finish`` puts what became of it into the stream."""
        yield item
        self._undecided.append(UndecidedCall(key, item, finish))
        self._finish_decided()

    def settle_all(self) -> Iterator[Item]:
        """What follows depends on every call: all must be settled."""
        if self._undecided:
            yield SETTLE_ALL
            for one in self._undecided:
                self._finish(one)
            self._undecided.clear()

    def abandon_undecided(self) -> None:
        """The answer is broken off: calls that are not settled never leave."""
        for one in self._undecided:
            self.drop(self.free(one.key))
        self._undecided.clear()

    def insert(self, place: HeldEvent, data: list[dict[str, Json]]) -> None:
        """Put events with ``data`` into the queue before ``place``.

        Where the events of the API have names, an event's name is the ``type`` of its data.
        """
        index = self._queue.index(place)
        for offset, one in enumerate(data):
            name = str(one["type"]) if place.name else ""
            self._queue.insert(index + offset, HeldEvent(b"", name, one, changed=True))

    def replace(self, events: list[HeldEvent], data: list[dict[str, Json]]) -> None:
        """Events with ``data`` stand where the first of ``events`` was; all of these go."""
        self.insert(events[0], data)
        self.drop(events)

    def drop(self, events: list[HeldEvent]) -> None:
        """``events`` never leave."""
        for event in events:
            event.dropped = True

    def urgent(self, event: HeldEvent) -> None:
        """``event`` is a sign of life and does not wait behind others."""
        self._ready.append(event.encoded())
        event.dropped = True

    def end(self, event: HeldEvent) -> None:
        """``event`` belongs to the end of the answer, which is kept back when no call is left to go on with."""
        if self.tally.stranded:
            self._withheld_end.append(event)
            self._queue.remove(event)
            self._held_bytes -= len(event.raw)

    def end_apart(self, event: HeldEvent, ending: dict[str, Json]) -> None:
        """The same for an event that has more to say: ``ending`` is the end that was taken out of it."""
        event.changed = True
        self._withheld_end.append(HeldEvent(b"", event.name, ending, changed=True))

    def let_end(self) -> None:
        """What was kept back of the end goes on its way after all."""
        for event in self._withheld_end:
            self._push(event)
        self._withheld_end.clear()

    # What follows is internal.

    def _finish_decided(self) -> None:
        self._end_run()
        decided = [one for one in self._undecided if one.item.settled]
        self._undecided = [one for one in self._undecided if not one.item.settled]
        for one in decided:
            self._finish(one)

    def _finish(self, one: UndecidedCall) -> None:
        self.tally.settle(one.item)
        one.finish()

    def _goes_on(self, raw: bytes) -> bool:
        """Whether the event ``raw`` is the latest one with another text; then that is taken in as what it is."""
        latest = self._latest
        if latest is None or (text := latest.text_of(raw, self._masker)) is None:
            return False
        one = latest.text
        start = one.passage.length
        one.passage.feed(latest.block, text)
        if not self._queue and one.passage.is_plain_from(start):
            one.delivered = one.passage.length
            latest.passed.append(text)
            latest.last = raw
            self._ready.append(raw)
            return True
        self._tell()
        event, holder = latest.event_of(raw)
        latest.more(text, event.data)
        self._push(event)
        self._wait(one, Piece(event, holder, latest.name, start, text))
        one.deliver_decided()
        self._release()
        return True

    def _tell(self) -> None:
        """Tell the reader of what passed."""
        latest = self._latest
        if latest is not None and latest.passed:
            event, _ = latest.event_of(latest.last)
            latest.more("".join(latest.passed), event.data)
            latest.passed.clear()
            self._reader.release(event, self)

    def _end_run(self) -> None:
        """What comes or happens next is something else."""
        self._tell()
        self._latest = None

    def _feed_event(self, event: ServerSentEvent) -> Iterator[Item]:
        is_end_mark = event.data == END_MARK
        data = parse(event.data) if event.data and not is_end_mark else {}
        if not isinstance(data, dict):
            raise WireError("an event of the stream is not a JSON object")
        held = HeldEvent(event.raw, event.name, data, is_end_mark)
        name = self._masker.mask(event.name)
        if name.kinds or self._masker.mask(event.other).kinds:
            held.name, held.changed = name.text, True
            held.dropped = not event.data
        self._push(held)
        if event.data:
            yield from self._reader.read(held, self)

    def _push(self, event: HeldEvent) -> None:
        self._queue.append(event)
        self._held_bytes += len(event.raw)
        if self._held_bytes > MOST_HELD:
            raise WireError("too much of the answer would have to be held")

    def _wait(self, one: OpenText, piece: Piece) -> None:
        one.waiting.append(piece)
        piece.event.held_by += 1

    def _release(self) -> None:
        while self._queue and (self._queue[0].dropped or not self._queue[0].held_by):
            event = self._queue.popleft()
            self._held_bytes -= len(event.raw)
            if event.dropped:
                continue
            self._reader.release(event, self)
            if event.rewritten:
                drop_logprobs(event.data)
            self._rest.mask(event)
            if self._latest is not None and event is self._latest.event:
                self._latest.has_left = not event.changed
            self._ready.append(event.encoded())
