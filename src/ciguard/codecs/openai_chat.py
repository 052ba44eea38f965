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
    drop_logprobs,
    list_of,
    mask_text,
    object_of,
    settled,
    text_of,
    texts_in,
    usage_tokens,
)
from ciguard.codecs.codec import Endpoint, Purpose, Saying, SayingKind, TextRelease
from ciguard.codecs.document import Document, Part, dump
from ciguard.codecs.hold import HoldingStream
from ciguard.codecs.openai_chat_call import (
    CALL_FORMS,
    CALL_KEYS,
    INPUT,
    OUTPUT,
    call_of,
    joined_usage,
    part_of,
    refuse_hidden_in,
    stopped,
    written,
)
from ciguard.codecs.openai_chat_stream import ChatReader
from ciguard.codecs.openai_error import openai_error
from ciguard.codecs.openai_remote import openai_remote
from ciguard.codecs.sse import encode
from ciguard.codecs.unknown import said_in
from ciguard.inspect.masking import Masker
from ciguard.operation import Json


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

    def remote(self, label: str, value: Json) -> list[str]:
        """See :meth:`ciguard.codecs.codec.Codec.remote`."""
        return openai_remote(label, value)

    def withhold(self, value: Json, id_: str, note: str) -> Json:
        """See :meth:`ciguard.codecs.codec.Codec.withhold`: a tool message holds one result."""
        return {**object_of(value), "content": note}

    def items(self, message: dict[str, Json], masker: Masker, tally: Tally) -> Iterator[Item]:
        """See :meth:`ciguard.codecs.codec.Codec.items`."""
        _count(object_of(message.get("usage")), tally)
        choices = [object_of(choice) for choice in list_of(message.get("choices"))]
        tally.resumable = len(choices) == 1
        for choice in choices:
            said = object_of(choice.get("message"))
            refuse_hidden_in(choice, said)
            before = dict(said)
            for path, holder, key in list(said_in({key: value for key, value in said.items() if key not in CALL_KEYS})):
                yield from mask_text(said if len(path) == 1 else holder, key, part_of(key), masker)
            if said != before:
                drop_logprobs(choice)
            yield from _settle_all(choice, said, masker, tally)

    def stream(self, masker: Masker, text: TextRelease) -> HoldingStream:
        """See :meth:`ciguard.codecs.codec.Codec.stream`."""
        return HoldingStream(ChatReader(masker, self.stream_error), masker, text)

    def continuation(self, document: Document, message: Json, refused: Sequence[CallItem]) -> Document:
        """See :meth:`ciguard.codecs.codec.Codec.continuation`."""
        choice = object_of(next(iter(list_of(object_of(message).get("choices"))), None))
        said: dict[str, Json] = {key: one for key, one in object_of(choice.get("message")).items() if one is not None}
        told: list[Json] = [{"role": "tool", "tool_call_id": item.id, "content": item.note} for item in refused]
        if said.get("function_call"):
            told = [{"role": "function", "name": item.name, "content": item.note} for item in refused]
        added = [Part.of("messages", dump(one), item=True) for one in [said, *told]]
        return document.with_parts([*document.parts, *added])

    def join(self, first: dict[str, Json], second: dict[str, Json]) -> dict[str, Json]:
        """See :meth:`ciguard.codecs.codec.Codec.join`."""
        earlier, later = (object_of(next(iter(list_of(one.get("choices"))), None)) for one in (first, second))
        said, says = object_of(earlier.get("message")), object_of(later.get("message"))
        content = "\n\n".join(text for text in (text_of(said.get("content")), text_of(says.get("content"))) if text)
        choice: Json = {**later, "message": {**says, "content": content}}
        usage = joined_usage(first.get("usage"), second.get("usage"))
        return {**second, "id": first.get("id"), "choices": [choice], "usage": usage}

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
    tally.input_tokens += usage_tokens(usage, *INPUT)
    tally.output_tokens += usage_tokens(usage, *OUTPUT)


def _settle_all(choice: dict[str, Json], said: dict[str, Json], masker: Masker, tally: Tally) -> Iterator[Item]:
    """Yield the calls of a whole answer's choice; what was refused goes, and the notes follow its text."""
    kept: list[Json] = []
    notes: list[str] = []
    for entry in [object_of(one) for one in list_of(said.get("tool_calls"))]:
        item = call_of(entry, masker, choice.get("finish_reason"))
        yield from settled(item, tally)
        if item.note:
            notes.append(item.note)
        else:
            _put(entry, item)
            kept.append(entry)
    if isinstance(legacy := said.get("function_call"), dict):
        entry = {"type": "function", "function": legacy}
        item = call_of(entry, masker, choice.get("finish_reason"))
        yield from settled(item, tally)
        if item.note:
            notes.append(item.note)
            del said["function_call"]
        else:
            _put(entry, item)
    if not notes:
        return
    said["content"] = "\n\n".join([text for text in (text_of(said.get("content")), *notes) if text])
    said["tool_calls"] = kept
    if not kept:
        del said["tool_calls"]
        if not said.get("function_call"):
            choice["finish_reason"] = stopped(choice.get("finish_reason"))


def _put(entry: dict[str, Json], item: CallItem) -> None:
    if item.kinds:
        for form, key in CALL_FORMS.items():
            if isinstance(described := entry.get(form), dict):
                described[key] = written(item)
