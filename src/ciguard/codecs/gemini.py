"""The Gemini API's generateContent and streamGenerateContent.

Source: https://ai.google.dev/api/generate-content.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from ciguard.codecs.answer import (
    CallItem,
    Item,
    Side,
    Tally,
    call_from_value,
    list_of,
    mask_message,
    mask_text,
    number_of,
    object_of,
    text_of,
    texts_in,
    usage_tokens,
)
from ciguard.codecs.codec import Endpoint, Purpose, Saying, SayingKind, TextRelease
from ciguard.codecs.document import Document, Part, dump
from ciguard.codecs.hold import HeldEvent, HoldingStream
from ciguard.codecs.sse import encode
from ciguard.inspect.masking import Masker
from ciguard.operation import Json

_MODELS = r"/v1(?:beta|alpha)?/models"
_MODEL = _MODELS + r"/(?P<model>[A-Za-z0-9._-]+)"
STATUSES = {
    400: "INVALID_ARGUMENT",
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    413: "INVALID_ARGUMENT",
    429: "RESOURCE_EXHAUSTED",
    502: "UNAVAILABLE",
    504: "DEADLINE_EXCEEDED",
}
CALLS = {"functionCall": Side.AGENT, "executableCode": Side.SERVICE}
"""The parts that are tool calls, and who carries them out."""


class Gemini:
    """See :class:`ciguard.codecs.codec.Codec`."""

    listed = "contents"
    endpoints = (
        Endpoint("POST", re.compile(_MODEL + ":generateContent"), Purpose.GENERATE),
        Endpoint(
            "POST", re.compile(_MODEL + ":streamGenerateContent"), Purpose.GENERATE, frozenset({"alt"}), stream=True
        ),
        Endpoint("POST", re.compile(_MODEL + ":countTokens"), Purpose.MEASURE),
        Endpoint("GET", re.compile(_MODELS), Purpose.LIST, frozenset({"pageSize", "pageToken"})),
        Endpoint("GET", re.compile(_MODEL), Purpose.LIST),
    )

    def wants_stream(self, document: Document) -> bool:
        """See :meth:`ciguard.codecs.codec.Codec.wants_stream`: the path alone says it."""
        return False

    def sayings(self, label: str, value: Json) -> list[Saying]:
        """See :meth:`ciguard.codecs.codec.Codec.sayings`."""
        match label, value:
            case "contents", {"role": "model", "parts": parts}:
                texts = [part for part in list_of(parts) if not _is_call(part)]
                return [Saying(SayingKind.ASSISTANT, texts_in(texts))]
            case "contents", {"parts": list() as parts}:
                return [_saying(part) for part in parts]
            case (("contents" | "generateContentRequest"), _):
                return [Saying(SayingKind.PROMPT, texts_in([value]))]
            case _:
                return [Saying(SayingKind.INSTRUCTIONS, texts_in([value]))]

    def withhold(self, value: Json, id_: str, note: str) -> Json:
        """See :meth:`ciguard.codecs.codec.Codec.withhold`."""
        content = dict(object_of(value))
        content["parts"] = [
            {**part, "functionResponse": {**response, "response": {"error": note}}}
            if isinstance(part, dict)
            and isinstance(response := part.get("functionResponse"), dict)
            and _response_id(response) == id_
            else part
            for part in list_of(content.get("parts"))
        ]
        return content

    def items(self, message: dict[str, Json], masker: Masker, tally: Tally) -> Iterator[Item]:
        """See :meth:`ciguard.codecs.codec.Codec.items`."""
        _count(message, tally)
        candidates = [one for one in list_of(message.get("candidates")) if isinstance(one, dict)]
        tally.resumable = len(candidates) == 1
        for candidate in candidates:
            for part in list_of(object_of(candidate.get("content")).get("parts")):
                if not isinstance(part, dict):
                    continue
                yield from _settle_calls(part, masker, tally)
                yield from mask_text(part, "text", _part(part), masker)
        mask_message(message, masker)

    def stream(self, masker: Masker, text: TextRelease) -> HoldingStream:
        """See :meth:`ciguard.codecs.codec.Codec.stream`."""
        return HoldingStream(_Reader(masker), masker, text)

    def continuation(self, document: Document, message: Json, refused: Sequence[CallItem]) -> Document:
        """See :meth:`ciguard.codecs.codec.Codec.continuation`."""
        candidate = object_of(next(iter(list_of(object_of(message).get("candidates"))), None))
        responses: list[Json] = [
            {
                "functionResponse": {
                    **({"id": item.id} if item.id != item.name else {}),
                    "name": item.name,
                    "response": {"error": item.note},
                }
            }
            for item in refused
        ]
        told: Json = {"role": "user", "parts": responses}
        added = [Part("contents", dump(one), item=True) for one in (candidate.get("content"), told)]
        return document.with_parts([*document.parts, *added])

    def join(self, first: dict[str, Json], second: dict[str, Json]) -> dict[str, Json]:
        """See :meth:`ciguard.codecs.codec.Codec.join`."""
        earlier, later = (object_of(list_of(one.get("candidates"))[0]) for one in (first, second))
        parts = [part for one in (earlier, later) for part in list_of(object_of(one.get("content")).get("parts"))]
        candidate: Json = {**later, "content": {**object_of(later.get("content")), "parts": parts}}
        return {**second, "candidates": [candidate]}

    def credential_headers(self, credential: str) -> dict[str, str]:
        """See :meth:`ciguard.codecs.codec.Codec.credential_headers`."""
        return {"x-goog-api-key": credential}

    def error(self, status: int, message: str) -> bytes:
        """See :meth:`ciguard.codecs.codec.Codec.error`; form: https://google.aip.dev/193."""
        return dump({"error": {"code": status, "message": message, "status": STATUSES.get(status, "INTERNAL")}})

    def stream_error(self, message: str) -> bytes:
        """See :meth:`ciguard.codecs.codec.Codec.stream_error`."""
        return encode("", self.error(500, message).decode())


