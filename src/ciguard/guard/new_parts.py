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
    """A part that was not seen before: its place among the others, its value, the same masked, the strings in that, the
    kinds of what was masked, and who says what in it."""

    place: int
    part: Part
    original: Json
    masked: Json
    texts: list[str]
    kinds: tuple[str, ...]
    sayings: Sequence[Saying]


def read_new(codec: Codec, document: Document, places: Iterable[int], masker: Masker) -> list[NewPart]:
    """The parts at ``places`` of ``document``.

    Raises :class:`~ciguard.codecs.error.WireError` when one cannot be read.
    """
    read: list[tuple[int, Part, Json, Json, tuple[str, ...], list[str]]] = []
    every: list[str] = []
    for place in places:
        part, original = document.parts[place], document.read(place)
        given, fields = mask_message_fields(original, masker)
        texts = strings(given)
        every += texts
        read.append((place, part, original, given, fields, texts))
    secrets = masker.mask_each(every)
    new: list[NewPart] = []
    for place, part, original, given, fields, texts in read:
        value, kinds = with_masked(given, secrets)
        said = texts if value is given else strings(value)
        new.append(NewPart(place, part, original, value, said, (*fields, *kinds), _sayings(codec, part, value)))
    return new if masker.names is None else _nameless(codec, new, masker)


def _nameless(codec: Codec, new: list[NewPart], masker: Masker) -> list[NewPart]:
    """``new`` with the names masked in what was said. Instructions keep theirs: they define tools, too."""
    said = [{text for saying in one.sayings if saying.kind in _SAID for text in saying.texts} for one in new]
    named = named_texts((text for texts in said for text in texts), masker)
    changed: list[NewPart] = []
    for one, texts in zip(new, said, strict=True):
        value, kinds = with_masked(one.masked, {text: named[text] for text in texts & named.keys()})
        if value is one.masked:
            changed.append(one)
            continue
        sayings, all_kinds = _sayings(codec, one.part, value), (*one.kinds, *kinds)
        changed.append(NewPart(one.place, one.part, one.original, value, strings(value), all_kinds, sayings))
    return changed


_SAID = frozenset({SayingKind.PROMPT, SayingKind.TOOL_RESULT, SayingKind.ASSISTANT})
"""Who says what names are masked in."""


def _sayings(codec: Codec, part: Part, value: Json) -> Sequence[Saying]:
    """Who says what in ``value``, which stands for ``part``, and what it asks of the model's service."""
    sayings = codec.sayings(part.label, value)
    if remote := codec.remote(part.label, value):
        sayings.append(Saying(SayingKind.REMOTE, tuple(dict.fromkeys(remote))))
    return sayings
