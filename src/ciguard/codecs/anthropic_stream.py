"""The events of a streamed Anthropic message.

Source: https://docs.anthropic.com/en/api/messages-streaming.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Collection, Iterator
from functools import partial

from ciguard.codecs.answer import (
    CallItem,
    Item,
    call_from_json,
    list_of,
    masked_json,
    number_of,
    object_of,
    text_of,
    usage_tokens,
)
from ciguard.codecs.anthropic_block import (
    CUT_OFF,
    INPUT_TOKENS,
    LEFT_OUT,
    TEXT_KEYS,
    answers,
    call_of,
    is_call,
    is_result,
    side_of,
)
from ciguard.codecs.error import WireError
from ciguard.codecs.held_event import HeldEvent
from ciguard.codecs.hold import HoldingStream
from ciguard.codecs.sse import encode
from ciguard.codecs.unknown import LABELS, refuse_hidden_calls, said_in
from ciguard.inspect.masking import Masker
from ciguard.operation import Json


class AnthropicReader:
    """See :class:`ciguard.codecs.hold.Reader`.

    ``base`` is added to every block index, because a continuation counts its blocks from zero again. Neighbouring
    blocks of one text type are one *run*, named by its first block.
    """

    varying: Collection[str] = ()

    def __init__(self, masker: Masker, error: Callable[[str], bytes]) -> None:
        self._masker = masker
        self._error = error
        self._blocks: dict[int, dict[str, Json]] = {}
        self._open: set[int] = set()
        self._run = (-1, "")
        self._runs: dict[int, int] = {}
        self._arguments: dict[int, str] = {}
        self._odd: set[int] = set()
        self._without_arguments: int | None = None
        self._refused: set[str] = set()
        self._base = 0
        self._resumed = False
        self._output = 0
        self._output_before = 0

    def read(self, event: HeldEvent, stream: HoldingStream) -> Iterator[Item]:
        data = event.data
        match data.get("type"):
            case "message_start":
                message = object_of(data.get("message"))
                if message.get("content"):
                    raise WireError("a message starts with content")
                stream.tally.input_tokens += usage_tokens(object_of(message.get("usage")), *INPUT_TOKENS)
                event.dropped = self._resumed
            case "content_block_start":
                yield from self._start(event, stream)
            case "content_block_delta":
                self._delta(event, stream)
            case "content_block_stop":
                yield from self._stop(event, stream)
            case "message_delta":
                stop_reason = object_of(data.get("delta")).get("stop_reason")
                yield from self._settle_waiting(stream, CUT_OFF if stop_reason == "max_tokens" else "")
                if self._arguments:
                    raise WireError("a message ends within a tool call")
                yield from stream.end_texts()
                yield from stream.settle_all()
                tokens = usage_tokens(object_of(data.get("usage")), "output_tokens")
                self._output = stream.tally.output_tokens = self._output_before + tokens
                stream.end(event)
            case "message_stop":
                yield from self._settle_waiting(stream, "")
                if self._arguments:
                    raise WireError("a message ends within a tool call")
                yield from stream.end_texts()
                yield from stream.settle_all()
                stream.ended = True
                stream.end(event)
            case "ping" if len(data) == 1:
                stream.urgent(event)
            case "error":
                yield from stream.end_texts()
                for index in [*self._arguments, self._without_arguments]:
                    stream.drop(stream.free(index))
                stream.abandon_undecided()
                stream.ended = True
            case _:
                refuse_hidden_calls(data)
                type_ = text_of(data.get("type"))
                for path, holder, key in said_in(data):
                    stream.text((type_, path), path, key, event, holder, key)

    def _start(self, event: HeldEvent, stream: HoldingStream) -> Iterator[Item]:
        yield from self._settle_waiting(stream, "")
        index = _index(event.data)
        block = event.data.get("content_block")
        if not isinstance(block, dict) or index in self._blocks:
            raise WireError("a content block does not start as one")
        if is_result(block):
            yield from stream.settle_all()
        type_ = text_of(block.get("type"))
        if self._open or self._run[1] != type_ or type_ not in TEXT_KEYS:
            if not self._open:
                yield from stream.end_texts_of(self._run[0])
            self._run = (index, type_)
        self._runs[index] = self._run[0]
        self._open.add(index)
        self._blocks[index] = copy.deepcopy(block)
        if is_call(block):
            self._arguments[index] = ""
            stream.hold(event, index)
        elif answers(block, self._refused):
            stream.hold(event, index)
        else:
            for path, holder, key in list(said_in(block)):
                if holder is block:
                    stream.text((self._runs[index], path), (index, path), key, event, holder, key)
                else:
                    yield from stream.snapshot((index, path), key, event, holder, key)

    def _delta(self, event: HeldEvent, stream: HoldingStream) -> None:
        index = _index(event.data)
        delta = event.data.get("delta")
        if index not in self._open or not isinstance(delta, dict):
            raise WireError("a content block goes on that did not start")
        block = self._blocks[index]
        if index in self._arguments:
            piece = delta.get("partial_json")
            if isinstance(piece, str) and delta.keys() == {"type", "partial_json"}:
                self._arguments[index] += piece
            else:
                self._odd.add(index)
            stream.hold(event, index)
            return
        if answers(block, self._refused):
            stream.hold(event, index)
            return
        refuse_hidden_calls(delta)
        for key, value in delta.items():
            if key == "citation":
                block["citations"] = [*list_of(block.get("citations")), copy.deepcopy(value)]
            elif key == "type":
                continue
            elif isinstance(value, str):
                _say(block, key, value)
                if key not in LABELS:
                    more = partial(_say_more, block, key) if delta.keys() == {"type", key} else None
                    stream.text((self._runs[index], (key,)), (index, (key,)), key, event, delta, key, more)
            elif key not in LABELS:
                block[key] = copy.deepcopy(value)
                for path, holder, name in list(said_in(value)):
                    place = (key, *path)
                    stream.text((self._runs[index], place), (index, place), name, event, holder, name)

    def _stop(self, event: HeldEvent, stream: HoldingStream) -> Iterator[Item]:
        index = _index(event.data)
        if index not in self._open:
            raise WireError("a content block stops that did not start")
        self._open.discard(index)
        block = self._blocks[index]
        if index in self._arguments:
            stream.hold(event, index)
            if self._arguments[index] or block.get("input"):
                yield from self._settle(index, stream, "")
            else:
                self._without_arguments = index
        elif answers(block, self._refused):
            stream.hold(event, index)
            stream.replace(stream.free(index), _text_events(index, LEFT_OUT))

    def _settle_waiting(self, stream: HoldingStream, problem: str) -> Iterator[Item]:
        """Settle a call that came without arguments: only what follows tells whether it was cut off before them."""
        if self._without_arguments is not None:
            index, self._without_arguments = self._without_arguments, None
            yield from self._settle(index, stream, problem)

    def _settle(self, index: int, stream: HoldingStream, problem: str) -> Iterator[Item]:
        block = self._blocks[index]
        arguments = self._arguments.pop(index)
        item = call_of(block, self._masker)
        if arguments:
            came_whole = bool(block.get("input"))
            labels = text_of(block.get("id")), text_of(block.get("name"))
            item = call_from_json(*labels, arguments, self._masker, side_of(block))
            if not item.name:
                problem = "it has no name"
            elif came_whole:
                problem = "its arguments came twice"
            elif isinstance(item.original, dict):
                block["input"] = copy.deepcopy(item.original)
            else:
                problem = "its arguments are not a JSON object"
        if index in self._odd:
            problem = "a part of it came in a form that is not known"
        item.problem = item.problem or problem
        yield from stream.settle(index, item, lambda: self._finish(index, item, arguments, stream))

    def _finish(self, index: int, item: CallItem, arguments: str, stream: HoldingStream) -> None:
        events = stream.free(index)
        if item.note:
            self._refused.add(text_of(self._blocks[index].get("id")))
            stream.replace(events, _text_events(index, item.note))
        elif item.kinds:
            _put_input(events, masked_json(arguments, item) if arguments else "", item)
        else:
            _leave_arguments(events)

    def release(self, event: HeldEvent, stream: HoldingStream) -> None:
        data = event.data
        if self._base and text_of(data.get("type")).startswith("content_block"):
            data["index"] = self._base + number_of(data["index"])
            event.changed = True
        if data.get("type") == "message_delta":
            delta = object_of(data.get("delta"))
            if stream.tally.stranded and delta.get("stop_reason") == "tool_use":
                delta["stop_reason"] = "end_turn"
                event.changed = True
            if self._output_before:
                object_of(data.get("usage"))["output_tokens"] = stream.tally.output_tokens
                event.changed = True

    def message(self) -> Json:
        return {"content": [self._blocks[index] for index in sorted(self._blocks)]}

    def resume(self) -> None:
        self._base += max(self._blocks, default=-1) + 1
        self._blocks.clear()
        self._runs.clear()
        self._run = (-1, "")
        self._open.clear()
        self._odd.clear()
        self._resumed = True
        self._output_before = self._output

    def error(self, message: str) -> bytes:
        return self._error(message)

    def sign_of_life(self) -> bytes:
        return encode("ping", '{"type": "ping"}')


def _say(block: dict[str, Json], key: str, text: str) -> None:
    block[key] = text_of(block.get(key)) + text


def _say_more(block: dict[str, Json], key: str, text: str, _: dict[str, Json]) -> None:
    _say(block, key, text)


def _index(data: dict[str, Json]) -> int:
    index = data.get("index")
    if not isinstance(index, int) or isinstance(index, bool):
        raise WireError("a content block has no index")
    return index


def _text_events(index: int, text: str) -> list[dict[str, Json]]:
    return [
        {"type": "content_block_start", "index": index, "content_block": {"type": "text", "text": ""}},
        {"type": "content_block_delta", "index": index, "delta": {"type": "text_delta", "text": text}},
        {"type": "content_block_stop", "index": index},
    ]


def _leave_arguments(events: list[HeldEvent]) -> None:
    """The arguments of an allowed call go as they came."""
    for event in events:
        delta = object_of(event.data.get("delta"))
        if isinstance(piece := delta.get("partial_json"), str):
            event.put(delta, "partial_json", piece)


def _put_input(events: list[HeldEvent], arguments: str, item: CallItem) -> None:
    """Deliver the masked input of an allowed call where it came: in the first delta, or in the start of its block."""
    rest = arguments
    for event in events:
        delta = object_of(event.data.get("delta"))
        if isinstance(delta.get("partial_json"), str):
            event.put(delta, "partial_json", rest)
            rest = ""
        elif not arguments and isinstance(block := event.data.get("content_block"), dict):
            block["input"] = item.input
            event.changed = True
