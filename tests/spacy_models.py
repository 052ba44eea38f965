"""spaCy models for the tests: real pipelines, saved to disk, that find the names that they were made with."""

from __future__ import annotations

from pathlib import Path

PATTERNS: list[dict[str, object]] = [
    {"label": "PERSON", "pattern": "Ada Lovelace"},
    {"label": "PERSON", "pattern": [{"LOWER": "mr"}, {"IS_TITLE": True, "OP": "+"}]},
    {"label": "PERSON", "pattern": "Claude"},
    {"label": "GPE", "pattern": "Lisbon"},
    {"label": "ORG", "pattern": "Acme"},
]


def saved_model(folder: Path, patterns: list[dict[str, object]] = PATTERNS) -> Path:
    """The path of a model that finds ``patterns``."""
    import spacy

    pipeline = spacy.blank("en")
    pipeline.add_pipe("entity_ruler").add_patterns(patterns)
    path = folder / "model"
    pipeline.to_disk(path)
    return path
