"""What a model's answer is made of, whichever API it came by.

A codec hands out the items of an answer one at a time, already masked; whoever drives it settles each before taking the
next. A call must be settled: one that was neither allowed nor refused never leaves.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from ciguard.codecs.document import dump, parse, rewrite
from ciguard.codecs.error import WireError
from ciguard.inspect.masking import Masker
from ciguard.operation import Json


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


Item = CallItem | TextItem


@dataclass(slots=True)
class Tally:
    """How the calls of one answer that are the agent's to carry out were settled, and the tokens it used.

    ``resumable`` is false for an answer that cannot be joined with a further one, such as one with several choices.
    """

    resumable: bool = True
    allowed: int = 0
    refused: list[CallItem] = field(default_factory=list)
    input_tokens: int = 0
    output_tokens: int = 0

    def settle(self, item: CallItem) -> None:
        """Count a settled call. Raises :class:`WireError` when it was left unsettled."""
        if not item.settled:
            raise WireError("a tool call was left undecided")
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


def masked_value(value: Json, masker: Masker) -> tuple[Json, tuple[str, ...]]:
    """``value`` with every string masked (object keys too), and the kinds found; the same object when nothing was."""
    kinds: list[str] = []

    def change(text: str) -> str:
        masked = masker.mask(text)
        kinds.extend(masked.kinds)
        return masked.text

    changed = rewrite(value, change)
    return changed, tuple(kinds)


def call_from_json(id_: str, name: str, arguments: str, masker: Masker, side: Side = Side.AGENT) -> CallItem:
    """A call whose arguments came as JSON text; empty text is an empty object."""
    try:
        value = parse(arguments) if arguments.strip() else {}
    except WireError as error:
        masked = masker.mask(arguments)
        return CallItem(id_, name, masked.text, masked.kinds, side, f"its arguments cannot be read: {error}")
    return call_from_value(id_, name, value, masker, side)


def call_from_value(id_: str, name: str, value: Json, masker: Masker, side: Side = Side.AGENT) -> CallItem:
    """A call whose input came as a JSON value."""
    masked, kinds = masked_value(value, masker)
    return CallItem(id_, name, masked, kinds, side, original=value)


def mask_text(holder: dict[str, Json], key: str, part: str, masker: Masker) -> Iterator[TextItem]:
    """Mask the text ``holder[key]`` of a whole answer in place; yields it when there is any."""
    text = holder.get(key)
    if isinstance(text, str) and text:
        masked = masker.mask(text)
        item = TextItem(part, masked.text, masked.kinds)
        yield item
        holder[key] = masked.text if item.replacement is None else item.replacement


def mask_message(message: dict[str, Json], masker: Masker) -> None:
    """Mask every string of ``message``, which stays the same object."""
    masked, kinds = masked_value(message, masker)
    if kinds and isinstance(masked, dict):
        message.clear()
        message.update(masked)


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
    return value if isinstance(value, int) and not isinstance(value, bool) else 0


def texts_in(values: Iterable[Json]) -> tuple[str, ...]:
    """The strings that carry content in ``values``: all of them but those of structural keys."""
    found: list[str] = []
    pending = list(values)[::-1]
    while pending:
        match pending.pop():
            case str() as text:
                found.append(text)
            case list() as items:
                pending.extend(reversed(items))
            case dict() as pairs:
                pending.extend(value for key, value in reversed(pairs.items()) if key not in STRUCTURAL)
            case _:
                continue
    return tuple(text for text in found if text)


STRUCTURAL = frozenset(
    {"type", "role", "id", "tool_use_id", "call_id", "tool_call_id", "cache_control", "signature", "encrypted_content"}
    | {"thoughtSignature", "thought_signature", "media_type", "mime_type", "mimeType", "status", "data", "detail"}
)
"""Keys whose strings say how content is packed, not what it says; policy does not read them, masking does."""


def usage_tokens(usage: Mapping[str, Json], *names: str) -> int:
    """The sum of the token counts that ``usage`` has under ``names``."""
    return sum(number_of(usage.get(name)) for name in names)
