"""Policies from texts: one document at a time, then composed with what it extends.

Everything that is wrong with a policy is one PolicyError with file, line, column and remedy.
"""

from __future__ import annotations

import posixpath
from dataclasses import dataclass, field
from pathlib import Path as FilePath
from typing import Protocol

from ciguard.errors import PolicyError
from ciguard.policy.composition import Layer, compose
from ciguard.policy.models import VERSION, Example, Policy
from ciguard.policy.yaml_document import BYTES_LIMIT, Document, parse

PRESETS = FilePath(__file__).parent / "presets"
PRESET_PREFIX = "ciguard:"

MINIMAL = """\
    version: 1
    extends: [ciguard:standard]
    connections:
      claude:
        type: anthropic
        credential: {env: ANTHROPIC_API_KEY}"""

BEGIN = f"begin with this policy:\n{MINIMAL}"


class PolicySource(Protocol):
    """Where the documents of a policy are read from: the base branch, or the working tree."""

    def read(self, path: str) -> str:
        """The text of the file at ``path``; FileNotFoundError when there is none."""
        ...

    def label(self, path: str) -> str:
        """What to call that file in messages."""
        ...


@dataclass(frozen=True, slots=True)
class FileSource:
    """Policies from the file system, seen from a folder."""

    folder: FilePath

    def read(self, path: str) -> str:
        """The text of the file; UnicodeDecodeError when it is not UTF-8."""
        with (self.folder / path).open("rb") as file:
            return file.read(BYTES_LIMIT + 1).decode()

    def label(self, path: str) -> str:
        """The path itself."""
        return path


@dataclass(frozen=True, slots=True)
class Examples:
    """The examples of one document, and whether the checked policy only extends that document."""

    label: str
    examples: tuple[Example, ...]
    inherited: bool


@dataclass(slots=True)
class _Loader:
    source: PolicySource
    composed: dict[str, Policy] = field(default_factory=dict)
    examples: list[Examples] = field(default_factory=list)

    def load(self, path: str, chain: tuple[str, ...]) -> Policy:
        """The composed policy of ``path``, which the documents of ``chain`` extend one after the other."""
        if path in self.composed:
            return self.composed[path]
        document = parse(self._read(path), self._label(path), empty_remedy=BEGIN)
        policy = validated(document)
        parents = []
        for index, name in enumerate(policy.extends):
            parent = _resolved(document, path, index, name)
            if parent in (*chain, path):
                raise document.error(
                    ("extends", index), f"{name} extends this policy in turn", "remove one of the two extends"
                )
            try:
                parents.append(self.load(parent, (*chain, path)))
            except FileNotFoundError:
                raise document.error(
                    ("extends", index),
                    f"there is no policy {name}",
                    f"use a preset ({', '.join(preset_names())}) or the path of a file, relative to this one",
                ) from None
        result = compose(Layer(policy, document, tuple(parents)))
        self.composed[path] = result
        self.examples.append(Examples(document.label, policy.tests, inherited=bool(chain)))
        return result

    def _label(self, path: str) -> str:
        return path if path.startswith(PRESET_PREFIX) else self.source.label(path)

    def _read(self, path: str) -> str:
        try:
            if path.startswith(PRESET_PREFIX):
                return (PRESETS / f"{path.removeprefix(PRESET_PREFIX)}.yml").read_text(encoding="utf-8")
            return self.source.read(path)
        except FileNotFoundError:
            raise
        except UnicodeDecodeError as error:
            raise PolicyError(
                f"byte {error.start + 1} is not UTF-8", "save the file as UTF-8 text", file=self._label(path)
            ) from None
        except OSError as error:
            raise PolicyError(
                f"the file cannot be read: {error.strerror}", "make it a readable file", file=self._label(path)
            ) from None


def load_policy(source: PolicySource, path: str) -> Policy:
    """The policy at ``path`` of ``source``, composed with all that it extends and ready to be enforced.

    PolicyError when it is missing, unreadable, wrong, or looser than what it extends.
    """
    return load_with_examples(source, path)[0]


def load_with_examples(source: PolicySource, path: str) -> tuple[Policy, list[Examples]]:
    """The policy of ``load_policy``, and the examples of each of its documents, the extended ones first."""
    loader = _Loader(source)
    try:
        return loader.load(path, ()), loader.examples
    except FileNotFoundError:
        raise PolicyError("there is no policy file", f"write {path}; {BEGIN}", file=source.label(path)) from None


def preset_names() -> list[str]:
    """The names that ``extends`` may use for what comes with ciguard."""
    return sorted(f"{PRESET_PREFIX}{file.stem}" for file in PRESETS.glob("*.yml"))


def validated(document: Document) -> Policy:
    """The policy that ``document`` states, by itself; PolicyError at the first thing that is wrong with it."""
    import json

    from pydantic import ValidationError

    from ciguard.policy.validation import policy_error

    version = document.root.get("version")
    if isinstance(version, int) and version > VERSION:
        raise document.error(
            ("version",),
            f"version {version} of the policy format is newer than this ciguard, which reads version {VERSION}",
            f"upgrade ciguard, or write version: {VERSION}",
        )
    try:
        return Policy.model_validate_json(json.dumps(document.root))
    except ValidationError as error:
        raise policy_error(document, error) from None


def _resolved(document: Document, path: str, index: int, name: str) -> str:
    """What ``extends`` entry ``name`` of the policy at ``path`` refers to."""
    if name.startswith(PRESET_PREFIX):
        if name not in preset_names():
            raise document.error(
                ("extends", index), f"there is no preset {name!r}", f"use one of: {', '.join(preset_names())}"
            )
        return name
    steps = name.split("/")
    if not name or name.startswith("/") or ".." in steps or "\\" in name or "\0" in name or ":" in name:
        raise document.error(
            ("extends", index),
            f"{name!r} is neither a preset nor the path of a file below this one's folder",
            f"use a preset ({', '.join(preset_names())}) or a relative path without ..",
        )
    if path.startswith(PRESET_PREFIX):
        raise document.error(("extends", index), "a preset extends only presets", "name a preset")
    return posixpath.normpath(posixpath.join(posixpath.dirname(path), name))
