"""The events of a streamed OpenAI response.

Source: https://platform.openai.com/docs/api-reference/responses-streaming.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Collection, Hashable, Iterator
from dataclasses import dataclass, field

from ciguard.codecs.answer import CallItem, Item, Side, list_of, number_of, object_of, settled, text_of, usage_tokens
from ciguard.codecs.document import dump
from ciguard.codecs.error import WireError
from ciguard.codecs.held_event import HeldEvent
from ciguard.codecs.hold import HoldingStream
from ciguard.codecs.openai_responses_item import (
    TEXT_TYPES,
    UNANSWERABLE,
    Place,
    call_of,
    given,
    is_call,
    item_id,
    joined_usage,
    note_item,
    part_of,
    put_input,
    texts_of,
    written,
)
from ciguard.codecs.sse import encode
from ciguard.codecs.unknown import LABELS, refuse_hidden_calls, said_in
from ciguard.inspect.masking import Masker
from ciguard.operation import Json, strings

INPUT_EVENTS = ("arguments", "input")
"""How the types end, before ``.delta``, of events that bring the input of a call as a text."""


@dataclass(slots=True)
class OpenCall:
    """A call that is being streamed: its item as it began, the pieces of its input, and what events say of it."""

    begun: dict[str, Json]
    streamed: dict[Hashable, str] = field(default_factory=dict)
    stated: list[str] = field(default_factory=list)


class ResponsesReader:
    """See :class:`ciguard.codecs.hold.Reader`.

    ``base`` is added to every output index, because a continuation counts its items from zero again. Once an event was
    put in or left out, the events are numbered anew. Neighbouring items of one text type are one *run*.
    """

    varying: Collection[str] = ("sequence_number", "obfuscation")

    def __init__(self, masker: Masker, plain_error: Callable[[str], bytes]) -> None:
        self._masker = masker
        self._plain_error = plain_error
        self._types: dict[int, str] = {}
        self._open: set[int] = set()
        self._run = (-1, "")
        self._runs: dict[int, int] = {}
        self._calls: dict[int, OpenCall] = {}
        self._settled: dict[str, CallItem] = {}
        self._indexes: dict[str, int] = {}
        self._done: dict[int, dict[str, Json]] = {}
        self._message: dict[str, Json] = {}
        self._output: list[Json] = []
        self._released: list[Json] = []
        self._base = 0
        self._before: list[Json] | None = None
        self._usage_before: Json = None
        self._created: dict[str, Json] = {}
        self._sequence = -1
        self._renumber = False

    def read(self, event: HeldEvent, stream: HoldingStream) -> Iterator[Item]:
        data = event.data
        type_ = text_of(data.get("type"))
        match type_:
            case "response.created" | "response.in_progress" | "response.queued":
                if object_of(data.get("response")).get("output"):
                    raise WireError("a response starts with output")
                event.dropped = self._before is not None
            case "response.completed" | "response.incomplete" | "response.failed":
                yield from self._end(event, stream)
            case "error":
                yield from stream.end_texts()
                self._abandon_calls(stream)
                stream.abandon_undecided()
                stream.ended = True
            case "response.output_item.added":
                yield from self._added(event, stream)
            case "response.output_item.done":
                yield from self._item_done(event, stream)
            case _ if "output_index" in data:
                index = number_of(data["output_index"])
                if index not in self._open:
                    raise WireError("an output item goes on that did not start")
                if index in self._calls:
                    self._call_event(self._calls[index], type_, event)
                    stream.hold(event, index)
                else:
                    yield from self._text_event(index, type_, event, stream)
            case _:
                refuse_hidden_calls(data)
                for path, holder, key in said_in(data):
                    stream.text((type_, path), (type_, path), part_of(type_, key), event, holder, key)

    def _added(self, event: HeldEvent, stream: HoldingStream) -> Iterator[Item]:
        index = number_of(event.data.get("output_index"))
        entry = event.data.get("item")
        if not isinstance(entry, dict) or index in self._types:
            raise WireError("an output item does not start as one")
        type_ = text_of(entry.get("type"))
        if self._open or type_ != self._run[1] or type_ not in TEXT_TYPES:
            if not self._open:
                yield from stream.end_texts_of(self._run[0])
            self._run = (index, type_)
        self._runs[index] = self._run[0]
        self._types[index] = type_
        self._open.add(index)
        if is_call(entry):
            self._calls[index] = OpenCall(copy.deepcopy(entry))
            stream.hold(event, index)
        else:
            yield from self._snapshot(index, entry, event, stream)

    def _call_event(self, call: OpenCall, type_: str, event: HeldEvent) -> None:
        data = event.data
        if not type_.endswith(".delta"):
            call.stated += [
                value for key, value in data.items() if isinstance(value, str) and value and key not in LABELS
            ]
        elif isinstance(delta := data.get("delta"), str):
            key = (type_, *(data.get(name) for name in ("command_index", "content_index")))
            place = tuple(one if isinstance(one, str | int) else None for one in key)
            call.streamed[place] = call.streamed.get(place, "") + delta
        else:
            raise WireError("a piece of a tool call is not a text")

    def _text_event(self, index: int, type_: str, event: HeldEvent, stream: HoldingStream) -> Iterator[Item]:
        data = event.data
        refuse_hidden_calls(data)
        prefix, _, last = type_.rpartition(".")
        if isinstance(part := data.get("part"), dict) and last in ("added", "done"):
            place = _place(data, prefix)
            for key in ("text", "refusal"):
                if isinstance(part.get(key), str):
                    kind = part_of(self._types[index], key)
                    if last == "added":
                        stream.text((self._runs[index], place[0], kind), (index, place), kind, event, part, key)
                    else:
                        yield from stream.snapshot((index, place), kind, event, part, key)
        elif last == "delta":
            place = _place(data, prefix)
            kind = part_of(prefix, "")
            if isinstance(data.get("delta"), str):
                more = None if self._renumber else _no_more
                stream.text((self._runs[index], place[0], kind), (index, place), kind, event, data, "delta", more)
            else:
                for path, holder, key in list(said_in(data.get("delta"))):
                    at = (self._runs[index], index, place, *path)
                    stream.text(at, at, key, event, holder, key)
        elif last == "done":
            place = _place(data, prefix)
            for key in [key for key, value in data.items() if isinstance(value, str) and key not in LABELS]:
                yield from stream.snapshot((index, place), part_of(prefix, key), event, data, key)

    def _item_done(self, event: HeldEvent, stream: HoldingStream) -> Iterator[Item]:
        index = number_of(event.data.get("output_index"))
        entry = event.data.get("item")
        if not isinstance(entry, dict) or index in self._done:
            raise WireError("an output item does not end as one")
        if index not in self._types:
            yield from stream.end_texts_of(self._run[0])
            self._types[index], self._run = text_of(entry.get("type")), (index, "")
            self._runs[index] = index
        elif (index in self._calls) is not is_call(entry):
            raise WireError("an output item changed into something else")
        self._open.discard(index)
        self._done[index] = copy.deepcopy(entry)
        if index in self._calls or is_call(entry):
            stream.hold(event, index)
            yield from self._settle(index, entry, stream)
        else:
            yield from self._snapshot(index, entry, event, stream)

    def _settle(self, index: int, entry: dict[str, Json], stream: HoldingStream) -> Iterator[Item]:
        item = call_of(entry, self._masker)
        if call := self._calls.pop(index, None):
            item.problem = item.problem or _contradiction(call, entry, item)
        self._settled[item_id(entry)] = item
        self._indexes[item_id(entry)] = index
        yield from stream.settle(index, item, lambda: self._finish(index, entry, item, stream))

    def _finish(self, index: int, entry: dict[str, Json], item: CallItem, stream: HoldingStream) -> None:
        events = stream.free(index)
        if item.note:
            self._renumber = True
            stream.tally.resumable = stream.tally.resumable and self._types[index] not in UNANSWERABLE
            if events:
                stream.replace(events, _note_events(index, note_item(entry, item.note, index)))
        elif item.kinds:
            self._deliver_masked(events, item, stream)
        else:
            for one in events:
                _keep(one)

    def _deliver_masked(self, events: list[HeldEvent], item: CallItem, stream: HoldingStream) -> None:
        """Deliver the masked input of an allowed call: in the first delta if it is a text, else only in its item."""
        rest = written(item)
        for event in events:
            data = event.data
            if isinstance(entry := data.get("item"), dict):
                if given(entry) != "":
                    put_input(entry, item)
                    event.changed = True
            elif given(object_of(events[-1].data.get("item"))) is None:
                self._renumber = True
                stream.drop([event])
            elif isinstance(data.get("delta"), str):
                event.put(data, "delta", rest)
                rest = ""
            else:
                for key in INPUT_EVENTS:
                    if isinstance(data.get(key), str):
                        event.put(data, key, written(item))

    def _snapshot(self, index: int, entry: dict[str, Json], event: HeldEvent, stream: HoldingStream) -> Iterator[Item]:
        for place, part, holder, key in texts_of(entry):
            yield from stream.snapshot((index, place), part, event, holder, key)

    def _end(self, event: HeldEvent, stream: HoldingStream) -> Iterator[Item]:
        response = object_of(event.data.get("response"))
        output = list_of(response.get("output"))
        self._message = copy.deepcopy(response)
        if not output:
            self._message["output"] = [self._done[index] for index in sorted(self._done)]
        usage = object_of(response.get("usage"))
        stream.tally.input_tokens += usage_tokens(usage, "input_tokens")
        stream.tally.output_tokens += usage_tokens(usage, "output_tokens")
        known = {item_id(call.begun): index for index, call in self._calls.items()}
        for entry in output:
            if isinstance(entry, dict) and (index := known.get(item_id(entry))) is not None and is_call(entry):
                yield from self._settle(index, copy.deepcopy({**entry, "status": "incomplete"}), stream)
        self._abandon_calls(stream)
        yield from stream.end_texts()
        yield from stream.settle_all()
        for place, entry in enumerate(output):
            if not isinstance(entry, dict):
                raise WireError("an item of the output is not an object")
            if is_call(entry):
                yield from self._settle_again(place, entry, output, event, stream)
            else:
                index = self._index(place, entry)
                yield from self._snapshot(index, entry, event, stream)
        self._output = copy.deepcopy(output)
        stream.ended = True
        if event.data.get("type") != "response.failed":
            stream.end(event)

    def _settle_again(
        self, place: int, entry: dict[str, Json], output: list[Json], event: HeldEvent, stream: HoldingStream
    ) -> Iterator[Item]:
        """A call stands in the whole response: as it was settled before, or else it is another one."""
        item = self._settled.get(item_id(entry))
        same = item is not None and item.original == call_of(entry, self._masker).original
        if item is None or (not same and not item.problem):
            item = call_of(entry, self._masker)
            yield from settled(item, stream.tally)
        if item.note:
            output[place] = note_item(entry, item.note, self._indexes.get(item_id(entry), place))
            event.changed = True
        elif item.kinds:
            put_input(entry, item)
            event.changed = True

    def _index(self, place: int, entry: dict[str, Json]) -> int:
        """The output index of an item of the whole response."""
        id_ = entry.get("id")
        return next((index for index, one in self._done.items() if id_ and one.get("id") == id_), place)

    def _abandon_calls(self, stream: HoldingStream) -> None:
        """Calls that never became complete never leave."""
        for index in self._calls:
            self._renumber = True
            stream.drop(stream.free(index))
        self._calls.clear()

    def release(self, event: HeldEvent, stream: HoldingStream) -> None:
        data = event.data
        if self._base and "output_index" in data:
            data["output_index"] = self._base + number_of(data["output_index"])
            event.changed = True
        if data.get("type") == "response.output_item.done":
            self._released.append(data.get("item"))
        if isinstance(response := data.get("response"), dict):
            self._release_response(response, event)
        if "sequence_number" in data or not event.raw:
            number = self._sequence + 1 if self._renumber else number_of(data.get("sequence_number"))
            if data.get("sequence_number") != number:
                data["sequence_number"] = number
                event.changed = True
            self._sequence = number

    def _release_response(self, response: dict[str, Json], event: HeldEvent) -> None:
        if not self._created:
            self._created = response
        if self._before is None:
            return
        response["id"] = self._created.get("id")
        response["output"] = [*self._before, *(list_of(response.get("output")) or self._released)]
        response["usage"] = joined_usage(self._usage_before, response.get("usage"))
        event.changed = True

    def message(self) -> Json:
        return self._message

    def resume(self) -> None:
        self._before = [*(self._before or []), *(self._output or self._released)]
        self._base += max(len(self._output), max(self._types, default=-1) + 1)
        self._usage_before = joined_usage(self._usage_before, self._message.get("usage"))
        self._renumber = True
        self._run = (-1, "")
        self._released = []
        for forgotten in (self._types, self._runs, self._calls, self._settled, self._indexes, self._done):
            forgotten.clear()
        self._open.clear()

    def error(self, message: str) -> bytes:
        """The answer ends as a failed one, under its own id: clients check it."""
        if not self._created:
            return self._plain_error(message)
        failed: Json = {"code": "server_error", "message": message}
        response: Json = {**self._created, "status": "failed", "error": failed, "output": []}
        data: Json = {"type": "response.failed", "sequence_number": self._sequence + 1, "response": response}
        return encode("response.failed", dump(data).decode())

    def sign_of_life(self) -> bytes:
        """Comments do not keep Codex waiting, and clients let no event of a response come before its creation."""
        if not self._created:
            return encode("keepalive", '{"type":"keepalive"}')
        self._renumber = True
        self._sequence += 1
        data: Json = {"type": "response.in_progress", "sequence_number": self._sequence, "response": self._created}
        return encode("response.in_progress", dump(data).decode())


def _no_more(_: str, __: dict[str, Json]) -> None:
    """What a text is, is said once more when it is complete; nothing is remembered of its pieces."""


def _place(data: dict[str, Json], prefix: str) -> Place:
    """Where the text is that an event brings a piece of."""
    for section in ("summary", "content"):
        if isinstance(number := data.get(f"{section}_index"), int):
            return section, number
    return prefix, None


def _contradiction(call: OpenCall, entry: dict[str, Json], item: CallItem) -> str:
    """What is wrong when the events of a call do not say what its item says; an agent may believe either."""
    for key in ("type", "name", "call_id", "id"):
        if call.begun.get(key) != entry.get(key):
            return f"its {key} changed on the way"
    text = given(entry)
    if item.side is Side.SERVICE and text is None:
        return ""
    allowed = set(strings(item.original)) if text is None else {text}
    early = given(call.begun)
    if early and (early != text or any(call.streamed.values())):
        return "its input came twice"
    said = [*call.streamed.values(), *call.stated]
    if any(one and one not in allowed for one in said):
        return "what was streamed of it differs from what it is"
    return ""


def _keep(event: HeldEvent) -> None:
    """The input in ``event`` goes as it came: nothing in it was masked as a whole."""
    for key in ("delta", *INPUT_EVENTS):
        if isinstance(value := event.data.get(key), str):
            event.put(event.data, key, value)


def _note_events(index: int, message: dict[str, Json]) -> list[dict[str, Json]]:
    part = object_of(list_of(message["content"])[0])
    empty: Json = {**part, "text": ""}
    at: dict[str, Json] = {"output_index": index, "item_id": message["id"], "content_index": 0}
    begun: Json = {**message, "status": "in_progress", "content": []}
    return [
        {"type": "response.output_item.added", "output_index": index, "item": begun},
        {"type": "response.content_part.added", **at, "part": empty},
        {"type": "response.output_text.delta", **at, "delta": part["text"], "logprobs": []},
        {"type": "response.output_text.done", **at, "text": part["text"], "logprobs": []},
        {"type": "response.content_part.done", **at, "part": part},
        {"type": "response.output_item.done", "output_index": index, "item": message},
    ]
