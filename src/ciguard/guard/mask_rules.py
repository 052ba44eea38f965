"""Applying the policy's ``mask`` rules."""

from __future__ import annotations

from collections.abc import Collection

from ciguard.codecs.document import rewrite
from ciguard.inspect.masking import Replacement, replaced
from ciguard.inspect.placeholder import Placeholders
from ciguard.operation import Json, OperationKind, ResultKind
from ciguard.policy.evaluation import Evaluator


def mask_by_rules(
    value: Json,
    kinds: Collection[OperationKind | ResultKind],
    connection: str,
    evaluator: Evaluator,
    placeholders: Placeholders,
) -> tuple[Json, tuple[str, ...]]:
    """``value``, content of these ``kinds``, with what the rules hide replaced; and the rule of each replacement.

    The same object when no rule found anything.
    """
    if evaluator.masks_nothing:
        return value, ()
    watched = [kind for kind in kinds if evaluator.masks(kind, connection)]
    if not watched:
        return value, ()
    found: list[str] = []

    def change(text: str) -> str:
        for kind in watched:
            spans = evaluator.mask_spans(text, kind, connection)
            found.extend(rule for _, _, rule in spans)
            text = replaced(
                text,
                [
                    Replacement(start, end, rule, placeholders.placeholder(rule, text[start:end]))
                    for start, end, rule in spans
                ],
            )
        return text

    changed = rewrite(value, change)
    return changed, tuple(found)
