"""What a model's answer is made of, whichever API it came by.

A codec hands out the items of an answer one at a time, already masked; whoever drives it settles each before taking the
next. Only a call may be left for later, until :data:`SETTLE_ALL` comes. A call must be settled: one that was neither
allowed nor refused never leaves.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING

from ciguard.codecs.document import dump, parse, rewrite
from ciguard.codecs.error import WireError
from ciguard.codecs.fields import mask_fields, mask_message_fields
from ciguard.codecs.passage import Passage, masked_text
from ciguard.inspect.masking import Masked, Masker
from ciguard.inspect.names import TooMuchToReadError
from ciguard.operation import Json, strings

if TYPE_CHECKING:
    from ciguard.codecs.codec import Codec


class Side(StrEnum):
    """Who carries a tool call out: the agent, or the model's own service (which has done so already)."""

    AGENT = "agent"
    SERVICE = "service"


@dataclass(slots=True, eq=False)
class CallItem:
    """A complete tool call.

    ``input`` is masked, ``original`` is not; ``kinds`` names the secrets that were in it. ``problem`` says why the call
    cannot be read and is empty when it can; a call with a problem must be refused.
    """

    id: str
    name: str
    input: Json
    kinds: tuple[str, ...] = ()
    side: Side = Side.AGENT
    problem: str = ""
    original: Json = field(default=None, repr=False)
    settled: bool = False
    note: str = ""

    def allow(self) -> None:
        """Let the call reach the agent."""
        self.settled = True

    def refuse(self, note: str) -> None:
        """Put ``note`` (a text, not empty) where the call was."""
        self.settled = True
        self.note = note


@dataclass(slots=True, eq=False)
class TextItem:
    """A complete text of the answer, masked; ``part`` says what it is: ``text``, ``thinking``, ``refusal``, ..."""

    part: str
    text: str
    kinds: tuple[str, ...] = ()
    replacement: str | None = None

    def replace(self, text: str) -> None:
        """Deliver ``text`` instead; only for texts that were held to their end."""
        self.replacement = text


class Barrier(StrEnum):
    """A place in an answer."""

    SETTLE_ALL = "settle all"


SETTLE_ALL = Barrier.SETTLE_ALL
"""Comes where nothing further can be told before every call that was handed out is settled."""

Item = CallItem | TextItem | Barrier


@dataclass(slots=True)
class Tally:
    """How the calls of one answer that are the agent's to carry out were settled, and the tokens it used.

    ``resumable`` is false for an answer that cannot be joined with a further one, such as one with several choices.
    ``changed`` says of a whole answer that the agent gets another one than came.
    """

    resumable: bool = True
    changed: bool = False
    allowed: int = 0
    refused: list[CallItem] = field(default_factory=list)
    input_tokens: int = 0
    output_tokens: int = 0

    def settle(self, item: CallItem) -> None:
        """Count a settled call.

        Raises :class:`WireError` when it was left unsettled, or allowed although it cannot be read.
        """
        if not item.settled:
            raise WireError("a tool call was left undecided")
        if item.problem and not item.note:
            raise WireError("a tool call that cannot be read was allowed")
        if item.side is Side.SERVICE:
            return
        if item.note:
            self.refused.append(item)
        else:
            self.allowed += 1

    @property
    def stranded(self) -> bool:
        """Whether calls were refused and none is left that would make the agent go on."""
        return self.resumable and bool(self.refused) and not self.allowed


def settled(item: CallItem, tally: Tally) -> Iterator[CallItem | Barrier]:
    """Hand out a call that has to be settled now; see :meth:`Tally.settle`."""
    yield item
    if not item.settled:
        yield SETTLE_ALL
    tally.settle(item)


