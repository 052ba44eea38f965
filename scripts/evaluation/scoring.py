"""How a scanner did: a secret is found when a report overlaps with it, a report is false when it overlaps with none.

Reports that overlap with each other count as one, and several of the same secret too. What a report calls the secret
makes no difference.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from scripts.evaluation.labelled import Label, Text

Findings = Mapping[str, Sequence[Label]]
"""What a scanner reported, by the name of the text."""

FRAGMENT = 8
"""Characters of a secret in a row that are too many to be left."""


@dataclass(slots=True)
class Score:
    """Counts over a set of texts: of secrets by kind and by sort of text, and of false reports likewise."""

    secrets: Counter[str] = field(default_factory=Counter)
    found: Counter[str] = field(default_factory=Counter)
    false: Counter[str] = field(default_factory=Counter)
    secrets_in: Counter[str] = field(default_factory=Counter)
    found_in: Counter[str] = field(default_factory=Counter)
    false_in: Counter[str] = field(default_factory=Counter)
    cut: int = 0

    @property
    def recall(self) -> float:
        """The share of the secrets that was found."""
        return self.found.total() / max(self.secrets.total(), 1)

    @property
    def precision(self) -> float:
        """The share of true reports among all."""
        return self.found.total() / max(self.found.total() + self.false.total(), 1)

    @property
    def claimed(self) -> tuple[int, float]:
        """Of how many kinds at least one secret was found, and the share that was found of theirs."""
        kinds = [kind for kind in self.secrets if self.found[kind]]
        return len(kinds), sum(self.found[kind] for kind in kinds) / max(sum(self.secrets[kind] for kind in kinds), 1)


def score(texts: Iterable[Text], findings: Findings) -> Score:
    """Compare ``findings`` with the labels of ``texts``."""
    counted = Score()
    for text in texts:
        reports = _merged(findings.get(text.name, ()))
        for label in text.labels:
            on_it = [one for one in reports if _overlap(one, label)]
            counted.secrets[label.kind] += 1
            counted.secrets_in[text.sort] += 1
            counted.found[label.kind] += bool(on_it)
            counted.found_in[text.sort] += bool(on_it)
            counted.cut += bool(on_it) and _left(label, on_it) >= FRAGMENT
        for one in reports:
            if not any(_overlap(one, label) for label in text.labels):
                counted.false[one.kind] += 1
                counted.false_in[text.sort] += 1
    return counted


def _overlap(one: Label, other: Label) -> bool:
    return one.start < other.end and other.start < one.end


def _merged(reports: Iterable[Label]) -> list[Label]:
    merged: list[Label] = []
    for one in sorted(reports, key=lambda report: (report.start, -report.end)):
        if merged and one.start < merged[-1].end:
            merged[-1] = Label(merged[-1].start, max(merged[-1].end, one.end), merged[-1].kind)
        else:
            merged.append(one)
    return merged


def _left(label: Label, reports: Sequence[Label]) -> int:
    """The most characters in a row of the secret that no report covers."""
    position, left = label.start, 0
    for one in reports:
        left = max(left, one.start - position)
        position = one.end
    return max(left, label.end - position)
