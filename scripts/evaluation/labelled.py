"""A text and where in it the secrets are."""

from __future__ import annotations

from dataclasses import dataclass

OPEN, CLOSE = "\ue000", "\ue001"
"""What stands around a secret while its text is put together: characters of private use, which no text has."""


@dataclass(frozen=True, slots=True)
class Label:
    """The characters from ``start`` to ``end`` are a secret of ``kind``."""

    start: int
    end: int
    kind: str


@dataclass(frozen=True, slots=True)
class Text:
    """The content of one file; ``sort`` says what kind of text it is."""

    name: str
    sort: str
    content: str
    labels: tuple[Label, ...] = ()


def labelled(name: str, sort: str, marked: str, kind: str) -> Text:
    """The text of ``marked``, whose secrets stand between :data:`OPEN` and :data:`CLOSE`."""
    content, labels = "", []
    for piece in marked.split(OPEN):
        secret, closed, rest = piece.rpartition(CLOSE)
        if closed:
            labels.append(Label(len(content), len(content) + len(secret), kind))
        content += secret + rest
    return Text(name, sort, content, tuple(labels))
