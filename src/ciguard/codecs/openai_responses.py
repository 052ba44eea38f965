"""The OpenAI Responses API.

Source: https://platform.openai.com/docs/api-reference/responses and its pages on streaming events.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from ciguard.codecs.answer import (
    CallItem,
    Item,
    Side,
    Tally,
    TextItem,
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
from ciguard.codecs.document import Document, Part, dump, parse
from ciguard.codecs.hold import HeldEvent, HoldingStream
from ciguard.codecs.openai_error import openai_error
from ciguard.codecs.sse import encode
from ciguard.inspect.masking import Masker
from ciguard.operation import Json

LIST_QUERY = frozenset({"limit", "after", "before", "order", "client_version"})

SERVICE_CALLS = frozenset(
    {"web_search_call", "file_search_call", "code_interpreter_call", "image_generation_call", "mcp_call"}
)
"""Calls that the service itself carries out while it answers."""

NOT_INPUT = frozenset({"id", "type", "status", "call_id", "name", "output", "outputs", "result", "results"})
"""Keys of a call without ``arguments`` or ``input`` that are not what it asks for."""


class OpenAIResponses:
    """See :class:`ciguard.codecs.codec.Codec`."""

    listed = "input"
    endpoints = (
        Endpoint("POST", re.compile(r"/v1/responses"), Purpose.GENERATE),
        Endpoint("POST", re.compile(r"/v1/responses/input_tokens"), Purpose.MEASURE),
        Endpoint("GET", re.compile(r"/v1/models"), Purpose.LIST, LIST_QUERY),
        Endpoint("GET", re.compile(r"/v1/models/(?P<model>[A-Za-z0-9._:-]+)"), Purpose.LIST, LIST_QUERY),
    )

    def wants_stream(self, document: Document) -> bool:
        """See :meth:`ciguard.codecs.codec.Codec.wants_stream`."""
        return document.value("stream") is True

    def sayings(self, label: str, value: Json) -> list[Saying]:
        """See :meth:`ciguard.codecs.codec.Codec.sayings`."""
        match label, value:
            case "input", dict() as item:
                role, type_ = item.get("role"), text_of(item.get("type"))
                if type_.endswith("_output"):
                    return [
                        Saying(SayingKind.TOOL_RESULT, texts_in([item.get("output")]), text_of(item.get("call_id")))
                    ]
                if is_call(item):
                    return []
                if role == "assistant" or type_ == "reasoning":
                    return [Saying(SayingKind.ASSISTANT, texts_in([item]))]
                if role in ("system", "developer"):
                    return [Saying(SayingKind.INSTRUCTIONS, texts_in([item]))]
                return [Saying(SayingKind.PROMPT, texts_in([item]))]
            case "input", _:
                return [Saying(SayingKind.PROMPT, texts_in([value]))]
            case (("model" | "stream" | "store" | "include" | "metadata" | "prompt_cache_key" | "client_metadata"), _):
                return []
            case _:
                return [Saying(SayingKind.INSTRUCTIONS, texts_in([value]))]

    def withhold(self, value: Json, id_: str, note: str) -> Json:
        """See :meth:`ciguard.codecs.codec.Codec.withhold`: an output item holds one result."""
        return {**object_of(value), "output": note}

    def items(self, message: dict[str, Json], masker: Masker, tally: Tally) -> Iterator[Item]:
        """See :meth:`ciguard.codecs.codec.Codec.items`."""
        _count(message, tally)
        output = list_of(message.get("output"))
        for place, entry in enumerate(output):
            if not isinstance(entry, dict):
                continue
            if is_call(entry):
                item = _call(entry, masker)
                yield item
                tally.settle(item)
                if item.note:
                    output[place] = _note_item(entry, item.note)
                else:
                    _put(entry, item)
            else:
                yield from _mask_texts(entry, masker)
        mask_message(message, masker)

    def stream(self, masker: Masker, text: TextRelease) -> HoldingStream:
        """See :meth:`ciguard.codecs.codec.Codec.stream`."""
        return HoldingStream(_Reader(masker), masker, text)

    def continuation(self, document: Document, message: Json, refused: Sequence[CallItem]) -> Document:
        """See :meth:`ciguard.codecs.codec.Codec.continuation`."""
        said = [
            entry
            for entry in list_of(object_of(message).get("output"))
            if object_of(entry).get("type") != "reasoning" or object_of(entry).get("encrypted_content")
        ]
        parts = [
            part
            if part.item or part.label != "input"
            else Part("input", dump({"role": "user", "content": parse(part.raw)}), item=True)
            for part in document.parts
        ]
        notes = {item.id: item.note for item in refused}
        told = [_output(entry, notes[_id(entry)]) for entry in said if isinstance(entry, dict) and _id(entry) in notes]
        return document.with_parts([*parts, *(Part("input", dump(one), item=True) for one in [*said, *told])])

    def join(self, first: dict[str, Json], second: dict[str, Json]) -> dict[str, Json]:
        """See :meth:`ciguard.codecs.codec.Codec.join`."""
        output = [*list_of(first.get("output")), *list_of(second.get("output"))]
        return {**second, "output": output, "usage": _joined_usage(first.get("usage"), second.get("usage"))}

    def credential_headers(self, credential: str) -> dict[str, str]:
        """See :meth:`ciguard.codecs.codec.Codec.credential_headers`."""
        return {"Authorization": f"Bearer {credential}"}

    def error(self, status: int, message: str) -> bytes:
        """See :meth:`ciguard.codecs.codec.Codec.error`."""
        return openai_error(status, message)

    def stream_error(self, message: str) -> bytes:
        """See :meth:`ciguard.codecs.codec.Codec.stream_error`: the answer ends as a failed one."""
        error: Json = {"code": "server_error", "message": message}
        failed: Json = {"id": "resp_ciguard", "object": "response", "status": "failed", "error": error, "output": []}
        return encode("response.failed", dump({"type": "response.failed", "response": failed}).decode())


def is_call(entry: dict[str, Json]) -> bool:
    """Whether an output item is a tool call: by its type's ending, or because it has a name and an input."""
    type_ = text_of(entry.get("type"))
    return (
        type_.endswith("_call")
        or type_ == "mcp_approval_request"
        or (isinstance(entry.get("name"), str) and ("arguments" in entry or "input" in entry))
    )


