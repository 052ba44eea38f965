"""What the codec tests share: upstream answers in the official formats, a driver that settles items, agents' views."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from multidict import CIMultiDict, CIMultiDictProxy

from ciguard.codecs.answer import Barrier, CallItem, Item, Tally, TextItem, masked_items
from ciguard.codecs.anthropic import Anthropic
from ciguard.codecs.codec import Codec, TextRelease
from ciguard.codecs.document import Document, dump, parse, split
from ciguard.codecs.gemini import Gemini
from ciguard.codecs.openai_chat import OpenAIChat
from ciguard.codecs.openai_responses import OpenAIResponses
from ciguard.codecs.sse import EventParser
from ciguard.inspect.known_value import KnownValue
from ciguard.inspect.masking import Masker
from ciguard.inspect.placeholder import Placeholders
from ciguard.operation import Json
from ciguard.testing.model import Block, Call, Conversation, anthropic, gemini, openai_chat, openai_responses
from ciguard.testing.model.dialect import Dialect, ReceivedRequest, id_source
from ciguard.testing.model.service import Service

KNOWN = "correct-horse-battery-staple-42"
SECRET = "ghp_" + "a1B2" * 7 + "a1" + "3tNSQc"
NOTE = "[ciguard] The call was refused: no."
BAD = "rm"
"""A call whose name or input has this is refused by :func:`refuse_bad`."""

Decide = Callable[[Item], None]
ItemsOf = Callable[[Codec, dict[str, Json], Masker, Tally], Iterator[Item]]


@cache
def masker() -> Masker:
    return Masker([KnownValue("known", KNOWN)], Placeholders(b"k" * 32))


def masked(text: str) -> str:
    return masker().mask(text).text


def refuse_bad(item: Item) -> None:
    if isinstance(item, CallItem):
        if item.problem or BAD in json.dumps([item.name, item.input]):
            item.refuse(NOTE)
        else:
            item.allow()


def allow_all(item: Item) -> None:
    if isinstance(item, CallItem):
        item.allow()


@dataclass(frozen=True)
class Api:
    """One model API: its codec, the service that stands in for it, and how a request to it looks."""

    name: str
    codec: Codec
    dialect: Dialect
    path: str
    body: dict[str, Json]
    stream_path: str = ""

    def request(self, *, stream: bool, **more: Json) -> bytes:
        asked: dict[str, Json] = {"stream": True} if stream and not self.stream_path else {}
        return dump({**self.body, **asked, **more})


_TOOLS = ["Bash", "Read"]
ANTHROPIC = Api(
    "anthropic",
    Anthropic(),
    anthropic,
    "/v1/messages",
    {"model": "claude-opus-4-6", "max_tokens": 99, "messages": [{"role": "user", "content": "Look."}]},
)
CHAT = Api(
    "chat",
    OpenAIChat(),
    openai_chat,
    "/v1/chat/completions",
    {"model": "gpt-5", "messages": [{"role": "user", "content": "Look."}], "stream_options": {"include_usage": True}},
)
RESPONSES = Api(
    "responses",
    OpenAIResponses(),
    openai_responses,
    "/v1/responses",
    {
        "model": "gpt-5",
        "input": [{"role": "user", "content": "Look."}],
        "tools": [{"type": "custom", "name": "apply_patch"}],
    },
)
GEMINI = Api(
    "gemini",
    Gemini(),
    gemini,
    "/v1beta/models/gemini-3-pro:generateContent",
    {"contents": [{"role": "user", "parts": [{"text": "Look."}]}]},
    "/v1beta/models/gemini-3-pro:streamGenerateContent?alt=sse",
)
APIS = (ANTHROPIC, CHAT, RESPONSES, GEMINI)


class Upstream:
    """Answers with one scripted turn after the other, and checks every request as the service does."""

    def __init__(self, api: Api, turns: Sequence[Sequence[Block]], chunk: int = 7) -> None:
        self.api = api
        self.requests: list[bytes] = []
        self._turns = iter(turns)
        self._service = Service(self._script, frozenset({"key"}), chunk, id_source())

    def _script(self, conversation: Conversation) -> Sequence[Block]:
        return next(self._turns)

    def ask(self, body: bytes, *, stream: bool) -> bytes:
        self.requests.append(body)
        path = self.api.stream_path if stream and self.api.stream_path else self.api.path
        headers = {"anthropic-version": "2023-06-01", "x-api-key": "key"}
        if self.api.name != "anthropic":
            headers = {"authorization": "Bearer key", "x-goog-api-key": "key"}
        if self.api.name == "gemini":
            del headers["authorization"]
        request = ReceivedRequest("POST", path, CIMultiDictProxy(CIMultiDict(headers)), body, json.loads(body), "key")
        answer = self._service.answer(request, self.api.dialect, 1_790_000_000)
        assert answer.status == 200, answer.body
        return answer.body


@dataclass
class Outcome:
    """What the agent got, and what the driver saw."""

    raw: bytes
    items: list[Item] = field(default_factory=list)
    requests: list[bytes] = field(default_factory=list)
    tally: Tally = field(default_factory=Tally)

    @property
    def settled(self) -> list[CallItem | TextItem]:
        return [item for item in self.items if not isinstance(item, Barrier)]

    @property
    def calls(self) -> list[CallItem]:
        return [item for item in self.items if isinstance(item, CallItem)]

    @property
    def texts(self) -> list[TextItem]:
        return [item for item in self.items if isinstance(item, TextItem)]


def pieces_of(raw: bytes, size: int) -> Iterable[bytes]:
    return (raw[start : start + size] for start in range(0, len(raw), size))


def feed(
    codec: Codec,
    chunks: Iterable[bytes],
    decide: Decide = refuse_bad,
    release: TextRelease = TextRelease.AS_IT_COMES,
) -> Outcome:
    """Feed one streamed answer, to its end."""
    stream = codec.stream(masker(), release)
    outcome = Outcome(b"")
    for chunk in chunks:
        for item in stream.feed(chunk):
            outcome.items.append(item)
            decide(item)
        outcome.raw += stream.take()
    assert stream.tally.stranded or not stream.stranded
    stream.close()
    outcome.raw += stream.take()
    outcome.tally = stream.tally
    assert stream.ended
    return outcome


def streamed(
    api: Api,
    turns: Sequence[Sequence[Block]],
    decide: Decide = refuse_bad,
    release: TextRelease = TextRelease.AS_IT_COMES,
    chunk: int = 7,
    size: int = 1 << 20,
    **more: Json,
) -> Outcome:
    """One streamed exchange with its continuations, as a guard drives it."""
    upstream = Upstream(api, turns, chunk)
    document = split(api.request(stream=True, **more), api.codec.listed)
    stream = api.codec.stream(masker(), release)
    outcome = Outcome(b"")
    for turn in itertools.count():
        for piece in pieces_of(upstream.ask(document.raw, stream=True), size):
            for item in stream.feed(piece):
                outcome.items.append(item)
                decide(item)
            outcome.raw += stream.take()
        assert stream.ended
        if not stream.stranded or turn + 1 == len(turns):
            break
        document = api.codec.continuation(document, stream.message(), stream.tally.refused)
        stream.resume()
    stream.close()
    outcome.raw += stream.take()
    outcome.requests, outcome.tally = upstream.requests, stream.tally
    return outcome


def whole(
    api: Api,
    turns: Sequence[Sequence[Block]],
    decide: Decide = refuse_bad,
    items_of: ItemsOf = masked_items,
    **more: Json,
) -> Outcome:
    """The same for an answer that comes at once."""
    upstream = Upstream(api, turns)
    document: Document = split(api.request(stream=False, **more), api.codec.listed)
    outcome = Outcome(b"")
    final: dict[str, Json] = {}
    for turn in itertools.count():
        raw = upstream.ask(document.raw, stream=False)
        message, shown = parse(raw), parse(raw)
        assert isinstance(shown, dict)
        tally = Tally()
        for item in items_of(api.codec, shown, masker(), tally):
            outcome.items.append(item)
            decide(item)
        assert tally.changed == (dump(shown) != dump(message))
        final = api.codec.join(final, shown) if turn else shown
        outcome.tally = tally
        if not tally.stranded or turn + 1 == len(turns):
            break
        document = api.codec.continuation(document, message, tally.refused)
    outcome.raw, outcome.requests = dump(final), upstream.requests
    return outcome


def events(raw: bytes) -> list[Any]:
    """The JSON of every event."""
    return [json.loads(event.data) for event in EventParser().feed(raw) if event.data and event.data != "[DONE]"]


View = list[tuple[str, Any]]


def view(api: Api, outcome: Outcome, *, stream: bool) -> View:
    """What an agent makes of an answer: its texts, thoughts and calls, in order."""
    read = {
        "anthropic": (anthropic_message, _anthropic_view),
        "chat": (chat_message, _chat_view),
        "responses": (responses_message, _responses_view),
        "gemini": (gemini_message, _gemini_view),
    }
    build, look = read[api.name]
    message = build(events(outcome.raw)) if stream else json.loads(outcome.raw)
    seen: View = []
    for kind, value in look(message):
        if seen and kind == seen[-1][0] and kind in ("text", "thinking") and api.name == "gemini":
            seen[-1] = (kind, seen[-1][1] + value)
        elif value:
            seen.append((kind, value))
    return seen


def anthropic_message(sent: list[Any]) -> Any:
    """Accumulates strictly: one start, contiguous blocks, each stopped, nothing after the end."""
    kinds = [event["type"] for event in sent if event["type"] != "ping"]
    assert kinds[0] == "message_start"
    assert kinds.count("message_start") == kinds.count("message_delta") == kinds.count("message_stop") == 1
    assert kinds[-2:] == ["message_delta", "message_stop"]
    message = dict(sent[0]["message"], content=[])
    arguments = ""
    open_block = -1
    for event in sent:
        match event["type"]:
            case "content_block_start":
                assert (event["index"], open_block) == (len(message["content"]), -1)
                message["content"].append(event["content_block"])
                open_block, arguments = event["index"], ""
            case "content_block_delta":
                assert event["index"] == open_block
                for key, value in event["delta"].items():
                    if key == "partial_json":
                        arguments += value
                    elif key not in ("type", "citation"):
                        block = message["content"][-1]
                        block[key] = block.get(key, "") + value
            case "content_block_stop":
                assert event["index"] == open_block
                open_block = -1
                if arguments:
                    message["content"][-1]["input"] = json.loads(arguments)
            case "message_delta":
                message |= event["delta"]
                message["usage"] |= event["usage"]
    return message


def _anthropic_view(message: Any) -> View:
    return [
        ("call", (block["name"], block["input"])) if "input" in block else (block["type"], block.get(block["type"]))
        for block in message["content"]
    ]


def chat_message(sent: list[Any]) -> Any:
    choices: dict[int, Any] = {}
    usage = None
    assert len({chunk["id"] for chunk in sent}) == 1
    for chunk in sent:
        usage = chunk.get("usage") or usage
        for part in chunk["choices"]:
            choice = choices.setdefault(part["index"], {"index": part["index"], "message": {}, "finish_reason": None})
            assert not (choice["finish_reason"] and part.get("delta"))
            said = choice["message"]
            for key, value in part.get("delta", {}).items():
                if key == "tool_calls":
                    calls = said.setdefault("tool_calls", [])
                    for entry in value:
                        assert entry["index"] <= len(calls)
                        if entry["index"] == len(calls):
                            calls.append({"id": entry["id"], "function": {"name": "", "arguments": ""}})
                        for name, piece in entry["function"].items():
                            calls[entry["index"]]["function"][name] += piece
                elif isinstance(value, str):
                    said[key] = (said.get(key) or "") + value
            choice["finish_reason"] = part.get("finish_reason") or choice["finish_reason"]
    return {"choices": [choices[index] for index in sorted(choices)], "usage": usage}


def _chat_view(message: Any) -> View:
    seen: View = []
    for choice in message["choices"]:
        said = choice["message"]
        seen += [(key, said[key]) for key in ("content", "refusal") if said.get(key)]
        seen += [
            ("call", (call["function"]["name"], json.loads(call["function"]["arguments"])))
            for call in said.get("tool_calls") or []
        ]
    return seen


def responses_message(sent: list[Any]) -> Any:
    """Accumulates strictly: numbered without gaps, deltas agree with what repeats them and with the final response."""
    assert [event["sequence_number"] for event in sent] == list(range(len(sent)))
    assert len({event["response"]["id"] for event in sent if "response" in event}) == 1
    items: list[Any] = []
    texts: dict[Any, str] = {}
    for event in sent:
        kind = event["type"].removeprefix("response.")
        place = (event.get("output_index"), event.get("content_index"), event.get("summary_index"))
        match kind.rpartition("."):
            case _, _, "delta":
                texts[place] = texts.get(place, "") + event["delta"]
            case "output_item", _, "added":
                assert event["output_index"] == len(items)
                items.append(None)
            case "output_item", _, "done":
                items[event["output_index"]] = event["item"]
            case _, _, "done":
                said = event.get("part", event)
                key = next(key for key in ("text", "refusal", "arguments", "input") if key in said)
                assert said[key] == texts.get(place, "")
    assert sent[-1]["type"] in ("response.completed", "response.incomplete")
    assert sent[-1]["response"]["output"] == items
    return sent[-1]["response"]


def _responses_view(message: Any) -> View:
    seen: View = []
    for item in message["output"]:
        if item["type"] in ("message", "reasoning"):
            kind = "text" if item["type"] == "message" else "thinking"
            for part in [*item.get("summary", []), *item.get("content", [])]:
                seen.append((kind, part.get("text") or part.get("refusal")))
        else:
            given = json.loads(item["arguments"]) if "arguments" in item else item["input"]
            seen.append(("call", (item["name"], given)))
    return seen


def gemini_message(sent: list[Any]) -> Any:
    parts = [part for chunk in sent for one in chunk["candidates"] for part in one["content"].get("parts", [])]
    reasons = [one["finishReason"] for chunk in sent for one in chunk["candidates"] if "finishReason" in one]
    assert len(reasons) == 1
    assert len({chunk["responseId"] for chunk in sent}) == 1
    return {
        "candidates": [{"content": {"parts": parts}, "finishReason": reasons[0]}],
        "usageMetadata": sent[-1]["usageMetadata"],
    }


def _gemini_view(message: Any) -> View:
    seen: View = []
    for part in message["candidates"][0]["content"]["parts"]:
        if "functionCall" in part:
            seen.append(("call", (part["functionCall"]["name"], part["functionCall"]["args"])))
        elif "text" in part:
            seen.append(("thinking" if part.get("thought") else "text", part["text"]))
    return seen


def bash(command: str, pieces: tuple[str, ...] | None = None) -> Call:
    return Call("Bash", {"command": command}, pieces)


def sse(*data: Json, named: bool = True) -> bytes:
    """A stream of events; strings are data that is not JSON."""
    raw = b""
    for one in data:
        if named and isinstance(one, dict):
            raw += f"event: {one['type']}\n".encode()
        raw += b"data: " + (one.encode() if isinstance(one, str) else dump(one)) + b"\n\n"
    return raw
