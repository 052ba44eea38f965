"""The masker of a session: known values and secret rules always, personal data and named fields as the policy says."""

from __future__ import annotations

from collections.abc import Sequence

from ciguard.inspect.known_value import KnownValue
from ciguard.inspect.masking import Masker
from ciguard.inspect.named_fields import NO_FIELDS, NamedFields
from ciguard.inspect.placeholder import Placeholders
from ciguard.policy.models import Masking


def session_masker(masking: Masking, known: Sequence[KnownValue], placeholders: Placeholders) -> Masker:
    """What masks everything that crosses the guard."""
    fields = named_fields(masking)
    if not masking.personal_data and not masking.fields:
        return Masker(known, placeholders)
    from ciguard.inspect.personal import PERSONAL_CHECKS, personal_rules
    from ciguard.inspect.rule_matcher import RuleMatcher

    rules = (*personal_rules(masking.personal_data), *fields.rules)
    return Masker(known, placeholders, RuleMatcher(rules, PERSONAL_CHECKS), fields)


def named_fields(masking: Masking) -> NamedFields:
    """The fields of the policy: those with a slash in front are pointers."""
    if not masking.fields:
        return NO_FIELDS
    pointers = tuple(field for field in masking.fields if field.startswith("/"))
    return NamedFields(tuple(field for field in masking.fields if field not in pointers), pointers)
