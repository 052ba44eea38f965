"""The Anthropic Messages API.

Source: https://docs.anthropic.com/en/api/messages and https://docs.anthropic.com/en/api/messages-streaming.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from itertools import groupby

from ciguard.codecs.answer import (
    CallItem,
    Item,
    Tally,
    list_of,
    mask_texts,
    object_of,
    settled,
    text_of,
    texts_in,
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
)
from ciguard.codecs.anthropic_stream import AnthropicReader
from ciguard.codecs.codec import Endpoint, Purpose, Saying, SayingKind, TextRelease
from ciguard.codecs.document import Document, Part, dump
from ciguard.codecs.error import WireError
from ciguard.codecs.hold import HoldingStream
from ciguard.codecs.remote import addresses_in, tool, typed_tools
from ciguard.codecs.sse import encode
from ciguard.codecs.unknown import said_in
from ciguard.inspect.masking import Masker
from ciguard.operation import Json

ERROR_TYPES = {
    400: "invalid_request_error",
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    405: "invalid_request_error",
    413: "request_too_large",
    429: "rate_limit_error",
}


_OWN_TOOLS = re.compile(r"custom|(?:bash|text_editor|computer|memory)_\d{8}|tool_search_tool_\w+|mcp_toolset")
"""The agent's own, those that look among the tools of the request only, and what belongs to ``mcp_servers``."""


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
                return [_saying(block) for block in content] if isinstance(content, list) else [_saying(content)]
            case "messages", _:
                return [Saying(SayingKind.PROMPT, texts_in([value]))]
            case (("model" | "stream" | "metadata"), _):
                return []
            case _:
                return [Saying(SayingKind.INSTRUCTIONS, texts_in([value]))]

    def remote(self, label: str, value: Json) -> list[str]:
        """See :meth:`ciguard.codecs.codec.Codec.remote`."""
        match label.casefold():
            case "metadata":
                return []
            case "tools":
                return list(typed_tools(value, lambda type_, _: bool(_OWN_TOOLS.fullmatch(type_)), missing="custom"))
            case "mcp_servers":
                return [tool("mcp"), *addresses_in(value)]
            case _:
                return addresses_in(value)

    def withhold(self, value: Json, id_: str, note: str) -> Json:
        """See :meth:`ciguard.codecs.codec.Codec.withhold`."""
        message = dict(object_of(value))
        message["content"] = [
            {**block, "content": note}
            if isinstance(block, dict) and block.get("tool_use_id") == id_ and is_result(block)
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
        cut_off = message.get("stop_reason") == "max_tokens"
        refused: set[str] = set()
        for type_, run in groupby(enumerate(blocks), lambda one: object_of(one[1]).get("type")):
            if type_ in TEXT_KEYS:
                key = TEXT_KEYS[str(type_)]
                yield from mask_texts([(place, object_of(block), key) for place, block in run], key, masker)
                continue
            for place, block in run:
                if not isinstance(block, dict):
                    raise WireError("a content block is not an object")
                if is_call(block):
                    item = call_of(block, masker)
                    if cut_off and place == len(blocks) - 1 and not block["input"]:
                        item.problem = item.problem or CUT_OFF
                    yield from settled(item, tally)
                    if item.note:
                        refused.add(text_of(block.get("id")))
                        blocks[place] = {"type": "text", "text": item.note}
                    else:
                        block["input"] = item.input
                elif answers(block, refused):
                    blocks[place] = {"type": "text", "text": LEFT_OUT}
                else:
                    for path, holder, key in list(said_in(block)):
                        yield from mask_texts([(path, holder, key)], key, masker)
        if tally.stranded and message.get("stop_reason") == "tool_use":
            message["stop_reason"] = "end_turn"

    def stream(self, masker: Masker, text: TextRelease) -> HoldingStream:
        """See :meth:`ciguard.codecs.codec.Codec.stream`."""
        return HoldingStream(AnthropicReader(masker, self.stream_error), masker, text)

    def continuation(self, document: Document, message: Json, refused: Sequence[CallItem]) -> Document:
        """See :meth:`ciguard.codecs.codec.Codec.continuation`."""
        results: list[Json] = [
            {"type": "tool_result", "tool_use_id": item.id, "is_error": True, "content": item.note} for item in refused
        ]
        content = [block for block in list_of(object_of(message).get("content")) if object_of(block).get("text") != ""]
        answer: Json = {"role": "assistant", "content": content}
        told: Json = {"role": "user", "content": results}
        added = [Part.of("messages", dump(answer), item=True), Part.of("messages", dump(told), item=True)]
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


def _saying(block: Json) -> Saying:
    if isinstance(block, str):
        return Saying(SayingKind.PROMPT, (block,) if block else ())
    if isinstance(block, dict) and is_result(block):
        return Saying(SayingKind.TOOL_RESULT, texts_in([block.get("content")]), text_of(block.get("tool_use_id")))
    return Saying(SayingKind.PROMPT, texts_in([block]))


def _text_blocks(content: Json) -> Json:
    if isinstance(content, list):
        return [block for block in content if not (isinstance(block, dict) and is_call(block))]
    return content
