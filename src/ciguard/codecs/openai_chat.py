"""The OpenAI Chat Completions API.

Source: https://platform.openai.com/docs/api-reference/chat and its page on streaming.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from ciguard.codecs.answer import (
    CallItem,
    Item,
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
from ciguard.codecs.openai_error import openai_error
from ciguard.codecs.sse import encode
from ciguard.inspect.masking import Masker
from ciguard.operation import Json

CALL_FORMS = {"function": "arguments", "custom": "input"}
"""What a tool call keeps its input under, by the key of its description."""


class OpenAIChat:
    """See :class:`ciguard.codecs.codec.Codec`."""

    listed = "messages"
    endpoints = (Endpoint("POST", re.compile(r"/v1/chat/completions"), Purpose.GENERATE),)

    def wants_stream(self, document: Document) -> bool:
        """See :meth:`ciguard.codecs.codec.Codec.wants_stream`."""
        return document.value("stream") is True

    def sayings(self, label: str, value: Json) -> list[Saying]:
        """See :meth:`ciguard.codecs.codec.Codec.sayings`."""
        match label, value:
            case "messages", dict() as message:
                texts = texts_in([{key: text for key, text in message.items() if key not in ("tool_calls", "name")}])
                match message.get("role"):
                    case "assistant":
                        return [Saying(SayingKind.ASSISTANT, texts)]
                    case "system" | "developer":
                        return [Saying(SayingKind.INSTRUCTIONS, texts)]
                    case "tool" | "function":
                        id_ = text_of(message.get("tool_call_id")) or text_of(message.get("name"))
                        return [Saying(SayingKind.TOOL_RESULT, texts, id_)]
                return [Saying(SayingKind.PROMPT, texts)]
            case "messages", _:
                return [Saying(SayingKind.PROMPT, texts_in([value]))]
            case (("model" | "stream" | "stream_options" | "metadata"), _):
                return []
            case _:
                return [Saying(SayingKind.INSTRUCTIONS, texts_in([value]))]

    def withhold(self, value: Json, id_: str, note: str) -> Json:
        """See :meth:`ciguard.codecs.codec.Codec.withhold`: a tool message holds one result."""
        return {**object_of(value), "content": note}

    def items(self, message: dict[str, Json], masker: Masker, tally: Tally) -> Iterator[Item]:
        """See :meth:`ciguard.codecs.codec.Codec.items`."""
        _count(object_of(message.get("usage")), tally)
        choices = [choice for choice in list_of(message.get("choices")) if isinstance(choice, dict)]
        tally.resumable = len(choices) == 1
        for choice in choices:
            said = object_of(choice.get("message"))
            for key in [key for key, value in said.items() if isinstance(value, str) and key != "role"]:
                yield from mask_text(said, key, "text" if key == "content" else key, masker)
            kept: list[Json] = []
            notes: list[str] = []
            entries = list_of(said.get("tool_calls"))
            for entry in [*entries, *_legacy(said)]:
                item = _call(object_of(entry), masker)
                yield item
                tally.settle(item)
                if item.note:
                    notes.append(item.note)
                else:
                    _put(object_of(entry), item)
                    kept.append(entry)
            if notes:
                said["content"] = "\n\n".join([text for text in (text_of(said.get("content")), *notes) if text])
                said.pop("function_call", None)
                if kept:
                    said["tool_calls"] = kept
                else:
                    said.pop("tool_calls", None)
                    choice["finish_reason"] = "stop"
        mask_message(message, masker)

    def stream(self, masker: Masker, text: TextRelease) -> HoldingStream:
        """See :meth:`ciguard.codecs.codec.Codec.stream`."""
        return HoldingStream(_Reader(masker), masker, text)

    def continuation(self, document: Document, message: Json, refused: Sequence[CallItem]) -> Document:
        """See :meth:`ciguard.codecs.codec.Codec.continuation`."""
        choice = object_of(next(iter(list_of(object_of(message).get("choices"))), None))
        told: list[Json] = [{"role": "tool", "tool_call_id": item.id, "content": item.note} for item in refused]
        if object_of(choice.get("message")).get("function_call"):
            told = [{"role": "function", "name": item.name, "content": item.note} for item in refused]
        added = [Part("messages", dump(one), item=True) for one in [choice.get("message"), *told]]
        return document.with_parts([*document.parts, *added])

    def join(self, first: dict[str, Json], second: dict[str, Json]) -> dict[str, Json]:
        """See :meth:`ciguard.codecs.codec.Codec.join`."""
        earlier, later = (object_of(list_of(one.get("choices"))[0]) for one in (first, second))
        said, says = object_of(earlier.get("message")), object_of(later.get("message"))
        content = "\n\n".join(text for text in (text_of(said.get("content")), text_of(says.get("content"))) if text)
        choice: Json = {**later, "message": {**says, "content": content}}
        return {**second, "id": first.get("id"), "choices": [choice]}

    def credential_headers(self, credential: str) -> dict[str, str]:
        """See :meth:`ciguard.codecs.codec.Codec.credential_headers`."""
        return {"Authorization": f"Bearer {credential}"}

    def error(self, status: int, message: str) -> bytes:
        """See :meth:`ciguard.codecs.codec.Codec.error`."""
        return openai_error(status, message)

    def stream_error(self, message: str) -> bytes:
        """See :meth:`ciguard.codecs.codec.Codec.stream_error`."""
        return encode("", openai_error(500, message).decode())


def _count(usage: dict[str, Json], tally: Tally) -> None:
    tally.input_tokens += usage_tokens(usage, "prompt_tokens")
    tally.output_tokens += usage_tokens(usage, "completion_tokens")


def _legacy(said: dict[str, Json]) -> list[Json]:
    """The call of the deprecated ``function_call`` field, in the shape of the ones that replaced it."""
    call = said.get("function_call")
    return [{"id": "", "type": "function", "function": call}] if isinstance(call, dict) else []


def _call(entry: dict[str, Json], masker: Masker) -> CallItem:
    for form, key in CALL_FORMS.items():
        described = entry.get(form)
        if isinstance(described, dict):
            id_, name, given = text_of(entry.get("id")), text_of(described.get("name")), described.get(key)
            if form == "function" and isinstance(given, str):
                return call_from_json(id_, name, given, masker)
            return call_from_value(id_, name, given, masker)
    return CallItem(text_of(entry.get("id")), text_of(entry.get("type")), None, problem="its form is not known")


def _put(entry: dict[str, Json], item: CallItem) -> None:
    if item.kinds:
        for form, key in CALL_FORMS.items():
            described = entry.get(form)
            if isinstance(described, dict):
                given = described.get(key)
                described[key] = (
                    masked_json(given, item) if form == "function" and isinstance(given, str) else item.input
                )


class _Reader:
    """The chunks of a streamed completion. Calls are complete when their choice is."""

    def __init__(self, masker: Masker) -> None:
        self._masker = masker
        self._said: dict[int, dict[str, Json]] = {}
        self._calls: dict[int, dict[int, dict[str, Json]]] = {}
        self._entries: dict[tuple[int, int], list[tuple[HeldEvent, dict[str, Json]]]] = {}
        self._resumed = False

    def read(self, event: HeldEvent, stream: HoldingStream) -> Iterator[Item]:
        if not event.data:
            for known in list(self._said):
                yield from self._finish(known, event, stream)
            stream.ended = True
            stream.end(event)
            return
        _count(object_of(event.data.get("usage")), stream.tally)
        choices = list_of(event.data.get("choices"))
        for choice in choices:
            if not isinstance(choice, dict):
                raise WireError("a choice of the stream is not an object")
            index = _index(choice)
            if index not in self._said:
                self._said[index] = {"role": "assistant"}
                stream.tally.resumable = len(self._said) == 1
            self._delta(index, object_of(choice.get("delta")), event, stream)
            if choice.get("finish_reason"):
                yield from self._finish(index, event, stream)
        finished = [one for one in choices if object_of(one).get("finish_reason")]
        if not choices:
            stream.end(event)
        elif finished and stream.tally.stranded:
            ending: list[Json] = [{"index": 0, "delta": {}, "finish_reason": object_of(finished[0])["finish_reason"]}]
            stream.end_apart(event, {**event.data, "choices": ending})
            object_of(finished[0])["finish_reason"] = None

    def _delta(self, choice: int, delta: dict[str, Json], event: HeldEvent, stream: HoldingStream) -> None:
        said = self._said[choice]
        for key, value in delta.items():
            if isinstance(value, str) and key != "role":
                said[key] = text_of(said.get(key)) + value
                stream.text((choice, key), "text" if key == "content" else key, event, delta, key)
        if isinstance(legacy := delta.get("function_call"), dict):
            self._call_delta(choice, -1, {"function": legacy}, delta, event, stream)
        for entry in list_of(delta.get("tool_calls")):
            if not isinstance(entry, dict):
                raise WireError("a tool call of the stream is not an object")
            self._call_delta(choice, number_of(entry.get("index")), entry, entry, event, stream)

    def _call_delta(
        self,
        choice: int,
        index: int,
        entry: dict[str, Json],
        place: dict[str, Json],
        event: HeldEvent,
        stream: HoldingStream,
    ) -> None:
        call = self._calls.setdefault(choice, {}).setdefault(index, {})
        for key, value in entry.items():
            if key in CALL_FORMS and isinstance(value, dict):
                described = object_of(call.setdefault(key, {}))
                for name, piece in value.items():
                    described[name] = text_of(described.get(name)) + text_of(piece)
            elif key != "index" and value:
                call[key] = value
        self._entries.setdefault((choice, index), []).append((event, place))
        if choice not in event.calls:
            stream.hold(event, choice)

    def _finish(self, choice: int, event: HeldEvent, stream: HoldingStream) -> Iterator[Item]:
        for key in list(self._said[choice]):
            yield from stream.end_text((choice, key))
        calls = self._calls.pop(choice, {})
        settled: list[CallItem] = []
        for index, call in sorted(calls.items()):
            item = _call(call, self._masker)
            yield item
            stream.tally.settle(item)
            settled.append(item)
            self._deliver(choice, index, item, sum(not one.note for one in settled) - 1)
        if not calls:
            return
        if -1 in calls:
            self._said[choice]["function_call"] = calls[-1].get("function")
        else:
            self._said[choice]["tool_calls"] = [call for _, call in sorted(calls.items())]
        stream.free(choice)
        notes = [item.note for item in settled if item.note]
        if notes:
            note: Json = {"index": choice, "delta": {"content": "\n\n".join(notes)}, "finish_reason": None}
            stream.insert(event, [{**event.data, "usage": None, "choices": [note]}])
            if len(notes) == len(settled):
                for one in list_of(event.data.get("choices")):
                    if isinstance(one, dict) and number_of(one.get("index")) == choice:
                        one["finish_reason"] = "stop"
                        event.changed = True

    def _deliver(self, choice: int, index: int, item: CallItem, new_index: int) -> None:
        """Take a refused call out of the chunks that it came in; mask and renumber an allowed one."""
        rest = masked_json("", item) if isinstance(item.original, dict | list) else text_of(item.input)
        for event, entry in self._entries.pop((choice, index)):
            if item.note:
                _take_out(event, entry)
                continue
            if index >= 0 and entry.get("index") != new_index:
                entry["index"] = new_index
                event.changed = True
            for form, key in CALL_FORMS.items():
                described = entry.get(form) or entry.get(f"{form}_call")
                if isinstance(described, dict) and isinstance(given := described.get(key), str):
                    event.put(described, key, rest if item.kinds else given)
                    rest = ""

    def release(self, event: HeldEvent, stream: HoldingStream) -> None:
        """Nothing is left to change: a chunk carries no numbering of its own."""

    def message(self) -> Json:
        return {"choices": [{"index": index, "message": said} for index, said in sorted(self._said.items())]}

    def resume(self) -> None:
        self._said.clear()


def _index(choice: dict[str, Json]) -> int:
    return number_of(choice.get("index"))


def _take_out(event: HeldEvent, entry: dict[str, Json]) -> None:
    event.changed = True
    for choice in list_of(event.data.get("choices")):
        delta = object_of(object_of(choice).get("delta"))
        if entry is delta:
            delta.pop("function_call", None)
        elif isinstance(calls := delta.get("tool_calls"), list):
            left = [call for call in calls if call is not entry]
            if left:
                delta["tool_calls"] = left
            else:
                delta.pop("tool_calls")
