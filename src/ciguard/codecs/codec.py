"""What every model API's codec offers, free of sockets and of policy."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

import msgspec

from ciguard.codecs.answer import CallItem, Item, Tally, TextItem
from ciguard.codecs.document import Document
from ciguard.inspect.masking import Masker
from ciguard.operation import Json


class Purpose(StrEnum):
    """What an endpoint is for: making an answer, measuring a prompt, listing models, or a sign of life."""

    GENERATE = "generate"
    MEASURE = "measure"
    LIST = "list"
    PING = "ping"


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One method and path that an API has; nothing else is served.

    ``path`` matches the whole undecoded path below the connection; a group ``model`` in it names the model.
    ``query`` holds the parameter names that may be passed on. ``stream`` tells that answers here always stream.
    """

    method: str
    path: re.Pattern[str]
    purpose: Purpose
    query: frozenset[str] = frozenset()
    stream: bool = False


class SayingKind(StrEnum):
    """Who said a text of a request; :attr:`REMOTE` is what no one says but the request asks of the service."""

    PROMPT = "prompt"
    INSTRUCTIONS = "instructions"
    TOOL_RESULT = "tool_result"
    ASSISTANT = "assistant"
    REMOTE = "remote"


class Saying(msgspec.Struct, frozen=True):
    """Texts of one request part by the same speaker; ``id`` names the tool call that a result belongs to."""

    kind: SayingKind
    texts: tuple[str, ...]
    id: str = ""


class AnswerStream(Protocol):
    """A streamed answer on its way to the agent."""

    tally: Tally

    def feed(self, chunk: bytes) -> Iterator[Item]:
        """Take bytes from the upstream; yields each completed item, to be settled before the next is taken.

        A call may be settled later: at the latest when ``SETTLE_ALL`` comes. Fed with nothing, it goes on with what
        was settled meanwhile.

        Raises :class:`~ciguard.codecs.error.WireError` when the stream is not in its API's form.
        """

    def goes_on(self, chunk: bytes) -> bool:
        """Take ``chunk`` if it is an event like the one before and completes no item; else leave it for :meth:`feed`.

        Raises :class:`~ciguard.codecs.error.WireError` like :meth:`feed`.
        """

    def take(self) -> bytes:
        """The bytes that may go to the agent now."""

    @property
    def ended(self) -> bool:
        """Whether the upstream's answer came to its regular end."""

    @property
    def stranded(self) -> bool:
        """Whether the end is being held because every call was refused: resume with another answer, or close."""

    def message(self) -> Json:
        """The upstream's answer so far as one message, unmasked, for :meth:`Codec.continuation`."""

    def unfinished(self) -> list[TextItem]:
        """What was delivered of the texts that have not come to their end."""

    def resume(self) -> None:
        """What is fed from now on is a further answer, to be joined to this one."""

    def close(self) -> None:
        """Let the held end go to the agent."""

    def error(self, message: str) -> bytes:
        """An error that ends this answer: :meth:`Codec.stream_error`, with what clients check it by."""

    def sign_of_life(self) -> bytes:
        """An event without content, for a client that would give up a silent stream."""


class Codec(Protocol):
    """One model API."""

    @property
    def endpoints(self) -> tuple[Endpoint, ...]:
        """What is served."""

    @property
    def listed(self) -> str:
        """The top-level key of a request that holds the conversation."""

    def wants_stream(self, document: Document) -> bool:
        """Whether the request asks for a streamed answer (by its body; the endpoint may say so too)."""

    def sayings(self, label: str, value: Json) -> list[Saying]:
        """Who says what in the request part ``value`` under the top-level key ``label``."""

    def remote(self, label: str, value: Json) -> list[str]:
        """What the request part ``value`` has the service itself do: the texts of the operation ``remote``."""

    def withhold(self, value: Json, id_: str, note: str) -> Json:
        """The request part ``value`` with the content of the tool result for the call ``id_`` replaced by ``note``."""

    def items(self, message: dict[str, Json], masker: Masker, tally: Tally) -> Iterator[Item]:
        """The items of a whole answer, which is changed in place as they are settled.

        Only what they show is masked; :func:`~ciguard.codecs.answer.masked_items` masks all of it.
        """

    def stream(self, masker: Masker, text: TextRelease) -> AnswerStream:
        """A machine for a streamed answer."""

    def continuation(self, document: Document, message: Json, refused: Sequence[CallItem]) -> Document:
        """The request that tells the model why its calls were refused: ``message`` is its answer as it came."""

    def join(self, first: dict[str, Json], second: dict[str, Json]) -> dict[str, Json]:
        """Two whole answers, the second given to a continuation of the first, as one."""

    def credential_headers(self, credential: str) -> dict[str, str]:
        """The headers that authenticate to the upstream."""

    def error(self, status: int, message: str) -> bytes:
        """A JSON error body in the API's own form."""

    def stream_error(self, message: str) -> bytes:
        """The same in the middle of an event stream."""


class TextRelease(StrEnum):
    """When streamed text goes on to the agent: as it comes, or when its block is complete and was decided."""

    AS_IT_COMES = "as it comes"
    WHEN_COMPLETE = "when complete"
