"""The masker of a session: known values and secret rules always, personal data, fields and names as the policy says."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ciguard.errors import UsageError
from ciguard.inspect.known_value import KnownValue
from ciguard.inspect.masking import Masker
from ciguard.inspect.named_fields import NO_FIELDS, NamedFields
from ciguard.inspect.names import Names, Recognise
from ciguard.inspect.placeholder import Placeholders
from ciguard.policy.sections.masking import Masking


def name_recogniser(masking: Masking, workspace: Path) -> Recognise | None:
    """What finds the names that the policy has masked; None when it has none masked.

    Raises UsageError when that cannot be done: the extra or the model is missing, or the model lies in ``workspace``,
    where whoever changes the code could change it.
    """
    if masking.names is None:
        return None
    model = masking.names.model
    places = (Path(model), Path(model).resolve()) if model.startswith("/") else ()
    if any(place.is_relative_to(workspace.resolve()) for place in places):
        raise UsageError(
            f"the model {model} that the policy masks names with lies in the workspace",
            "keep it where the change under review has no files, such as /opt",
        )
    from ciguard.inspect.presidio import recogniser

    return recogniser(model, masking.names.kinds)


def session_masker(
    masking: Masking, known: Sequence[KnownValue], placeholders: Placeholders, recognise: Recognise | None
) -> Masker:
    """What masks everything that crosses the guard; ``recognise`` is what :func:`name_recogniser` gave."""
    fields = named_fields(masking)
    names = Names(recognise, masking.names.allow, placeholders) if masking.names and recognise else None
    if not masking.personal_data and not masking.fields:
        return Masker(known, placeholders, names=names)
    from ciguard.inspect.personal import PERSONAL_CHECKS, personal_rules
    from ciguard.inspect.rule_matcher import RuleMatcher

    rules = (*personal_rules(masking.personal_data), *fields.rules)
    return Masker(known, placeholders, RuleMatcher(rules, PERSONAL_CHECKS), fields, names)


def named_fields(masking: Masking) -> NamedFields:
    """The fields of the policy: those with a slash in front are pointers."""
    if not masking.fields:
        return NO_FIELDS
    pointers = tuple(field for field in masking.fields if field.startswith("/"))
    return NamedFields(tuple(field for field in masking.fields if field not in pointers), pointers)
