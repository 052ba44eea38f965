"""The OpenAI Responses API.

Source: https://platform.openai.com/docs/api-reference/responses and its pages on streaming events.
"""

from __future__ import annotations

import re
from collections.abc import Hashable, Iterator, Sequence
from itertools import groupby

from ciguard.codecs.answer import (
    CallItem,
    Item,
    Tally,
    TextItem,
    list_of,
    mask_texts,
    object_of,
    settled,
    text_of,
    texts_in,
    usage_tokens,
)
from ciguard.codecs.codec import Endpoint, Purpose, Saying, SayingKind, TextRelease
from ciguard.codecs.document import Document, Part, dump, parse
from ciguard.codecs.error import WireError
from ciguard.codecs.hold import HoldingStream
from ciguard.codecs.openai_error import openai_error
from ciguard.codecs.openai_remote import openai_remote
from ciguard.codecs.openai_responses_item import (
    TEXT_TYPES,
    UNANSWERABLE,
    call_of,
    is_call,
    item_id,
    joined_usage,
    note_item,
    put_input,
    refusal_output,
    texts_of,
)
from ciguard.codecs.openai_responses_stream import ResponsesReader
from ciguard.codecs.sse import encode
from ciguard.inspect.masking import Masker
from ciguard.operation import Json

LIST_QUERY = frozenset({"limit", "after", "before", "order", "client_version"})


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

    def remote(self, label: str, value: Json) -> list[str]:
        """See :meth:`ciguard.codecs.codec.Codec.remote`."""
        return openai_remote(label, value)

    def withhold(self, value: Json, id_: str, note: str) -> Json:
        """See :meth:`ciguard.codecs.codec.Codec.withhold`: an output item holds one result."""
        return {**object_of(value), "output": note}

    def items(self, message: dict[str, Json], masker: Masker, tally: Tally) -> Iterator[Item]:
        """See :meth:`ciguard.codecs.codec.Codec.items`."""
        usage = object_of(message.get("usage"))
        tally.input_tokens += usage_tokens(usage, "input_tokens")
        tally.output_tokens += usage_tokens(usage, "output_tokens")
        output = list_of(message.get("output"))
        for type_, run in groupby(enumerate(output), lambda one: object_of(one[1]).get("type")):
            if type_ in TEXT_TYPES:
                yield from _mask_run([(place, object_of(entry)) for place, entry in run], masker)
                continue
            for place, entry in run:
                if not isinstance(entry, dict):
                    raise WireError("an item of the output is not an object")
                if not is_call(entry):
                    yield from _mask_each(place, entry, masker)
                    continue
                item = call_of(entry, masker)
                yield from settled(item, tally)
                if item.note:
                    tally.resumable = tally.resumable and type_ not in UNANSWERABLE
                    output[place] = note_item(entry, item.note, place)
                elif item.kinds:
                    put_input(entry, item)

    def stream(self, masker: Masker, text: TextRelease) -> HoldingStream:
        """See :meth:`ciguard.codecs.codec.Codec.stream`."""
        return HoldingStream(ResponsesReader(masker, self.stream_error), masker, text)

    def continuation(self, document: Document, message: Json, refused: Sequence[CallItem]) -> Document:
        """See :meth:`ciguard.codecs.codec.Codec.continuation`."""
        said = [object_of(entry) for entry in list_of(object_of(message).get("output"))]
        notes = {item.id: item.note for item in refused}
        told = [refusal_output(entry, notes[item_id(entry)]) for entry in said if item_id(entry) in notes]
        if document.value("store") is False:
            said = [one for one in said if one.get("type") != "reasoning" or one.get("encrypted_content")]
        parts = [
            part
            if part.item or part.label != "input"
            else Part.of("input", dump({"role": "user", "content": parse(part.raw)}), item=True)
            for part in document.parts
        ]
        if document.value("conversation"):
            # The service has kept the request and its answer in the conversation.
            parts = [part for part in parts if part.label != "input"]
            said = []
        return document.with_parts([*parts, *(Part.of("input", dump(one), item=True) for one in [*said, *told])])

    def join(self, first: dict[str, Json], second: dict[str, Json]) -> dict[str, Json]:
        """See :meth:`ciguard.codecs.codec.Codec.join`."""
        output = [*list_of(first.get("output")), *list_of(second.get("output"))]
        return {**second, "output": output, "usage": joined_usage(first.get("usage"), second.get("usage"))}

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


def _mask_run(run: Sequence[tuple[int, dict[str, Json]]], masker: Masker) -> Iterator[TextItem]:
    """Neighbouring items of one type: what they say in the same part is one text."""
    passages: dict[tuple[str, str], list[tuple[Hashable, dict[str, Json], str]]] = {}
    for place, entry in run:
        for (section, number), part, holder, key in texts_of(entry):
            passages.setdefault((part, section), []).append(((place, number), holder, key))
    for (part, _), places in passages.items():
        yield from mask_texts(places, part, masker)


def _mask_each(place: int, entry: dict[str, Json], masker: Masker) -> Iterator[TextItem]:
    for at, part, holder, key in texts_of(entry):
        yield from mask_texts([((place, at), holder, key)], part, masker)
