"""Holding the events of a streamed answer until everything in them is decided.

Theory of operation. Every event of the upstream waits in a queue. A *reader*, which knows one API, says which strings
of an event are pieces of a text (a *channel*) and which events belong to a tool call. Channels are masked as streams:
an event leaves when the masker has decided all the text in it. The events of a call leave when the call is complete and
allowed; a refused call's events are replaced by a text. All other strings of an event are masked on their own. An event
in which nothing changed leaves with the bytes that it came with, and order is kept.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Hashable, Iterator
from dataclasses import dataclass, field
from typing import Protocol

from ciguard.codecs.answer import Item, Tally, TextItem
from ciguard.codecs.codec import TextRelease
from ciguard.codecs.document import dump, parse
from ciguard.codecs.error import WireError
from ciguard.codecs.sse import EventParser, ServerSentEvent, encode
from ciguard.inspect.masking import Masker, MaskStream, Replacement, replaced
from ciguard.operation import Json

MOST_HELD = 32 * 1024 * 1024
"""Bytes of events that may wait; an answer that would make more wait is refused."""


@dataclass(slots=True, eq=False)
class HeldEvent:
    """An event in the queue.

    Whoever changes ``data`` sets ``changed``. ``held_by`` counts what the event waits for. ``decided`` names the
    strings (container, key) that were masked as part of something larger and must not be masked again on their own.
    """

    raw: bytes
    name: str
    data: dict[str, Json]
    changed: bool = False
    dropped: bool = False
    held_by: int = 0
    calls: set[Hashable] = field(default_factory=set)
    decided: set[tuple[int, str]] = field(default_factory=set)

    def put(self, holder: dict[str, Json], key: str, text: str) -> None:
        """Deliver the already masked ``text`` as ``holder[key]``."""
        if holder[key] != text:
            holder[key] = text
            self.changed = True
        self.decided.add((id(holder), key))


@dataclass(slots=True, eq=False)
class Piece:
    """The string ``holder[key]`` of ``event``, which begins at ``start`` in its channel's text."""

    event: HeldEvent
    holder: dict[str, Json]
    key: str
    start: int
    text: str
    edits: list[Replacement] = field(default_factory=list)

    @property
    def end(self) -> int:
        """Where the piece ends in its channel's text."""
        return self.start + len(self.text)

    def edited(self) -> str:
        """The text to deliver."""
        return replaced(self.text, self.edits) if self.edits else self.text

    def settle(self, text: str) -> None:
        """Deliver ``text``; the event no longer waits for this piece."""
        self.event.put(self.holder, self.key, text)
        self.event.held_by -= 1


@dataclass(slots=True, eq=False)
class Channel:
    """One text of the answer, cut into pieces over several events; ``pieces`` are those still waiting."""

    part: str
    stream: MaskStream
    length: int = 0
    pieces: deque[Piece] = field(default_factory=deque)
    delivered: list[str] = field(default_factory=list)
    kinds: list[str] = field(default_factory=list)

    def edit(self, replacements: list[Replacement]) -> None:
        """Apply ``replacements`` (offsets in the channel's text) to the pieces that they lie in."""
        for replacement in replacements:
            self.kinds.append(replacement.kind)
            for piece in self.pieces:
                start, end = max(replacement.start, piece.start), min(replacement.end, piece.end)
                if start < end:
                    placeholder = replacement.placeholder if start == replacement.start else ""
                    piece.edits.append(
                        Replacement(start - piece.start, end - piece.start, replacement.kind, placeholder)
                    )

    def deliver_decided(self) -> None:
        """Settle the pieces whose text the masker has decided."""
        while self.pieces and self.pieces[0].end <= self.stream.decided:
            piece = self.pieces.popleft()
            text = piece.edited()
            self.delivered.append(text)
            piece.settle(text)