def masked_items(codec: Codec, message: dict[str, Json], masker: Masker, tally: Tally) -> Iterator[Item]:
    """The items of a whole answer, which is changed in place as they are settled, and masked after the last one.

    Raises :class:`WireError` where it is not in its API's form.
    """
    came, lessons = dump(message), masker.lessons
    clean = masker.look_through(strings(message))
    yield from codec.items(message, masker, tally)
    if clean and masker.lessons == lessons and dump(message) == came:
        return
    masked, kinds = masked_value(message, masker)
    if kinds and isinstance(masked, dict):
        message.clear()
        message.update(masked)
    tally.changed = dump(message) != came


def masked_value(value: Json, masker: Masker) -> tuple[Json, tuple[str, ...]]:
    """``value`` with every string masked (object keys too), and the kinds found; the same object when nothing was."""
    value, fields = mask_message_fields(value, masker)
    value, secrets = with_masked(value, masker.mask_each(strings(value)))
    return value, (*fields, *secrets)


def named_texts(texts: Iterable[str], masker: Masker) -> Mapping[str, Masked]:
    """Those of ``texts``, contents of a message, that have names which the policy has masked, with these masked.

    Raises :class:`WireError` when there are too many characters to look through.
    """
    if masker.names is None:
        return {}
    try:
        return masker.names.mask_each(texts)
    except TooMuchToReadError as error:
        raise WireError(str(error)) from None


def with_masked(value: Json, found: Mapping[str, Masked]) -> tuple[Json, tuple[str, ...]]:
    """``value`` with what is ``found`` in its strings masked, and the kinds; the same object if nothing was."""
    if not found:
        return value, ()
    kinds: list[str] = []

    def change(text: str) -> str:
        masked = found.get(text)
        if masked is None:
            return text
        kinds.extend(masked.kinds)
        return masked.text

    changed = rewrite(value, change)
    return changed, tuple(kinds)


def call_from_json(id_: str, name: str, arguments: str, masker: Masker, side: Side = Side.AGENT) -> CallItem:
    """A call whose arguments came as JSON text; empty text is an empty object."""
    try:
        value = parse(arguments) if arguments.strip() else {}
    except WireError as error:
        masked = masked_text(arguments, masker)
        item = _call(id_, name, masked.text, masked.kinds, side, masker)
        item.problem = f"its arguments cannot be read: {error}"
        return item
    return call_from_value(id_, name, value, masker, side)


def call_from_value(id_: str, name: str, value: Json, masker: Masker, side: Side = Side.AGENT) -> CallItem:
    """A call whose input came as a JSON value."""
    given, fields = mask_fields(value, masker)
    masked, kinds = masked_value(given, masker)
    masked, names = with_masked(masked, named_texts(strings(masked), masker))
    item = _call(id_, name, masked, (*fields, *kinds, *names), side, masker)
    item.original = value
    return item


def _call(id_: str, name: str, given: Json, kinds: tuple[str, ...], side: Side, masker: Masker) -> CallItem:
    labels = [masker.mask(id_), masker.mask(name)]
    hidden = tuple(kind for label in labels for kind in label.kinds)
    problem = "there is a secret in its name or its id" if hidden else ""
    return CallItem(labels[0].text, labels[1].text, given, (*kinds, *hidden), side, problem)


def mask_texts(
    places: Sequence[tuple[Hashable, dict[str, Json], str]], part: str, masker: Masker
) -> Iterator[TextItem]:
    """Mask in place a text of a whole answer that ``places`` make up: block, object and key; yields it if not empty."""
    if len(places) == 1 and masker.names is None:
        _, holder, key = places[0]
        text = holder.get(key)
        if isinstance(text, str) and text and masker.is_clean(text):
            item = TextItem(part, text)
            yield item
            if item.replacement is not None and item.replacement != text:
                holder[key] = item.replacement
                drop_logprobs(holder)
            return
    passage = Passage(part, masker)
    pieces: list[tuple[int, str]] = []
    for block, holder, key in places:
        text = text_of(holder.get(key))
        pieces.append((passage.length, text))
        passage.add(block, text)
    passage.finish()
    if not passage.length:
        return
    item = TextItem(part, passage.masked, passage.kinds)
    yield item
    for place, ((start, text), (_, holder, key)) in enumerate(zip(pieces, places, strict=True)):
        replacement = item.replacement if not place or item.replacement is None else ""
        delivered = passage.edited(start, text) if replacement is None else replacement
        if delivered != text:
            holder[key] = delivered
            drop_logprobs(holder)