def _id(entry: Json) -> str:
    return text_of(object_of(entry).get("call_id")) or text_of(object_of(entry).get("id"))


def _call(entry: dict[str, Json], masker: Masker) -> CallItem:
    type_ = text_of(entry.get("type"))
    name = text_of(entry.get("name")) or type_
    side = Side.SERVICE if type_ in SERVICE_CALLS else Side.AGENT
    if isinstance(arguments := entry.get("arguments"), str):
        return call_from_json(_id(entry), name, arguments, masker, side)
    if "input" in entry:
        return call_from_value(_id(entry), name, entry["input"], masker, side)
    asked: Json = {key: value for key, value in entry.items() if key not in NOT_INPUT}
    return call_from_value(_id(entry), name, asked, masker, side)


def _put(entry: dict[str, Json], item: CallItem) -> None:
    """Put the masked input back where it came from."""
    if isinstance(arguments := entry.get("arguments"), str):
        entry["arguments"] = masked_json(arguments, item)
    elif "input" in entry:
        entry["input"] = item.input
    else:
        entry.update(object_of(item.input))


def _mask_texts(entry: dict[str, Json], masker: Masker) -> Iterator[TextItem]:
    for list_key, part in (("content", "text"), ("summary", "thinking")):
        for piece in list_of(entry.get(list_key)):
            if isinstance(piece, dict):
                yield from mask_text(piece, "text", "thinking" if entry.get("type") == "reasoning" else part, masker)
                yield from mask_text(piece, "refusal", "refusal", masker)


