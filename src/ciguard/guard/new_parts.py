"""The parts of a request that were not seen before: read, their secrets and names masked, and who says what in them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import msgspec

from ciguard.codecs.answer import named_texts, with_masked
from ciguard.codecs.codec import Codec, Saying, SayingKind
from ciguard.codecs.document import Document, Part
from ciguard.codecs.fields import mask_message_fields
from ciguard.inspect.masking import Masker
from ciguard.operation import Json, strings


class NewPart(msgspec.Struct, frozen=True):
    """A part that was not seen before: its value, the same masked, the kinds of what was, and who says what in it."""

    part: Part
    original: Json
    masked: Json
    kinds: tuple[str, ...]
    sayings: Sequence[Saying]


def read_new(codec: Codec, document: Document, places: Iterable[int], masker: Masker) -> list[NewPart]:
    """The parts at ``places`` of ``document``.

    Raises :class:`~ciguard.codecs.error.WireError` when one cannot be read.
    """
    read = [(document.parts[place], document.read(place)) for place in places]
    masked = [mask_message_fields(value, masker) for _, value in read]
    secrets = masker.mask_each(strings([value for value, _ in masked]))
    new: list[NewPart] = []
    for (part, original), (given, fields) in zip(read, masked, strict=True):
        value, kinds = with_masked(given, secrets)
        new.append(NewPart(part, original, value, (*fields, *kinds), _sayings(codec, part, value)))
    return new if masker.names is None else _nameless(codec, new, masker)


def _nameless(codec: Codec, new: list[NewPart], masker: Masker) -> list[NewPart]:
    """``new`` with the names masked in what was said. Instructions keep theirs: they define tools, too."""
    said = [{text for saying in one.sayings if saying.kind in _SAID for text in saying.texts} for one in new]
    named = named_texts((text for texts in said for text in texts), masker)
    changed: list[NewPart] = []
    for one, texts in zip(new, said, strict=True):
        value, kinds = with_masked(one.masked, {text: named[text] for text in texts & named.keys()})
        sayings = one.sayings if value is one.masked else _sayings(codec, one.part, value)
        changed.append(NewPart(one.part, one.original, value, (*one.kinds, *kinds), sayings))
    return changed


_SAID = frozenset({SayingKind.PROMPT, SayingKind.TOOL_RESULT, SayingKind.ASSISTANT})
"""Who says what names are masked in."""


def _sayings(codec: Codec, part: Part, value: Json) -> Sequence[Saying]:
    """Who says what in ``value``, which stands for ``part``, and what it asks of the model's service."""
    sayings = codec.sayings(part.label, value)
    if remote := tuple(dict.fromkeys(codec.remote(part.label, value))):
        sayings.append(Saying(SayingKind.REMOTE, remote))
    return sayings
