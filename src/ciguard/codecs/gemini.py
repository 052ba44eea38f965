"""The Gemini API's generateContent and streamGenerateContent.

Source: https://ai.google.dev/api/generate-content.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Collection, Iterator, Sequence
from functools import partial
from itertools import groupby

from ciguard.codecs.answer import (
    CallItem,
    Item,
    Side,
    Tally,
    all_texts,
    call_from_value,
    drop_logprobs,
    list_of,
    mask_texts,
    number_of,
    object_of,
    settled,
    text_of,
    texts_in,
    usage_tokens,
)
from ciguard.codecs.codec import Endpoint, Purpose, Saying, SayingKind, TextRelease
from ciguard.codecs.document import Document, Part, dump
from ciguard.codecs.error import WireError
from ciguard.codecs.held_event import HeldEvent
from ciguard.codecs.hold import HoldingStream
from ciguard.codecs.remote import addresses_in, tool
from ciguard.codecs.sse import encode
from ciguard.codecs.unknown import calls_something, refuse_hidden_calls, said_in
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
SERVICE_CALLS = ("executableCode", "executable_code", "toolCall", "tool_call")
"""The parts that are calls which the service itself carries out."""


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

    def remote(self, label: str, value: Json) -> list[str]:
        """See :meth:`ciguard.codecs.codec.Codec.remote`."""
        match _snake(label):
            case "tools":
                tools = value if isinstance(value, list) else [value]
                return [*(text for one in tools for text in _tools(one)), *addresses_in(value)]
            case "cached_content":
                return [tool("cached_content")]
            case "generate_content_request" if isinstance(value, dict):
                return [text for key, inner in value.items() for text in self.remote(key, inner)]
            case _:
                return addresses_in(value)

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
        usage = object_of(message.get("usageMetadata"))
        tally.input_tokens += usage_tokens(usage, *INPUT)
        tally.output_tokens += usage_tokens(usage, *OUTPUT)
        candidates = [object_of(one) for one in list_of(message.get("candidates"))]
        tally.resumable = len(candidates) == 1
        for candidate in candidates:
            parts = _parts(candidate)
            before = copy.deepcopy(parts)
            for kind, run in groupby(parts, _text_kind):
                if kind:
                    yield from mask_texts([(kind, part, "text") for part in run], kind, masker)
                    continue
                for part in run:
                    if _calls(part):
                        yield from _settle_calls(part, masker, tally)
                        continue
                    for path, holder, key in list(said_in(part)):
                        yield from mask_texts([(path, holder, key)], key, masker)
            if parts != before:
                drop_logprobs(candidate)

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
        added = [Part.of("contents", dump(one), item=True) for one in (candidate.get("content"), told)]
        return document.with_parts([*document.parts, *added])

    def join(self, first: dict[str, Json], second: dict[str, Json]) -> dict[str, Json]:
        """See :meth:`ciguard.codecs.codec.Codec.join`."""
        earlier, later = (object_of(next(iter(list_of(one.get("candidates"))), None)) for one in (first, second))
        parts = [part for one in (earlier, later) for part in list_of(object_of(one.get("content")).get("parts"))]
        candidate: Json = {**later, "content": {"role": "model", **object_of(later.get("content")), "parts": parts}}
        usage = _joined_usage(first.get("usageMetadata"), second.get("usageMetadata"))
        return {**second, "candidates": [candidate], "usageMetadata": usage}

    def credential_headers(self, credential: str) -> dict[str, str]:
        """See :meth:`ciguard.codecs.codec.Codec.credential_headers`."""
        return {"x-goog-api-key": credential}

    def error(self, status: int, message: str) -> bytes:
        """See :meth:`ciguard.codecs.codec.Codec.error`; form: https://google.aip.dev/193."""
        return dump({"error": {"code": status, "message": message, "status": STATUSES.get(status, "INTERNAL")}})

    def stream_error(self, message: str) -> bytes:
        """See :meth:`ciguard.codecs.codec.Codec.stream_error`."""
        return encode("", self.error(500, message).decode())


INPUT = ("promptTokenCount",)
OUTPUT = ("candidatesTokenCount", "thoughtsTokenCount")
OWN_TOOLS = ("function_declarations", "computer_use")
"""The agent's own."""
FUNCTION_CALLS = ("functionCall", "function_call")


def _snake(key: str) -> str:
    """The API takes its keys in camel case and in snake case."""
    return re.sub(r"(?<!^)(?=[A-Z])", "_", key).lower()