def _count(message: dict[str, Json], tally: Tally) -> None:
    usage = object_of(message.get("usage"))
    tally.input_tokens += usage_tokens(usage, "input_tokens")
    tally.output_tokens += usage_tokens(usage, "output_tokens")


def _joined_usage(first: Json, second: Json) -> Json:
    """The usage of two answers as one: the tokens made add up, those read are the second's."""
    made = number_of(object_of(first).get("output_tokens")) + number_of(object_of(second).get("output_tokens"))
    read = number_of(object_of(second).get("input_tokens"))
    return {**object_of(second), "output_tokens": made, "total_tokens": made + read} if second else second


def _note_item(entry: dict[str, Json], note: str) -> dict[str, Json]:
    content: Json = [{"type": "output_text", "text": note, "annotations": []}]
    id_ = f"msg_{(text_of(entry.get('id')) or _id(entry)).rpartition('_')[2]}"
    return {"id": id_, "type": "message", "role": "assistant", "status": "completed", "content": content}


def _output(entry: dict[str, Json], note: str) -> dict[str, Json]:
    """The item that answers a call with ``note``, in the form that the call's type wants."""
    id_ = _id(entry)
    match text_of(entry.get("type")):
        case "mcp_approval_request":
            return {"type": "mcp_approval_response", "approval_request_id": id_, "approve": False, "reason": note}
        case "shell_call":
            outcome: Json = {"stdout": "", "stderr": note, "outcome": {"type": "exit", "exit_code": 126}}
            return {"type": "shell_call_output", "call_id": id_, "output": [outcome]}
        case "apply_patch_call":
            return {"type": "apply_patch_call_output", "call_id": id_, "status": "failed", "output": note}
        case "local_shell_call":
            return {"type": "local_shell_call_output", "id": id_, "call_id": id_, "output": note}
        case type_:
            return {"type": f"{type_}_output", "call_id": id_, "output": note}


