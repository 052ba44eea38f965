"""What a secret looks like: the value type of the rules that the masking engine applies."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from ciguard.inspect.candidate import holds_one_of
from ciguard.inspect.pattern import PatternRefused, character_set, parse

WORD = "A-Za-z0-9"
"""The usual ``before``: what a token does not begin in the middle of."""


class Category(StrEnum):
    """Why a match is masked."""

    SECRET = "secret"
    PERSONAL = "personal"


@dataclass(frozen=True, slots=True)
class SecretRule:
    """One format of a secret, or of personal data.

    ``kind`` (kebab-case) names it in placeholders and in the log. ``pattern`` is an expression in the language of
    :mod:`ciguard.inspect.pattern`; what it matches, or the group ``secret`` in it, is masked. Every match contains one
    of ``literals`` (compared without case); a shape such as an e-mail address has none. ``before`` and ``after`` are
    the insides of character classes: characters that must not stand next to a match. ``entropy`` is the least Shannon
    entropy of the secret in bits per character, ``check`` the name of a function of :mod:`ciguard.inspect.checks` that
    must accept it, and ``stops`` are lower-case words: a secret that contains one is a placeholder of somebody's.
    """

    kind: str
    pattern: str
    literals: tuple[str, ...]
    before: str = WORD
    after: str = ""
    entropy: float = 0.0
    check: str = ""
    stops: tuple[str, ...] = ()
    category: Category = Category.SECRET


def check_rule(rule: SecretRule) -> None:
    """Raise :class:`~ciguard.inspect.pattern.PatternRefused` when the engine could not apply ``rule``."""
    pattern = parse(rule.pattern, rule.kind)
    if rule.literals and not holds_one_of(pattern, [literal.lower() for literal in rule.literals]):
        raise PatternRefused(
            rule.kind, 0, "it may match without any of the literals", "name literals that every match contains"
        )
    character_set(rule.before, rule.kind)
    character_set(rule.after, rule.kind)
