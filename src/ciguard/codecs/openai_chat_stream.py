"""The chunks of a streamed chat completion.

Source: https://platform.openai.com/docs/api-reference/chat-streaming.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Collection, Iterator
from functools import partial

from ciguard.codecs.answer import SETTLE_ALL, CallItem, Item, list_of, number_of, object_of, text_of, usage_tokens
from ciguard.codecs.error import WireError
from ciguard.codecs.held_event import HeldEvent
from ciguard.codecs.hold import HoldingStream
from ciguard.codecs.openai_chat_call import (
    CALL_FORMS,
    CALL_KEYS,
    INPUT,
    LEGACY,
    OUTPUT,
    call_of,
    joined_usage,
    part_of,
    refuse_hidden_in,
    stopped,
    written,
)
from ciguard.codecs.unknown import LABELS, refuse_hidden_calls, said_in
from ciguard.inspect.masking import Masker
from ciguard.operation import Json


class ChatReader:
    """See :class:`ciguard.codecs.hold.Reader`. Calls are complete when their choice is."""

    varying: Collection[str] = ("usage", "obfuscation")

    def __init__(self, masker: Masker, error: Callable[[str], bytes]) -> None:
        self._masker = masker
        self._error = error
        self._said: dict[int, dict[str, Json]] = {}
        self._finished: set[int] = set()
        self._calls: dict[int, dict[int, dict[str, Json]]] = {}
        self._entries: dict[tuple[int, int], list[tuple[HeldEvent, dict[str, Json]]]] = {}
        self._id: Json = None
        self._usage: Json = None
        self._usage_before: Json = None
        self._before = False

    def read(self, event: HeldEvent, stream: HoldingStream) -> Iterator[Item]:
        if event.is_end_mark:
            yield from self._finish_all(event, stream)
            stream.ended = True
            stream.end(event)
            return
        if event.data.get("error"):
            yield from stream.end_texts()
            for index in self._calls:
                stream.drop(stream.free(index))
            stream.ended = True
            return
        refuse_hidden_calls([value for key, value in event.data.items() if key != "choices"])
        self._count(event.data, stream)
        choices = event.data.get("choices") or []
        if not isinstance(choices, list):
            raise WireError("a chunk has no choices")
        for choice in choices:
            if not isinstance(choice, dict):
                raise WireError("a choice of the stream is not an object")
            yield from self._choice(choice, event, stream)
        if not choices:
            stream.end(event)
        elif stream.tally.stranded and object_of(choices[0]).get("finish_reason"):
            self._part_from_end(object_of(choices[0]), event, stream)

    def _count(self, data: dict[str, Json], stream: HoldingStream) -> None:
        """Some services send the usage with every chunk, as it stands then."""
        if isinstance(usage := data.get("usage"), dict):
            before, after = usage_tokens(object_of(self._usage), *INPUT), usage_tokens(usage, *INPUT)
            stream.tally.input_tokens += after - before
            before, after = usage_tokens(object_of(self._usage), *OUTPUT), usage_tokens(usage, *OUTPUT)
            stream.tally.output_tokens += after - before
            self._usage = copy.deepcopy(usage)

    def _choice(self, choice: dict[str, Json], event: HeldEvent, stream: HoldingStream) -> Iterator[Item]:
        index = number_of(choice.get("index"))
        if index not in self._said:
            self._said[index] = {"role": "assistant"}
            if len(self._said) > 1:
                stream.tally.resumable = False
                stream.let_end()
        delta = choice.get("delta")
        if not isinstance(delta, dict) and delta is not None:
            raise WireError("a piece of the stream is not an object")
        if index in self._finished and delta:
            raise WireError("a choice of the stream goes on after its end")
        if delta is None:
            delta = {}
        refuse_hidden_in(choice, delta)
        self._delta(index, delta, event, stream)
        if choice.get("finish_reason"):
            self._finished.add(index)
            yield from self._finish(index, choice, event, stream)

    def _delta(self, choice: int, delta: dict[str, Json], event: HeldEvent, stream: HoldingStream) -> None:
        said = self._said[choice]
        if self._before and delta.pop("role", None):
            event.changed = True
        for key, value in delta.items():
            if isinstance(value, str) and key not in LABELS:
                said[key] = text_of(said.get(key)) + value
                if self._before and key == "content" and value and said[key] == value:
                    gap: Json = {"index": choice, "delta": {"content": "\n\n"}, "finish_reason": None}
                    stream.insert(event, [self._chunk(event, gap)])
                more = partial(self._more, choice, key, stream) if _is_one_text(event.data, key) else None
                stream.text((choice, key), key, part_of(key), event, delta, key, None if self._before else more)
            elif key not in CALL_KEYS and isinstance(value, dict | list):
                for path, holder, name in list(said_in(value)):
                    stream.text((choice, key, *path), path, part_of(name), event, holder, name)
        if isinstance(legacy := delta.get("function_call"), dict):
            self._call_delta(choice, LEGACY, {"function": legacy}, delta, event, stream)
        for entry in list_of(delta.get("tool_calls")):
            if not isinstance(entry, dict):
                raise WireError("a tool call of the stream is not an object")
            index = entry.get("index", 0)
            if not isinstance(index, int) or index < 0:
                raise WireError("a tool call of the stream has no number")
            self._call_delta(choice, index, entry, entry, event, stream)

    def _more(self, choice: int, key: str, stream: HoldingStream, text: str, data: dict[str, Json]) -> None:
        said = self._said[choice]
        said[key] = text_of(said.get(key)) + text
        self._count(data, stream)

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
                    if piece is not None and not isinstance(piece, str):
                        raise WireError("a piece of a tool call is not a text")
                    described[name] = text_of(described.get(name)) + (piece or "")
            elif key != "index" and value:
                call[key] = copy.deepcopy(value)
        self._entries.setdefault((choice, index), []).append((event, place))
        stream.hold(event, choice)

    def _finish_all(self, event: HeldEvent, stream: HoldingStream) -> Iterator[Item]:
        for index in [known for known in self._said if known not in self._finished]:
            yield from self._finish(index, None, event, stream)
        yield from stream.end_texts()

    def _finish(
        self, index: int, ending: dict[str, Json] | None, event: HeldEvent, stream: HoldingStream
    ) -> Iterator[Item]:
        """The choice is complete; ``ending`` is the part of ``event`` that said so, if any did."""
        yield from stream.end_texts_of(index)
        calls = self._calls.pop(index, {})
        reason = ending.get("finish_reason") if ending else "length"
        items: dict[int, CallItem] = {}
        for number, call in sorted(calls.items()):
            items[number] = item = call_of(call, self._masker, reason)
            if ending is None:
                item.problem = item.problem or "it was cut off"
            yield item
        if not all(item.settled for item in items.values()):
            yield SETTLE_ALL
        kept = 0
        for number, item in items.items():
            stream.tally.settle(item)
            self._deliver(index, number, item, kept)
            kept += number != LEGACY and not item.note
        if not calls:
            return
        if LEGACY in calls:
            self._said[index]["function_call"] = calls.pop(LEGACY).get("function")
        if calls:
            self._said[index]["tool_calls"] = [call for _, call in sorted(calls.items())]
        stream.free(index)
        notes = [item.note for item in items.values() if item.note]
        if notes:
            self._tell(index, notes, ending, event, stream)
            if len(notes) == len(items) and ending is not None:
                ending["finish_reason"] = stopped(reason)
                event.changed = True

    def _tell(
        self, index: int, notes: list[str], ending: dict[str, Json] | None, event: HeldEvent, stream: HoldingStream
    ) -> None:
        """Put the notes behind the text of the choice, the last of which ``event`` may bring."""
        text = "\n\n".join([*([""] if self._said[index].get("content") else []), *notes])
        delta = object_of(ending.get("delta")) if ending else {}
        if isinstance(last := delta.get("content"), str):
            event.put(delta, "content", last + text)
            return
        note: Json = {"index": index, "delta": {"content": text}, "finish_reason": None}
        stream.insert(event, [self._chunk(event, note)])

    def _chunk(self, like: HeldEvent, choice: Json) -> dict[str, Json]:
        """A further chunk of the answer."""
        head = like.data or {"id": self._id, "object": "chat.completion.chunk", "created": 0, "model": ""}
        return {**{key: value for key, value in head.items() if key != "usage"}, "choices": [choice]}

    def _deliver(self, choice: int, index: int, item: CallItem, new_index: int) -> None:
        """Take a refused call out of the chunks that it came in; mask and renumber an allowed one."""
        rest = written(item)
        for event, entry in self._entries.pop((choice, index)):
            if item.note:
                _take_out(event, entry)
                continue
            if index != LEGACY and entry.get("index") != new_index and (index or "index" in entry):
                entry["index"] = new_index
                event.changed = True
            for form, key in CALL_FORMS.items():
                described = entry.get(form) or entry.get(f"{form}_call")
                if isinstance(described, dict) and isinstance(given := described.get(key), str):
                    event.put(described, key, rest if item.kinds else given)
                    rest = ""

    def _part_from_end(self, choice: dict[str, Json], event: HeldEvent, stream: HoldingStream) -> None:
        """Take the end out of ``event`` and keep it back."""
        ending: list[Json] = [{"index": 0, "delta": {}, "finish_reason": choice["finish_reason"]}]
        stream.end_apart(event, {**event.data, "choices": ending})
        choice["finish_reason"] = None
        event.data.pop("usage", None)

    def release(self, event: HeldEvent, stream: HoldingStream) -> None:
        if "id" in event.data:
            if self._id is None:
                self._id = event.data["id"]
            if event.data["id"] != self._id:
                event.data["id"] = self._id
                event.changed = True
        if self._usage_before and isinstance(usage := event.data.get("usage"), dict):
            event.data["usage"] = joined_usage(self._usage_before, usage)
            event.changed = True

    def message(self) -> Json:
        return {"choices": [{"index": index, "message": said} for index, said in sorted(self._said.items())]}

    def resume(self) -> None:
        self._before = True
        self._usage_before = joined_usage(self._usage_before, self._usage)
        self._usage = None
        self._said.clear()
        self._finished.clear()

    def error(self, message: str) -> bytes:
        return self._error(message)

    def sign_of_life(self) -> bytes:
        """A comment: to clients of this API every byte is life, and many want a choice in every chunk."""
        return b": waiting for approval\n\n"


def _is_one_text(chunk: dict[str, Json], key: str) -> bool:
    """Whether ``chunk`` says a piece of the text ``key`` and nothing else."""
    match chunk:
        case {"choices": [{"delta": dict() as delta}]}:
            return all(
                value is None or name == key or (name in LABELS and isinstance(value, str))
                for name, value in delta.items()
            )
        case _:
            return False


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