class _Reader:
    """The events of a streamed response.

    ``base`` is added to every output index, because a continuation counts its items from zero again. Once an event was
    put in or left out, the events are numbered anew.
    """

    def __init__(self, masker: Masker) -> None:
        self._masker = masker
        self._calls: dict[int, str] = {}
        self._texts: dict[int, list[tuple[object, ...]]] = {}
        self._settled: dict[int, CallItem] = {}
        self._message: dict[str, Json] = {}
        self._base = 0
        self._before: dict[str, Json] = {}
        self._output: list[Json] = []
        self._delivered: list[Json] = []
        self._sequence = -1
        self._renumber = False

    def read(self, event: HeldEvent, stream: HoldingStream) -> Iterator[Item]:
        data = event.data
        type_ = text_of(data.get("type"))
        index = number_of(data.get("output_index"))
        entry = data.get("item")
        match type_:
            case "response.created" | "response.in_progress" | "response.queued":
                event.dropped = bool(self._base or self._before)
            case "response.completed" | "response.incomplete" | "response.failed":
                yield from stream.end_texts()
                yield from self._end(event, stream)
            case "error":
                stream.ended = True
            case "response.output_item.added" if isinstance(entry, dict) and is_call(entry):
                self._calls[index] = ""
                stream.hold(event, index)
            case "response.output_item.done" if index in self._calls or (isinstance(entry, dict) and is_call(entry)):
                stream.hold(event, index)
                yield from self._settle(index, object_of(entry), stream)
            case "response.output_item.done":
                for key in self._texts.pop(index, []):
                    yield from stream.end_text(key)
                yield from self._snapshot(object_of(entry), event, stream)
            case _ if index in self._calls and "output_index" in data:
                if type_.endswith(".delta"):
                    self._calls[index] += text_of(data.get("delta"))
                stream.hold(event, index)
            case _ if type_.endswith(".delta") and isinstance(data.get("delta"), str):
                key = (type_.removesuffix(".delta"), index, data.get("content_index"), data.get("summary_index"))
                if key not in self._texts.setdefault(index, []):
                    self._texts[index].append(key)
                stream.text(key, _part(type_), event, data, "delta")
            case _ if type_.endswith(".done"):
                key = (type_.removesuffix(".done"), index, data.get("content_index"), data.get("summary_index"))
                yield from stream.end_text(key)
            case _:
                return

    def _settle(self, index: int, entry: dict[str, Json], stream: HoldingStream) -> Iterator[Item]:
        streamed = self._calls.pop(index, "")
        item = _call(entry, self._masker)
        given = entry.get("arguments", entry.get("input"))
        if streamed and isinstance(given, str) and given != streamed:
            item.problem = "its streamed arguments differ from its final ones"
        yield item
        stream.tally.settle(item)
        self._settled[index] = item
        events = stream.free(index)
        if item.note:
            self._renumber = True
            stream.replace(events, _note_events(index, _note_item(entry, item.note)))
            return
        rest = masked_json(streamed, item) if isinstance(item.original, dict | list) else text_of(item.input)
        for one in events:
            if text_of(one.data.get("type")).endswith(".delta") and isinstance(piece := one.data.get("delta"), str):
                one.put(one.data, "delta", rest if item.kinds else piece)
                rest = ""
            elif item.kinds:
                for holder in (one.data, object_of(one.data.get("item"))):
                    for key in ("arguments", "input"):
                        if isinstance(value := holder.get(key), str) and value:
                            text = masked_json(value, item) if key == "arguments" else text_of(item.input)
                            one.put(holder, key, text)

    def _snapshot(self, entry: dict[str, Json], event: HeldEvent, stream: HoldingStream) -> Iterator[Item]:
        before = dump(entry)
        yield from stream.snapshot(_mask_texts(entry, self._masker))
        event.changed = event.changed or dump(entry) != before

    def _end(self, event: HeldEvent, stream: HoldingStream) -> Iterator[Item]:
        stream.ended = True
        response = object_of(event.data.get("response"))
        _count(response, stream.tally)
        self._message = object_of(parse(dump(response)))
        output = list_of(response.get("output"))
        for index, entry in enumerate(output):
            if not isinstance(entry, dict):
                continue
            if not is_call(entry):
                yield from self._snapshot(entry, event, stream)
            else:
                item = self._settled.get(index)
                if item is None or item.id != _id(entry) or item.original != _call(entry, self._masker).original:
                    item = _call(entry, self._masker)
                    yield item
                    stream.tally.settle(item)
                if item.note:
                    output[index] = _note_item(entry, item.note)
                    event.changed = True
                elif item.kinds:
                    _put(entry, item)
                    event.changed = True
        self._output = list_of(parse(dump(output)))
        stream.end(event)

    def release(self, event: HeldEvent, stream: HoldingStream) -> None:
        data = event.data
        if self._base and "output_index" in data:
            data["output_index"] = self._base + number_of(data["output_index"])
            event.changed = True
        if self._before and isinstance(response := data.get("response"), dict):
            response["output"] = [*self._delivered, *list_of(response.get("output"))]
            response["usage"] = _joined_usage(self._before.get("usage"), response.get("usage"))
            event.changed = True
        if "sequence_number" in data or not event.raw:
            if self._renumber:
                self._sequence += 1
                event.changed = event.changed or data.get("sequence_number") != self._sequence
                data["sequence_number"] = self._sequence
            else:
                self._sequence = number_of(data["sequence_number"])

    def message(self) -> Json:
        return self._message

    def resume(self) -> None:
        self._delivered += self._output
        self._base += len(self._output)
        self._before = {"usage": _joined_usage(self._before.get("usage"), self._message.get("usage"))}
        self._renumber = True
        self._calls.clear()
        self._texts.clear()
        self._settled.clear()


def _part(type_: str) -> str:
    if "reasoning" in type_:
        return "thinking"
    return "refusal" if "refusal" in type_ else "text"


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