def _is_call(part: Json) -> bool:
    return isinstance(part, dict) and any(key in part for key in CALLS)


def _response_id(response: dict[str, Json]) -> str:
    return text_of(response.get("id")) or text_of(response.get("name"))


def _saying(part: Json) -> Saying:
    if isinstance(part, dict) and isinstance(response := part.get("functionResponse"), dict):
        return Saying(SayingKind.TOOL_RESULT, texts_in([response.get("response")]), _response_id(response))
    return Saying(SayingKind.PROMPT, texts_in([part]))


def _part(part: dict[str, Json]) -> str:
    return "thinking" if part.get("thought") is True else "text"


def _count(message: dict[str, Json], tally: Tally) -> None:
    usage = object_of(message.get("usageMetadata"))
    tally.input_tokens = usage_tokens(usage, "promptTokenCount") or tally.input_tokens
    tally.output_tokens = usage_tokens(usage, "candidatesTokenCount", "thoughtsTokenCount") or tally.output_tokens


def _settle_calls(part: dict[str, Json], masker: Masker, tally: Tally) -> Iterator[CallItem]:
    """Yield the call in ``part``, if any, and change the part as it was settled."""
    for key, side in CALLS.items():
        call = part.get(key)
        if not isinstance(call, dict):
            continue
        name = text_of(call.get("name")) or key
        given = call["args"] if "args" in call else {k: v for k, v in call.items() if k not in ("name", "id")}
        item = call_from_value(text_of(call.get("id")) or name, name, given, masker, side)
        yield item
        tally.settle(item)
        if item.note:
            part.clear()
            part["text"] = item.note
        elif item.kinds:
            masked: dict[str, Json] = {"args": item.input} if "args" in call else object_of(item.input)
            part[key] = {**call, **masked}


class _Reader:
    """The chunks of a streamed answer. Calls come whole; a text ends where another kind of part begins."""

    def __init__(self, masker: Masker) -> None:
        self._masker = masker
        self._parts: dict[int, list[Json]] = {}

    def read(self, event: HeldEvent, stream: HoldingStream) -> Iterator[Item]:
        _count(event.data, stream.tally)
        for candidate in list_of(event.data.get("candidates")):
            if not isinstance(candidate, dict):
                continue
            index = number_of(candidate.get("index"))
            said = self._parts.setdefault(index, [])
            stream.tally.resumable = len(self._parts) == 1
            for part in list_of(object_of(candidate.get("content")).get("parts")):
                if isinstance(part, dict):
                    said.append(dict(part))
                    yield from self._part(index, part, event, stream)
            if candidate.get("finishReason"):
                yield from stream.end_texts()
                stream.ended = True
                if stream.tally.stranded:
                    stream.end_apart(event, {**event.data, "candidates": [{**candidate, "content": _EMPTY}]})
                    del candidate["finishReason"]

    def _part(self, index: int, part: dict[str, Json], event: HeldEvent, stream: HoldingStream) -> Iterator[Item]:
        if isinstance(part.get("text"), str) and not _is_call(part):
            kind = _part(part)
            yield from stream.end_text((index, "text" if kind == "thinking" else "thinking"))
            stream.text((index, kind), kind, event, part, "text")
            return
        yield from stream.end_texts()
        for item in _settle_calls(part, self._masker, stream.tally):
            yield item
            event.changed = event.changed or bool(item.note or item.kinds)

    def release(self, event: HeldEvent, stream: HoldingStream) -> None:
        """Nothing is left to change: a chunk carries no numbering."""

    def message(self) -> Json:
        return {"candidates": [{"content": {"role": "model", "parts": self._parts.get(0, [])}}]}

    def resume(self) -> None:
        self._parts.clear()


_EMPTY: Json = {"role": "model", "parts": [{"text": ""}]}
