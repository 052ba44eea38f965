"""The report: Markdown tables of what was found and what was not."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from scripts.evaluation.labelled import Text
from scripts.evaluation.scoring import Score

Scores = Mapping[str, Score]
"""How each scanner did, by its name."""


@dataclass(frozen=True, slots=True)
class Results:
    """Of each set its texts and the scores; ``foreign`` is there when the peers are. CPU seconds are of all sets."""

    labelled: Sequence[Text]
    scores: Scores
    shipped: Sequence[Text]
    shipped_scores: Scores
    foreign: Sequence[Text]
    foreign_scores: Scores
    cpu: Mapping[str, float]


def tables(results: Results) -> str:
    """Everything but the table of the rules."""
    megabytes = sum(len(text.content) for text in results.shipped) / 1e6
    secrets = sum(len(text.labels) for text in results.labelled)
    kinds = len({label.kind for text in results.labelled for label in text.labels})
    negatives = sum(not text.labels for text in results.labelled)
    rows = []
    for name, score in results.scores.items():
        formats, of_them = score.claimed
        false = results.shipped_scores[name].false.total()
        rows.append(
            [
                name,
                _share(score.recall),
                _share(score.precision),
                f"{_share(of_them)} ({formats})",
                str(score.false.total()),
                f"{false} ({false / megabytes:.2f})",
                f"{results.cpu[name]:.1f} s",
            ]
        )
    counts = (
        f"{secrets} secrets of {kinds} kinds, each in a text of its own; {negatives} texts without any; and "
        f"{megabytes:.1f} MB in {len(results.shipped)} files that other projects ship."
    )
    parts = [
        counts,
        _table(
            [
                "",
                "recall",
                "precision",
                "recall of the kinds it claims (how many)",
                "false reports",
                "false reports in shipped files (per MB)",
                "CPU",
            ],
            rows,
        ),
        "Recall by kind of text:",
        _by_sort(results.scores),
        "False reports by kind of text, where there are any:",
        _false_by_sort(results.scores),
    ]
    if results.foreign:
        parts += [_foreign(results)]
    return "\n\n".join(parts)


def of_rules(scores: Scores) -> str:
    """A row for each kind of secret: how many there were, what each scanner found, and ciguard's false reports."""
    first, *_ = scores.values()
    rows = []
    for kind in sorted(first.secrets):
        shares = [_share(score.found[kind] / score.secrets[kind]) for score in scores.values()]
        rows.append([f"`{kind}`", str(first.secrets[kind]), *shares, _precision(first, kind)])
    return _table(["kind", "secrets", *(f"recall, {name}" for name in scores), "precision, ciguard"], rows)


def _precision(score: Score, kind: str) -> str:
    return _share(score.found[kind] / max(score.found[kind] + score.false[kind], 1))


def _by_sort(scores: Scores) -> str:
    first, *_ = scores.values()
    rows = [
        [sort, str(number), *(_share(score.found_in[sort] / number) for score in scores.values())]
        for sort, number in sorted(first.secrets_in.items())
    ]
    return _table(["text", "secrets", *scores], rows)


def _false_by_sort(scores: Scores) -> str:
    sorts = sorted({sort for score in scores.values() for sort in score.false_in})
    return _table(
        ["text", *scores], [[sort, *(str(score.false_in[sort]) for score in scores.values())] for sort in sorts]
    )


def _foreign(results: Results) -> str:
    secrets = sum(len(text.labels) for text in results.foreign)
    kinds = len({label.kind for text in results.foreign for label in text.labels})
    rows = [[name, _share(score.recall)] for name, score in results.foreign_scores.items()]
    return (
        f"On Kingfisher's own ground ({secrets} secrets made from its rules' patterns, {kinds} formats, of each "
        "of which it found at least one):\n\n" + _table(["", "recall"], rows)
    )


def _share(share: float) -> str:
    return f"{share:.4f}"


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = ["| " + " | ".join(header) + " |", "|---|" + "---:|" * (len(header) - 1)]
    lines += ["| " + " | ".join(row) + " |" for row in rows]
    return "\n".join(lines)
