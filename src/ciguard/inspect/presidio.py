"""Recognising names with Presidio and a spaCy model.

Source: https://microsoft.github.io/presidio/analyzer/ and https://spacy.io/api/language. Needs the extra
``ciguard[names]``. Presidio would download a model that is missing; here a model is loaded from where it is, or not at
all.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path

from ciguard.errors import UsageError
from ciguard.inspect.names import Name, Recognise
from ciguard.inspect.personal_data import NameKind

LABELS = {
    "PER": NameKind.PERSON,
    "PERSON": NameKind.PERSON,
    "FAC": NameKind.LOCATION,
    "GPE": NameKind.LOCATION,
    "LOC": NameKind.LOCATION,
    "LOCATION": NameKind.LOCATION,
}
"""What spaCy's models call people and places (OntoNotes and WikiNER), buildings and the like included."""


def recogniser(model: str, kinds: Collection[NameKind]) -> Recognise:
    """What finds names of ``kinds`` with ``model``: an installed package, or the absolute path of a saved pipeline.

    Raises UsageError when the extra or the model is missing, or the model does not know such names.
    """
    try:
        import spacy
        from presidio_analyzer import AnalyzerEngine, RecognizerRegistry
        from presidio_analyzer.nlp_engine import NerModelConfiguration, SpacyNlpEngine
        from presidio_analyzer.predefined_recognizers import SpacyRecognizer
    except ImportError:
        raise UsageError(
            "masking names needs packages that are not installed",
            "set the input 'names' of the action or the component to true; elsewhere: pip install 'ciguard[names]'",
        ) from None
    if not (Path(model).is_dir() if model.startswith("/") else spacy.util.is_package(model)):
        raise UsageError(
            f"the model {model} that the policy masks names with is not there",
            "install it where the guard runs, before the guard starts; it is never downloaded",
        )
    try:
        pipeline = spacy.load(model)
    except Exception as error:  # noqa: BLE001 - whatever is wrong with a model, its parts raise what they raise
        raise UsageError(
            f"the model {model} that the policy masks names with cannot be loaded: {type(error).__name__}",
            f"save it again with spaCy {spacy.__version__}, or take one that was made for it",
        ) from None
    known = {label for labels in pipeline.pipe_labels.values() for label in labels}
    for kind in kinds:
        if not any(LABELS.get(label) is kind for label in known):
            raise UsageError(
                f"the model {model} does not know names of the kind {kind}",
                f"take a model with one of the labels {', '.join(name for name in LABELS if LABELS[name] is kind)}",
            )
    language = pipeline.lang
    entities = [kind.name for kind in kinds]
    engine = SpacyNlpEngine(
        ner_model_configuration=NerModelConfiguration(
            model_to_presidio_entity_mapping={label: kind.name for label, kind in LABELS.items()},
            labels_to_ignore=known - LABELS.keys(),
        )
    )
    engine.nlp = {language: pipeline}
    analyzer = AnalyzerEngine(
        registry=RecognizerRegistry(
            recognizers=[SpacyRecognizer(supported_language=language, supported_entities=entities)],
            supported_languages=[language],
        ),
        nlp_engine=engine,
        supported_languages=[language],
    )

    def recognise(text: str) -> Sequence[Name]:
        return [
            Name(found.start, found.end, NameKind[found.entity_type])
            for found in analyzer.analyze(text, language=language, entities=entities)
        ]

    return recognise
