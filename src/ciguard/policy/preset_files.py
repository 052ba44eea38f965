"""The presets that come with ciguard: reviewed YAML, and the same read ahead of time.

Reading YAML takes longer than everything else at the start of a session, so the presets are kept a second time as
JSON. ``scripts/policy_files.py`` writes it anew after a change; a test holds the two together.
"""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path

from ciguard.policy.yaml_document import Document, parse

FOLDER = Path(__file__).parent / "presets"
READ_AHEAD = FOLDER / "presets.json"
PREFIX = "ciguard:"


@cache
def _read_ahead() -> dict[str, Document]:
    roots = json.loads(READ_AHEAD.read_text(encoding="utf-8"))
    return {name: Document(name, root, {(): (1, 1)}, {}) for name, root in roots.items()}


def names() -> list[str]:
    """The presets as ``extends`` names them."""
    return sorted(_read_ahead())


def document(name: str) -> Document:
    """The preset ``name``, with its places left out."""
    return _read_ahead()[name]


def reviewed(name: str) -> Document:
    """The preset ``name`` as its YAML states it."""
    return _parsed(FOLDER / f"{name.removeprefix(PREFIX)}.yml", name)


def examples(name: str) -> Document:
    """The examples of the preset ``name``: a policy that has nothing else."""
    return _parsed(FOLDER / "examples" / f"{name.removeprefix(PREFIX)}.yml", name)


def read_ahead_text() -> str:
    """What ``READ_AHEAD`` must hold."""
    presets = sorted(f"{PREFIX}{file.stem}" for file in FOLDER.glob("*.yml"))
    roots = {name: reviewed(name).root for name in presets}
    return json.dumps(roots, ensure_ascii=False, indent=1) + "\n"


def _parsed(file: Path, label: str) -> Document:
    return parse(file.read_text(encoding="utf-8"), label, empty_remedy="write the preset")