def mask_text(holder: dict[str, Json], key: str, part: str, masker: Masker) -> Iterator[TextItem]:
    """The same for a text that stands on its own."""
    yield from mask_texts([(key, holder, key)], part, masker)


def drop_logprobs(value: Json) -> None:
    """Empty the lists that repeat a text token by token: they would give away what was masked in it."""
    pending = [value]
    while pending:
        here = pending.pop()
        if isinstance(here, dict):
            for key in _LOGPROBS & here.keys():
                here[key] = [] if isinstance(here[key], list) else None
        if isinstance(here, dict | list):
            inner = here.values() if isinstance(here, dict) else here
            pending.extend(one for one in inner if isinstance(one, dict | list))


_LOGPROBS = frozenset({"logprobs", "logprobsResult"})


def masked_json(arguments: str, item: CallItem) -> str:
    """The JSON text to deliver for an allowed call: ``arguments`` itself unless something in it was masked."""
    return dump(item.input).decode() if item.kinds else arguments


def text_of(value: Json) -> str:
    """``value`` when it is a string, else the empty string."""
    return value if isinstance(value, str) else ""


def object_of(value: Json) -> dict[str, Json]:
    """``value`` when it is an object, else an empty one."""
    return value if isinstance(value, dict) else {}


def list_of(value: Json) -> list[Json]:
    """``value`` when it is a list, else an empty one."""
    return value if isinstance(value, list) else []


def number_of(value: Json) -> int:
    """``value`` when it is a whole number, else 0."""
    return value if type(value) is int else 0  # a truth value is an int, too


def texts_in(values: Iterable[Json]) -> tuple[str, ...]:
    """The strings of message parts that carry content: all of them but those that say how content is packed."""
    found: list[str] = []
    pending = list(values)[::-1]
    while pending:
        match pending.pop():
            case str() as text:
                found.append(text)
            case list() as items:
                pending.extend(reversed(items))
            case dict() as pairs:
                pending.extend(value for key, value in reversed(pairs.items()) if not _is_packing(pairs, key, value))
            case _:
                continue
    return tuple(text for text in found if text)


PACKING = frozenset(
    {"type", "role", "id", "tool_use_id", "call_id", "tool_call_id", "cache_control", "signature", "encrypted_content"}
    | {"thoughtSignature", "thought_signature", "media_type", "mime_type", "mimeType"}
)
"""Keys whose strings say how content is packed, not what it says; policy does not read them, masking does."""

_BYTES = frozenset({"data", "url", "image_url", "file_data"})
_SETTINGS = {
    "detail": frozenset({"auto", "low", "high", "original"}),
    "status": frozenset({"in_progress", "completed", "incomplete"}),
}


def _is_packing(pairs: dict[str, Json], key: str, value: Json) -> bool:
    """Whether ``pairs[key]`` is no text: a label, a setting, or bytes in base64 (a plain text can be ``data`` too)."""
    if key in PACKING or (isinstance(value, str) and value in _SETTINGS.get(key, ())):
        return True
    if key not in _BYTES or not isinstance(value, str):
        return False
    return value.startswith("data:") or (key == "data" and pairs.get("type") != "text")


def all_texts(value: Json) -> tuple[str, ...]:
    """Every string of a value that has no form of its own, such as what a tool returned; object keys included."""
    return tuple(text for text in strings(value) if text)


def usage_tokens(usage: Mapping[str, Json], *names: str) -> int:
    """The sum of the token counts that ``usage`` has under ``names``."""
    tokens = 0
    for name in names:
        tokens += number_of(usage.get(name))
    return tokens