def _tools(value: Json) -> Iterator[str]:
    """The service's tools in one entry of ``tools``: each is a key."""
    if not isinstance(value, dict):
        yield tool(None)
        return
    yield from (tool(name) for name in map(_snake, value) if name not in OWN_TOOLS)


def _calls(part: dict[str, Json]) -> list[str]:
    """The keys under which ``part`` has a tool call: those that are known, and anything with a name and an input."""
    return [
        key
        for key, value in part.items()
        if value is not None and (key in FUNCTION_CALLS or key in SERVICE_CALLS or calls_something(value))
    ]


def _is_call(part: Json) -> bool:
    return isinstance(part, dict) and bool(_calls(part))


def _parts(candidate: dict[str, Json]) -> list[dict[str, Json]]:
    """The parts of a candidate. Raises :class:`WireError` when one is not an object, or a call and something else."""
    refuse_hidden_calls([value for key, value in candidate.items() if key != "content"])
    found: list[dict[str, Json]] = []
    for part in list_of(object_of(candidate.get("content")).get("parts")):
        if not isinstance(part, dict):
            raise WireError("a part of the answer is not an object")
        calls = _calls(part)
        if len(calls) > 1 or (calls and part.get("text")):
            raise WireError("a part of the answer is two things at once")
        refuse_hidden_calls([value for key, value in part.items() if key not in calls])
        found.append(part)
    return found


def _text_kind(part: dict[str, Json]) -> str:
    """What kind of text a part is; empty when it is something else."""
    if not isinstance(part.get("text"), str) or _calls(part):
        return ""
    return "thinking" if part.get("thought") is True else "text"


def _response_id(response: dict[str, Json]) -> str:
    return text_of(response.get("id")) or text_of(response.get("name"))


def _saying(part: Json) -> Saying:
    if isinstance(part, dict) and isinstance(response := part.get("functionResponse"), dict):
        return Saying(SayingKind.TOOL_RESULT, all_texts(response.get("response")), _response_id(response))
    return Saying(SayingKind.PROMPT, texts_in([part]))


def _is_one_text(chunk: dict[str, Json]) -> bool:
    """Whether ``chunk`` is a piece of one text, which :func:`_say` joins with what was said before."""
    match chunk:
        case {"candidates": [{"content": {"parts": [{"text": str(), **more}]}}]}:
            return more.keys() <= {"thought"}
        case _:
            return False


def _say(said: list[Json], part: dict[str, Json]) -> None:
    """Add ``part`` to what was said before; pieces of one text become one part again."""
    last = said[-1] if said else None
    if isinstance(last, dict) and {*last, *part} <= {"text", "thought"} and _text_kind(last) == _text_kind(part):
        last["text"] = text_of(last["text"]) + text_of(part["text"])
        return
    said.append(copy.deepcopy(part))


def _joined_usage(first: Json, second: Json) -> Json:
    """The usage of two answers as one: the tokens made add up, those read are the second's."""
    if not isinstance(second, dict):
        return second
    earlier = object_of(first)
    made = {name: usage_tokens(earlier, name) + usage_tokens(second, name) for name in OUTPUT if name in second}
    total = usage_tokens(second, "totalTokenCount") + usage_tokens(earlier, *OUTPUT)
    return {**second, **made, "totalTokenCount": total}


def _settle_calls(part: dict[str, Json], masker: Masker, tally: Tally) -> Iterator[Item]:
    """Yield the call in ``part``, if any, and change the part as it was settled."""
    for key in _calls(part):
        call = part[key]
        if not isinstance(call, dict):
            raise WireError("a tool call is not an object")
        if "partialArgs" in call or "willContinue" in call:
            raise WireError("a tool call comes in pieces (streamFunctionCallArguments), which is not supported")
        name = text_of(call.get("name")) or key
        form = next((one for one in ("args", "input", "arguments") if one in call), "")
        given = call[form] if form else {k: v for k, v in call.items() if k not in ("name", "id")}
        side = Side.SERVICE if key in SERVICE_CALLS else Side.AGENT
        item = call_from_value(text_of(call.get("id")) or name, name, given, masker, side)
        yield from settled(item, tally)
        if item.note:
            part.clear()
            part["text"] = item.note
        elif item.kinds:
            part[key] = {**call, form: item.input} if form else {**call, **object_of(item.input)}


