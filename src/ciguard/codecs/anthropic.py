"""The Anthropic Messages API.

Source: https://docs.anthropic.com/en/api/messages and https://docs.anthropic.com/en/api/messages-streaming.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from ciguard.codecs.answer import (
    CallItem,
    Item,
    Side,
    Tally,
    call_from_json,
    call_from_value,
    list_of,
    mask_message,
    mask_text,
    masked_json,
    number_of,
    object_of,
    text_of,
    texts_in,
    usage_tokens,
)
from ciguard.codecs.codec import Endpoint, Purpose, Saying, SayingKind, TextRelease
from ciguard.codecs.document import Document, Part, dump
from ciguard.codecs.error import WireError
from ciguard.codecs.hold import HeldEvent, HoldingStream
from ciguard.codecs.sse import encode
from ciguard.inspect.masking import Masker
from ciguard.operation import Json

INPUT_TOKENS = ("input_tokens", "cache_creation_input_tokens", "cache_read_input_tokens")
ERROR_TYPES = {
    400: "invalid_request_error",
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    405: "invalid_request_error",
    413: "request_too_large",
    429: "rate_limit_error",
}


class Anthropic:
    """See :class:`ciguard.codecs.codec.Codec`."""

    listed = "messages"
    endpoints = (
        Endpoint("POST", re.compile(r"/v1/messages"), Purpose.GENERATE, frozenset({"beta"})),
        Endpoint("POST", re.compile(r"/v1/messages/count_tokens"), Purpose.MEASURE, frozenset({"beta"})),
        Endpoint("GET", re.compile(r"/v1/models"), Purpose.LIST, frozenset({"limit", "before_id", "after_id", "beta"})),
        Endpoint("GET", re.compile(r"/v1/models/(?P<model>[A-Za-z0-9._:-]+)"), Purpose.LIST, frozenset({"beta"})),
        Endpoint("HEAD", re.compile(r"/?"), Purpose.PING),
    )

    def wants_stream(self, document: Document) -> bool:
        """See :meth:`ciguard.codecs.codec.Codec.wants_stream`."""
        return document.value("stream") is True

    def sayings(self, label: str, value: Json) -> list[Saying]:
        """See :meth:`ciguard.codecs.codec.Codec.sayings`."""
        match label, value:
            case "messages", dict() as message:
                content = message.get("content")
                match message.get("role"):
                    case "assistant":
                        return [Saying(SayingKind.ASSISTANT, texts_in([_text_blocks(content)]))]
                    case "system":
                        return [Saying(SayingKind.INSTRUCTIONS, texts_in([content]))]
                return [_saying(block) for block in (content if isinstance(content, list) else [content])]
            case "messages", _:
                return [Saying(SayingKind.PROMPT, texts_in([value]))]
            case (("model" | "stream" | "metadata"), _):
                return []
            case _:
                return [Saying(SayingKind.INSTRUCTIONS, texts_in([value]))]

    def withhold(self, value: Json, id_: str, note: str) -> Json:
        """See :meth:`ciguard.codecs.codec.Codec.withhold`."""
        message = dict(object_of(value))
        message["content"] = [
            {**block, "content": note}
            if isinstance(block, dict) and block.get("tool_use_id") == id_ and _is_result(block)
            else block
            for block in list_of(message.get("content"))
        ]
        return message

    def items(self, message: dict[str, Json], masker: Masker, tally: Tally) -> Iterator[Item]:
        """See :meth:`ciguard.codecs.codec.Codec.items`."""
        usage = object_of(message.get("usage"))
        tally.input_tokens += usage_tokens(usage, *INPUT_TOKENS)
        tally.output_tokens += usage_tokens(usage, "output_tokens")
        blocks = list_of(message.get("content"))
        refused: set[str] = set()
        for place, block in enumerate(blocks):
            if not isinstance(block, dict):
                continue
            if is_call(block):
                item = call_from_value(
                    text_of(block.get("id")), text_of(block["name"]), block["input"], masker, _side(block)
                )
                yield item
                tally.settle(item)
                if item.note:
                    refused.add(item.id)
                    blocks[place] = {"type": "text", "text": item.note}
                else:
                    block["input"] = item.input
            elif _answers(block, refused):
                blocks[place] = {"type": "text", "text": "[ciguard] The result of the refused call was left out."}
            else:
                for key, part in TEXT_KEYS.items():
                    yield from mask_text(block, key, part, masker)
        mask_message(message, masker)
        if tally.stranded and message.get("stop_reason") == "tool_use":
            message["stop_reason"] = "end_turn"

    def stream(self, masker: Masker, text: TextRelease) -> HoldingStream:
        """See :meth:`ciguard.codecs.codec.Codec.stream`."""
        return HoldingStream(_Reader(masker), masker, text)

    def continuation(self, document: Document, message: Json, refused: Sequence[CallItem]) -> Document:
        """See :meth:`ciguard.codecs.codec.Codec.continuation`."""
        results: list[Json] = [
            {"type": "tool_result", "tool_use_id": item.id, "is_error": True, "content": item.note} for item in refused
        ]
        answer: Json = {"role": "assistant", "content": object_of(message).get("content")}
        told: Json = {"role": "user", "content": results}
        added = [Part("messages", dump(answer), item=True), Part("messages", dump(told), item=True)]
        return document.with_parts([*document.parts, *added])

    def join(self, first: dict[str, Json], second: dict[str, Json]) -> dict[str, Json]:
        """See :meth:`ciguard.codecs.codec.Codec.join`."""
        usage = {**object_of(second.get("usage"))}
        usage["output_tokens"] = sum(
            usage_tokens(object_of(one.get("usage")), "output_tokens") for one in (first, second)
        )
        content = [*list_of(first.get("content")), *list_of(second.get("content"))]
        return {**second, "id": first.get("id"), "content": content, "usage": usage}

    def credential_headers(self, credential: str) -> dict[str, str]:
        """See :meth:`ciguard.codecs.codec.Codec.credential_headers`; OAuth access tokens are bearer tokens."""
        if credential.startswith("sk-ant-oat"):
            return {"Authorization": f"Bearer {credential}"}
        return {"x-api-key": credential}

    def error(self, status: int, message: str) -> bytes:
        """See :meth:`ciguard.codecs.codec.Codec.error`."""
        return dump({"type": "error", "error": {"type": ERROR_TYPES.get(status, "api_error"), "message": message}})

    def stream_error(self, message: str) -> bytes:
        """See :meth:`ciguard.codecs.codec.Codec.stream_error`."""
        return encode("error", self.error(500, message).decode())


TEXT_KEYS = {"text": "text", "thinking": "thinking"}


def is_call(block: dict[str, Json]) -> bool:
    """Anything with a name and an input is a tool call, whatever its type is called."""
    return isinstance(block.get("name"), str) and "input" in block


def _side(block: dict[str, Json]) -> Side:
    return Side.AGENT if block.get("type") == "tool_use" else Side.SERVICE


def _is_result(block: dict[str, Json]) -> bool:
    return text_of(block.get("type")).endswith("tool_result")


def _answers(block: dict[str, Json], refused: set[str]) -> bool:
    return _is_result(block) and block.get("tool_use_id") in refused


def _saying(block: Json) -> Saying:
    if isinstance(block, dict) and _is_result(block):
        return Saying(SayingKind.TOOL_RESULT, texts_in([block.get("content")]), text_of(block.get("tool_use_id")))
    return Saying(SayingKind.PROMPT, texts_in([block]))


def _text_blocks(content: Json) -> Json:
    if isinstance(content, list):
        return [block for block in content if not (isinstance(block, dict) and is_call(block))]
    return content


class _Reader:
    """The events of a streamed message.

    ``base`` is added to every block index, because a continuation counts its blocks from zero again.
    """

    def __init__(self, masker: Masker) -> None:
        self._masker = masker
        self._blocks: dict[int, dict[str, Json]] = {}
        self._arguments: dict[int, str] = {}
        self._refused: set[str] = set()
        self._base = 0
        self._resumed = False
        self._output = 0
        self._output_before = 0

    def read(self, event: HeldEvent, stream: HoldingStream) -> Iterator[Item]:
        data = event.data
        match data.get("type"):
            case "message_start":
                usage = object_of(object_of(data.get("message")).get("usage"))
                stream.tally.input_tokens += usage_tokens(usage, *INPUT_TOKENS)
                event.dropped = self._resumed
            case "content_block_start":
                self._start(event, stream)
            case "content_block_delta":
                self._delta(event, stream)
            case "content_block_stop":
                yield from self._stop(event, stream)
            case "message_delta":
                yield from stream.end_texts()
                tokens = usage_tokens(object_of(data.get("usage")), "output_tokens")
                self._output = stream.tally.output_tokens = self._output_before + tokens
                stream.end(event)
            case "message_stop":
                stream.ended = True
                stream.end(event)
            case "ping" if len(data) == 1:
                stream.urgent(event)
            case _:
                return

    def _start(self, event: HeldEvent, stream: HoldingStream) -> None:
        index = _index(event.data)
        block = event.data.get("content_block")
        if not isinstance(block, dict) or index in self._blocks:
            raise WireError("a content block does not start as one")
        self._blocks[index] = dict(block)
        if is_call(block):
            self._arguments[index] = ""
            stream.hold(event, index)
        elif _answers(block, self._refused):
            event.dropped = True
        else:
            for key, part in TEXT_KEYS.items():
                if isinstance(block.get(key), str):
                    stream.text((index, key), part, event, block, key)

    def _delta(self, event: HeldEvent, stream: HoldingStream) -> None:
        index = _index(event.data)
        delta = event.data.get("delta")
        block = self._blocks.get(index)
        if block is None or not isinstance(delta, dict):
            raise WireError("a content block goes on that did not start")
        if index in self._arguments:
            self._arguments[index] += text_of(delta.get("partial_json"))
            stream.hold(event, index)
            return
        if _answers(block, self._refused):
            event.dropped = True
            return
        for key, value in delta.items():
            if key == "type":
                continue
            if key == "citation":
                block["citations"] = [*list_of(block.get("citations")), value]
            elif isinstance(value, str):
                block[key] = text_of(block.get(key)) + value
                if key != "signature":
                    stream.text((index, key), TEXT_KEYS.get(key, key), event, delta, key)

    def _stop(self, event: HeldEvent, stream: HoldingStream) -> Iterator[Item]:
        index = _index(event.data)
        block = self._blocks.get(index)
        if block is None:
            raise WireError("a content block stops that did not start")
        if index not in self._arguments:
            event.dropped = _answers(block, self._refused)
            for key in {*TEXT_KEYS, *block}:
                yield from stream.end_text((index, key))
            return
        stream.hold(event, index)
        arguments = self._arguments.pop(index)
        id_, name, side = text_of(block.get("id")), text_of(block["name"]), _side(block)
        if arguments:
            item = call_from_json(id_, name, arguments, self._masker, side)
        else:
            item = call_from_value(id_, name, block["input"], self._masker, side)
        if not item.problem:
            block["input"] = item.original
        yield item
        stream.tally.settle(item)
        events = stream.free(index)
        if item.note:
            self._refused.add(item.id)
            stream.replace(events, _note_events(index, item.note))
        else:
            _put_arguments(events, masked_json(arguments, item), item)

    def release(self, event: HeldEvent, stream: HoldingStream) -> None:
        data = event.data
        if self._base and "index" in data:
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
        self._arguments.clear()
        self._resumed = True
        self._output_before = self._output


def _index(data: dict[str, Json]) -> int:
    index = data.get("index")
    if not isinstance(index, int):
        raise WireError("a content block has no index")
    return index


def _note_events(index: int, note: str) -> list[dict[str, Json]]:
    return [
        {"type": "content_block_start", "index": index, "content_block": {"type": "text", "text": ""}},
        {"type": "content_block_delta", "index": index, "delta": {"type": "text_delta", "text": note}},
        {"type": "content_block_stop", "index": index},
    ]


def _put_arguments(events: list[HeldEvent], arguments: str, item: CallItem) -> None:
    """Deliver ``arguments`` in the events of an allowed call: as they came, or masked and whole in the first."""
    rest = arguments
    for event in events:
        delta = object_of(event.data.get("delta"))
        piece = delta.get("partial_json")
        if isinstance(piece, str):
            event.put(delta, "partial_json", rest if item.kinds else piece)
            rest = ""
