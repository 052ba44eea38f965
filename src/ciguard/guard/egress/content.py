"""Bodies of inspected requests and answers: masked, or refused where masking could be got around."""

from __future__ import annotations

import codecs
import hashlib
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from urllib.parse import unquote_to_bytes

from ciguard.codecs.answer import masked_value
from ciguard.codecs.document import dump, parse
from ciguard.codecs.error import WireError
from ciguard.inspect.masking import Masker, Replacement, replaced
from ciguard.operation import Json

LONGEST_RECORDED = 8 * 1024 * 1024
"""Bytes of a text that is recorded whole; of a longer one, as of what is no text, its digest is."""

_TEXT = re.compile(
    r"text/.*|application/(?:.*\+)?(?:json|xml|javascript|ecmascript|x-www-form-urlencoded|x-ndjson|graphql|yaml|toml)"
)
_JSON = re.compile(r"(?:application|text)/(?:.*\+)?json")
_READ_AS_ASCII = re.compile(r"|utf-?8|(?:us-)?ascii|iso-8859-\d+|windows-125\d")
_ESCAPE = re.compile(rb"\\u([0-9a-fA-F]{4})")

RuleMask = Callable[[Json], tuple[Json, tuple[str, ...]]]
"""Applies the policy's mask rules: the value, the same object when nothing was found, and the rules that found."""


class BodyRefusedError(Exception):
    """A body cannot be looked through, or hides a secret; the text is a sentence."""


@dataclass(frozen=True, slots=True)
class MaskedBody:
    """A request body to forward, the kinds that were masked in it, and what the operation's body says of it."""

    raw: bytes
    kinds: tuple[str, ...]
    recorded: dict[str, Json]


def masked_body(body: bytes, content_type: str, masker: Masker, by_rules: RuleMask) -> MaskedBody:
    """``body``, without content coding, to forward; byte for byte the same when nothing is masked.

    What parses as JSON is masked string by string, anything else as text, bytes that are none included. Raises
    :class:`BodyRefusedError` for a charset that hides ASCII, for JSON that is none, and for a secret that is still
    found once escapes are undone.
    """
    if not _READ_AS_ASCII.fullmatch(_charset(content_type)):
        raise BodyRefusedError("Its body is in a charset that cannot be looked through.")
    structured = _masked_json(body, masker, by_rules)
    if structured is None and body and _JSON.fullmatch(_essence(content_type)):
        raise BodyRefusedError("Its body is not the JSON that it says it is.")
    masked, kinds = structured or _masked_text(body, masker, by_rules)
    for view in _unescaped(masked):
        if masker.mask(view.decode("utf-8", "surrogateescape")).kinds:
            raise BodyRefusedError("Its body hides a secret behind escapes.")
    return MaskedBody(masked, kinds, _recorded(masked))


def _masked_json(body: bytes, masker: Masker, by_rules: RuleMask) -> tuple[bytes, tuple[str, ...]] | None:
    try:
        value = parse(body)
    except WireError:
        return None
    masked, kinds = masked_value(value, masker)
    masked, rules = by_rules(masked)
    return (body if masked is value else dump(masked)), (*kinds, *rules)


def _masked_text(body: bytes, masker: Masker, by_rules: RuleMask) -> tuple[bytes, tuple[str, ...]]:
    masked = masker.mask(body.decode("utf-8", "surrogateescape"))
    text, rules = by_rules(masked.text)
    return str(text).encode("utf-8", "surrogateescape"), (*masked.kinds, *rules)


def _unescaped(body: bytes) -> Iterator[bytes]:
    """``body`` as servers may read it: escapes of JSON and of forms undone, UTF-16 read as its ASCII."""
    if b"\\u" in body:
        yield _ESCAPE.sub(lambda match: chr(int(match[1], 16)).encode("utf-8", "replace"), body)
    if b"%" in body:
        yield unquote_to_bytes(body.replace(b"+", b" "))
    if b"\0" in body:
        yield body.replace(b"\0", b"")


def _recorded(body: bytes) -> dict[str, Json]:
    if not body:
        return {}
    if len(body) <= LONGEST_RECORDED and b"\0" not in body:
        try:
            return {"body": body.decode()}
        except UnicodeDecodeError:
            pass
    return {"bytes": len(body), "sha256": hashlib.sha256(body).hexdigest()}


def _essence(content_type: str) -> str:
    return content_type.partition(";")[0].strip().lower()


def _charset(content_type: str) -> str:
    found = re.search(r";\s*charset\s*=\s*\"?([^\";\s]*)", content_type, re.IGNORECASE)
    return found[1].lower() if found else ""


def is_text(content_type: str) -> bool:
    """Whether an answer of this type is text, in which secrets are masked; one without a type is."""
    return not content_type.strip() or _TEXT.fullmatch(_essence(content_type)) is not None


class TextAnswer:
    """Masks the text of an answer as it comes; bytes that are no UTF-8 pass unchanged."""

    def __init__(self, masker: Masker) -> None:
        self._stream = masker.stream()
        self._decoder = codecs.getincrementaldecoder("utf-8")("surrogateescape")
        self._held = ""
        self._released = 0
        self.kinds: list[str] = []

    def feed(self, data: bytes) -> bytes:
        """What of the text may be released after ``data``."""
        text = self._decoder.decode(data)
        self._held += text
        return self._release(self._stream.feed(text) if text else [])

    def finish(self) -> bytes:
        """What is left at the end."""
        text = self._decoder.decode(b"", final=True)
        self._held += text
        found = self._stream.feed(text) if text else []
        return self._release([*found, *self._stream.finish()])

    def _release(self, found: list[Replacement]) -> bytes:
        """The decided part of what is held; offsets of ``found`` count from the beginning of the whole text."""
        self.kinds += [one.kind for one in found]
        here = [
            Replacement(one.start - self._released, one.end - self._released, one.kind, one.placeholder)
            for one in found
        ]
        decided = self._stream.decided - self._released
        released, self._held = self._held[:decided], self._held[decided:]
        self._released += decided
        return replaced(released, here).encode("utf-8", "surrogateescape")
