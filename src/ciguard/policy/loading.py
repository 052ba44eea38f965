"""Policies from texts: one document at a time, then composed with what it extends.

Everything that is wrong with a policy is one PolicyError with file, line, column and remedy.
"""

from __future__ import annotations

import posixpath
from dataclasses import dataclass, field
from pathlib import Path as FilePath
from typing import Protocol

from ciguard.errors import PolicyError
from ciguard.policy import preset_files
from ciguard.policy.composition import Layer, compose
from ciguard.policy.models import VERSION, Example, Policy
from ciguard.policy.yaml_document import BYTES_LIMIT, Document, parse

EXTENDS_LIMIT = 16
"""Policies that may extend one another in a row."""

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
    """The examples of one document with the lines where they stand.

    ``inherited`` says that the policy only extends that document.
    """

    label: str
    examples: tuple[tuple[int, Example], ...]
    inherited: bool


@dataclass(slots=True)
class _Loader:
    source: PolicySource
    composed: dict[str, Policy] = field(default_factory=dict)
    stated: list[tuple[Document, Policy]] = field(default_factory=list)

    def load_root(self, path: str) -> Policy:
        """The composed policy of ``path``, which nothing extends."""
        try:
            return self.load(path, ())
        except FileNotFoundError:
            raise PolicyError(
                "there is no policy file", f"write {path}; {BEGIN}", file=self.source.label(path)
            ) from None

    def load(self, path: str, chain: tuple[str, ...]) -> Policy:
        """The composed policy of ``path``, which the documents of ``chain`` extend one after the other."""
        if path in self.composed:
            return self.composed[path]
        document = self._document(path)
        policy = validated(document)
        parents = []
        for index, name in enumerate(policy.extends):
            parent = _resolved(document, path, index, name)
            if len(chain) >= EXTENDS_LIMIT:
                raise document.error(("extends", index), "too many policies extend one another", "extend fewer levels")
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
                    f"use a preset ({_presets()}) or the path of a file, relative to this one",
                ) from None
        result = compose(Layer(policy, document, tuple(parents)))
        self.composed[path] = result
        self.stated.append((document, policy))
        return result

    def _document(self, path: str) -> Document:
        if path.startswith(preset_files.PREFIX):
            if path not in preset_files.names():
                raise PolicyError("there is no such preset", f"use one of: {_presets()}", file=path)
            return preset_files.document(path)
        label = self.source.label(path)
        try:
            text = self.source.read(path)
        except FileNotFoundError:
            raise
        except UnicodeDecodeError as error:
            raise PolicyError(f"byte {error.start + 1} is not UTF-8", "save the file as UTF-8", file=label) from None
        except OSError as error:
            raise PolicyError(
                f"the file cannot be read: {error.strerror}", "make it a readable file", file=label
            ) from None
        return parse(text, label, empty_remedy=BEGIN)


def load_policy(source: PolicySource, path: str) -> Policy:
    """The policy at ``path`` of ``source``, composed with all that it extends and ready to be enforced.

    PolicyError when it is missing, unreadable, wrong, or looser than what it extends.
    """
    return _Loader(source).load_root(path)


def load_with_examples(source: PolicySource, path: str) -> tuple[Policy, list[Examples]]:
    """The policy of ``load_policy``, and the examples of each of its documents, its own ones last."""
    loader = _Loader(source)
    policy = loader.load_root(path)
    *inherited, own = loader.stated
    return policy, [
        *(_examples(*_with_examples(*stated), inherited=True) for stated in inherited),
        _examples(*_with_examples(*own), inherited=False),
    ]


def _with_examples(document: Document, policy: Policy) -> tuple[Document, Policy]:
    """The same, or for a preset the document that holds its examples."""
    if document.label not in preset_files.names():
        return document, policy
    examples = preset_files.examples(document.label)
    return examples, validated(examples)


def _examples(document: Document, policy: Policy, *, inherited: bool) -> Examples:
    lines = [document.values["tests", index][0] for index in range(len(policy.tests))]
    return Examples(document.label, tuple(zip(lines, policy.tests, strict=True)), inherited)


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
    """What entry ``index`` of ``extends``, ``name``, refers to in the policy at ``path``."""
    if name.startswith(preset_files.PREFIX):
        if name not in preset_files.names():
            raise document.error(("extends", index), f"there is no preset {name[:80]!r}", f"use one of: {_presets()}")
        return name
    if not name or name.startswith("/") or ".." in name.split("/") or any(char in name for char in "\\:\0"):
        raise document.error(
            ("extends", index),
            f"{name[:80]!r} is neither a preset nor a file below the folder of this policy",
            f"use a preset ({_presets()}) or a relative path without ..",
        )
    return posixpath.normpath(posixpath.join(posixpath.dirname(path), name))


def _presets() -> str:
    return ", ".join(preset_files.names())