class _Reader:
    """The chunks of a streamed answer. Calls come whole; a text ends where another kind of part begins."""

    varying: Collection[str] = ("usageMetadata",)

    def __init__(self, masker: Masker) -> None:
        self._masker = masker
        self._parts: dict[int, list[Json]] = {}
        self._kinds: dict[int, str] = {}
        self._finished: set[int] = set()
        self._usage: Json = None
        self._usage_before: Json = None
        self._id: Json = None

    def read(self, event: HeldEvent, stream: HoldingStream) -> Iterator[Item]:
        data = event.data
        if data.get("error"):
            yield from stream.end_texts()
            stream.ended = True
            return
        refuse_hidden_calls([value for key, value in data.items() if key != "candidates"])
        self._count(data, stream)
        for candidate in list_of(data.get("candidates")):
            if not isinstance(candidate, dict):
                raise WireError("a candidate of the answer is not an object")
            yield from self._candidate(candidate, event, stream)
        if object_of(data.get("promptFeedback")).get("blockReason"):
            stream.ended = True

    def _count(self, data: dict[str, Json], stream: HoldingStream) -> None:
        """Every chunk has the usage as it stands then."""
        if isinstance(usage := data.get("usageMetadata"), dict):
            before = object_of(self._usage)
            stream.tally.input_tokens += usage_tokens(usage, *INPUT) - usage_tokens(before, *INPUT)
            stream.tally.output_tokens += usage_tokens(usage, *OUTPUT) - usage_tokens(before, *OUTPUT)
            self._usage = dict(usage)

    def _candidate(self, candidate: dict[str, Json], event: HeldEvent, stream: HoldingStream) -> Iterator[Item]:
        index = number_of(candidate.get("index"))
        said = self._parts.setdefault(index, [])
        if len(self._parts) > 1:
            stream.tally.resumable = False
            stream.let_end()
        for part in _parts(candidate):
            _say(said, part)
            yield from self._part(index, part, event, stream)
        if not candidate.get("finishReason"):
            return
        yield from stream.end_text((index, self._kinds.get(index, "")))
        self._finished.add(index)
        stream.ended = self._finished == self._parts.keys()
        if stream.tally.stranded:
            ending: Json = {**copy.deepcopy(candidate), "content": {"role": "model", "parts": [{"text": ""}]}}
            stream.end_apart(event, {**event.data, "candidates": [ending]})
            del candidate["finishReason"]

    def _part(self, index: int, part: dict[str, Json], event: HeldEvent, stream: HoldingStream) -> Iterator[Item]:
        kind = _text_kind(part)
        if kind != self._kinds.get(index):
            yield from stream.end_text((index, self._kinds.get(index, "")))
        self._kinds[index] = kind
        if kind:
            more = partial(self._more, index, part, stream) if _is_one_text(event.data) else None
            stream.text((index, kind), kind, kind, event, part, "text", more)
            return
        if _calls(part):
            items = []
            for item in _settle_calls(part, self._masker, stream.tally):
                items.append(item)
                yield item
            event.changed = event.changed or any(isinstance(one, CallItem) and (one.note or one.kinds) for one in items)
            return
        for path, holder, key in list(said_in(part)):
            at = (index, len(self._parts[index]), path)
            yield from stream.snapshot(at, key, event, holder, key)

    def _more(self, index: int, part: dict[str, Json], stream: HoldingStream, text: str, data: dict[str, Json]) -> None:
        _say(self._parts[index], {**part, "text": text})
        self._count(data, stream)

    def release(self, event: HeldEvent, stream: HoldingStream) -> None:
        data = event.data
        if "responseId" in data:
            self._id = self._id or data["responseId"]
            if data["responseId"] != self._id:
                data["responseId"] = self._id
                event.changed = True
        if self._usage_before and "usageMetadata" in data:
            data["usageMetadata"] = _joined_usage(self._usage_before, data["usageMetadata"])
            event.changed = True

    def message(self) -> Json:
        return {"candidates": [{"content": {"role": "model", "parts": self._parts.get(0, [])}}]}

    def resume(self) -> None:
        self._usage_before = _joined_usage(self._usage_before, self._usage)
        self._usage = None
        self._parts.clear()
        self._kinds.clear()
        self._finished.clear()

    def error(self, message: str) -> bytes:
        return Gemini().stream_error(message)

    def sign_of_life(self) -> bytes:
        """Clients want every event to be a chunk of an answer, and comments are no events."""
        return encode("", '{"candidates":[]}')
