"""The section ``masking``: what is masked besides secrets."""

from __future__ import annotations

from pydantic import Field

from ciguard.inspect.personal_data import NameKind, PersonalData
from ciguard.policy.rules import Section
from ciguard.policy.shapes import AllowedWord, FieldName, ModelName

AGENT_WORDS = ("Anthropic", "Claude", "Code", "Codex", "Copilot", "Gemini", "OpenAI")
"""Words of agents' names, which models take for people's."""


class MaskedNames(Section):
    """Names of people and places, which a spaCy model recognises through Presidio."""

    model: ModelName = Field(
        description="The spaCy model: an installed package, or the absolute path of a saved pipeline outside of the "
        "workspace. It is never downloaded. Needs the extra ciguard[names].",
        examples=["/opt/models/en_core_web_sm"],
    )
    kinds: tuple[NameKind, ...] = Field(
        default=tuple(NameKind), min_length=1, description="Kinds of names that are masked."
    )
    allow: tuple[AllowedWord, ...] = Field(
        default=AGENT_WORDS,
        description="Words, in any case, that stay when a name is made of them alone, such as those of your project.",
    )


class Masking(Section):
    """What is masked besides secrets."""

    personal_data: tuple[PersonalData, ...] = Field(
        default=(), description="Kinds of personal data that are masked wherever they appear; none when absent."
    )
    fields: tuple[FieldName, ...] = Field(
        default=(),
        description="Names of fields, in any case and at any depth, or JSON pointers from the root of the arguments or "
        "the result of a tool: what they hold is masked, whatever it is.",
        examples=[["password", "/customer/ssn"]],
    )
    names: MaskedNames | None = Field(
        default=None,
        description="Names of people and places that are masked in what models and agents say; none when absent.",
    )