class Reader(Protocol):
    """Knows the events of one API; calls back the :class:`HoldingStream` that it is given."""

    def read(self, event: HeldEvent, stream: HoldingStream) -> Iterator[Item]:
        """Classify an event as it comes; yields the items that it completes."""

    def release(self, event: HeldEvent, stream: HoldingStream) -> None:
        """Make the last changes to an event that is about to leave; called in the order of the stream."""

    def message(self) -> Json:
        """See :meth:`ciguard.codecs.codec.AnswerStream.message`."""

    def resume(self) -> None:
        """A further answer follows."""


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
        self._channels: dict[Hashable, Channel] = {}
        self._withheld_end: list[HeldEvent] = []
        self._ready = bytearray()
        self._plain: set[str] = set()
        self._said: dict[str, str | None] = {}

    def feed(self, chunk: bytes) -> Iterator[Item]:
        """See :meth:`ciguard.codecs.codec.AnswerStream.feed`."""
        for event in self._parser.feed(chunk):
            yield from self._feed_event(event)
            self._release()

    def take(self) -> bytes:
        """See :meth:`ciguard.codecs.codec.AnswerStream.take`."""
        ready = bytes(self._ready)
        self._ready.clear()
        return ready

    @property
    def stranded(self) -> bool:
        """See :meth:`ciguard.codecs.codec.AnswerStream.stranded`."""
        return bool(self._withheld_end)

    def message(self) -> Json:
        """See :meth:`ciguard.codecs.codec.AnswerStream.message`."""
        return self._reader.message()

    def unfinished(self) -> list[TextItem]:
        """See :meth:`ciguard.codecs.codec.AnswerStream.unfinished`."""
        return [
            TextItem(channel.part, "".join(channel.delivered), tuple(channel.kinds))
            for channel in self._channels.values()
            if channel.delivered
        ]

    def resume(self) -> None:
        """See :meth:`ciguard.codecs.codec.AnswerStream.resume`."""
        self._withheld_end.clear()
        self._channels.clear()
        self._parser = EventParser()
        self.ended = False
        self.tally = Tally(input_tokens=self.tally.input_tokens, output_tokens=self.tally.output_tokens)
        self._reader.resume()

    def close(self) -> None:
        """See :meth:`ciguard.codecs.codec.AnswerStream.close`."""
        for event in self._withheld_end:
            self._push(event)
        self._withheld_end.clear()
        self._release()

    # What follows is for readers.

    def text(self, key: Hashable, part: str, event: HeldEvent, holder: dict[str, Json], name: str) -> None:
        """``holder[name]``, a string of ``event``, is the next piece of the text that ``key`` identifies."""
        text = holder[name]
        if not isinstance(text, str):
            raise WireError("a text of the stream is not a string")
        channel = self._channels.get(key)
        if channel is None:
            channel = self._channels[key] = Channel(part, self._masker.stream())
        channel.pieces.append(Piece(event, holder, name, channel.length, text))
        channel.length += len(text)
        event.held_by += 1
        channel.edit(channel.stream.feed(text))
        if self._text is TextRelease.AS_IT_COMES:
            channel.deliver_decided()

    def end_text(self, key: Hashable) -> Iterator[TextItem]:
        """The text ``key`` is complete; yields it when there was any."""
        channel = self._channels.pop(key, None)
        if channel is None:
            return
        channel.edit(channel.stream.finish())
        waiting = [piece.edited() for piece in channel.pieces]
        item = TextItem(channel.part, "".join([*channel.delivered, *waiting]), tuple(channel.kinds))
        if item.text:
            yield item
            self._said[item.text] = item.replacement
        if item.replacement is not None:
            if channel.delivered:
                raise WireError("a text was replaced after it had been delivered")
            waiting = [item.replacement, *("" for _ in waiting[1:])]
        for piece, text in zip(channel.pieces, waiting, strict=True):
            piece.settle(text)

    def end_texts(self) -> Iterator[TextItem]:
        """All open texts are complete."""
        for key in list(self._channels):
            yield from self.end_text(key)

    def snapshot(self, texts: Iterator[TextItem]) -> Iterator[TextItem]:
        """``texts`` may repeat what was said before, which keeps its decision; yields only those that are new."""
        for item in texts:
            if item.text in self._said:
                item.replacement = self._said[item.text]
            else:
                yield item
                self._said[item.text] = item.replacement

    def hold(self, event: HeldEvent, call: Hashable) -> None:
        """``event`` belongs to the tool call ``call`` and waits for it."""
        event.calls.add(call)
        event.held_by += 1

    def free(self, call: Hashable) -> list[HeldEvent]:
        """``call`` was settled: returns its events, which wait for it no longer."""
        events = [event for event in self._queue if call in event.calls]
        for event in events:
            event.calls.discard(call)
            event.held_by -= 1
        return events

    def insert(self, before: HeldEvent, data: list[dict[str, Json]]) -> None:
        """Put events with ``data`` into the queue.

        Where the events of the API have names, an event's name is the ``type`` of its data.
        """
        place = self._queue.index(before)
        for offset, one in enumerate(data):
            name = str(one["type"]) if before.name else ""
            self._queue.insert(place + offset, HeldEvent(b"", name, one, changed=True))

    def replace(self, events: list[HeldEvent], data: list[dict[str, Json]]) -> None:
        """Events with ``data`` stand where the first of ``events`` was; all of these go."""
        self.insert(events[0], data)
        for event in events:
            event.dropped = True

    def urgent(self, event: HeldEvent) -> None:
        """``event`` is a sign of life and does not wait behind others."""
        self._ready += event.raw
        event.dropped = True

    def end(self, event: HeldEvent) -> None:
        """``event`` belongs to the end of the answer, which is kept back when no call is left to go on with."""
        if self.tally.stranded:
            self._withheld_end.append(event)
            self._queue.remove(event)

    def end_apart(self, event: HeldEvent, ending: dict[str, Json]) -> None:
        """The same for an event that has more to say: ``ending`` is the end that was taken out of it."""
        event.changed = True
        self._withheld_end.append(HeldEvent(b"", event.name, ending, changed=True))

    # What follows is internal.

    def _feed_event(self, event: ServerSentEvent) -> Iterator[Item]:
        raw = event.raw
        if event.other and self._masker.mask(event.other).kinds:
            raw = encode(event.name, event.data) if event.data else b""
        data = parse(event.data) if event.data and event.data != "[DONE]" else {}
        if not isinstance(data, dict):
            raise WireError("an event of the stream is not a JSON object")
        held = HeldEvent(raw, event.name, data)
        self._push(held)
        if event.data:
            yield from self._reader.read(held, self)

    def _push(self, event: HeldEvent) -> None:
        self._queue.append(event)
        self._held_bytes += len(event.raw)
        if self._held_bytes > MOST_HELD:
            raise WireError("too much of the answer would have to be held")

    def _release(self) -> None:
        while self._queue and (self._queue[0].dropped or not self._queue[0].held_by):
            event = self._queue.popleft()
            self._held_bytes -= len(event.raw)
            if event.dropped:
                continue
            self._reader.release(event, self)
            if event.dropped:
                continue
            self._mask_rest(event)
            self._ready += encode(event.name, dump(event.data).decode()) if event.changed else event.raw

    def _mask_rest(self, event: HeldEvent) -> None:
        """Mask the strings of ``event`` that were not decided as part of something larger."""
        pending: list[Json] = [event.data]
        while pending:
            match pending.pop():
                case dict() as pairs:
                    for key, value in list(pairs.items()):
                        if isinstance(value, dict | list):
                            pending.append(value)
                        elif isinstance(value, str) and (id(pairs), key) not in event.decided:
                            pairs[key] = self._mask_whole(value, event)
                        masked_key = self._mask_whole(key, event)
                        if masked_key != key:
                            pairs[masked_key] = pairs.pop(key)
                case list() as items:
                    for place, value in enumerate(items):
                        if isinstance(value, str):
                            items[place] = self._mask_whole(value, event)
                        elif isinstance(value, dict | list):
                            pending.append(value)
                case _:
                    continue

    def _mask_whole(self, text: str, event: HeldEvent) -> str:
        if text in self._plain:
            return text
        masked = self._masker.mask(text)
        replacement = self._said.get(masked.text)
        if replacement is not None:
            event.changed = True
            return replacement
        if masked.kinds:
            event.changed = True
        elif len(text) <= 64 and len(self._plain) < 4096:
            self._plain.add(text)
        return masked.text
