"""Fields that the policy names: masked whatever they hold.

In JSON values the field itself is masked (see :mod:`ciguard.codecs.fields`). In other texts a name counts where
something is given to it: ``password: x``, ``PASSWORD=x``, ``"password" => "x"``.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property

from ciguard.inspect.secret_rule import WORD, Category, SecretRule

_GIVEN = r"""(?:\\?["'])?[ \t]{0,8}(?:=>|[:=])[ \t]{0,8}(?:\\?["'])?(?P<secret>[^\s"'\\,;&<>\[\]{}]{1,512})"""


@dataclass(frozen=True)
class NamedFields:
    """``names`` of fields at any depth, in any case, and ``pointers`` (RFC 6901) from the root of a JSON value."""

    names: tuple[str, ...] = ()
    pointers: tuple[str, ...] = ()

    @cached_property
    def folded(self) -> frozenset[str]:
        """The names as they are compared."""
        return frozenset(name.casefold() for name in self.names)

    @cached_property
    def paths(self) -> frozenset[tuple[str, ...]]:
        """The pointers as keys and indexes."""
        return frozenset(
            tuple(step.replace("~1", "/").replace("~0", "~") for step in pointer.split("/")[1:])
            for pointer in self.pointers
        )

    @property
    def rules(self) -> tuple[SecretRule, ...]:
        """The rules for texts in which a name is given something."""
        return tuple(
            SecretRule(field_kind(name), f"(?i:{re.escape(name)}){_GIVEN}", (name,), WORD, category=Category.PERSONAL)
            for name in self.names
        )


NO_FIELDS = NamedFields()


def field_kind(name: str) -> str:
    """What a masked field is called in its placeholder: ``field-`` and its name."""
    return f"field-{re.sub(r'[^a-z0-9]+', '-', name.lower()).strip('-')[:64] or 'unnamed'}"
