"""Policies from a mapping, for the tests of this folder."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import pytest

from ciguard.errors import PolicyError
from ciguard.policy.loading import load_policy
from ciguard.policy.models import Policy


@dataclass(frozen=True)
class Texts:
    """A source that holds its files as texts."""

    files: Mapping[str, str]

    def read(self, path: str) -> str:
        if path not in self.files:
            raise FileNotFoundError(path)
        return self.files[path]

    def label(self, path: str) -> str:
        return path


def loaded(text: str, files: Mapping[str, str] | None = None) -> Policy:
    """The policy of ``text``, which stands in ``p.yml``; ``version: 1`` is put before it."""
    return load_policy(Texts({"p.yml": f"version: 1\n{text}", **(files or {})}), "p.yml")


def refused(text: str, files: Mapping[str, str] | None = None) -> PolicyError:
    """The error that ``text`` is; line 1 of the file is ``version: 1``."""
    with pytest.raises(PolicyError) as caught:
        loaded(text, files)
    return caught.value


def place(error: PolicyError) -> tuple[str, int, int]:
    """File, line and column."""
    return error.file, error.line, error.column
