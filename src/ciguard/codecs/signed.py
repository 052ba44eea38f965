"""Texts that their API signed.

Anthropic signs the thinking that it shows, and takes it back only as it was. So a thinking text that
was masked on its way to the agent is put back as it was on its way to the API, which wrote it.

Source: https://docs.anthropic.com/en/docs/build-with-claude/extended-thinking, "Preserving thinking blocks".
"""

from __future__ import annotations

from collections.abc import Mapping

from ciguard.codecs.answer import list_of, object_of
from ciguard.operation import Json


def signed_texts(message: Json) -> dict[str, str]:
    """The signed texts of an answer or of a message of a conversation, by signature."""
    found: dict[str, str] = {}
    for block in list_of(object_of(message).get("content")):
        if isinstance(block, dict) and "signature" in block and "thinking" in block:
            signature, text = block["signature"], block["thinking"]
            if isinstance(signature, str) and isinstance(text, str) and signature:
                found[signature] = text
    return found


def restore(message: Json, originals: Mapping[str, str]) -> Json:
    """``message`` with the signed texts of ``originals`` (by signature) as they were; the same object if they are."""
    if all(originals.get(signature, text) == text for signature, text in signed_texts(message).items()):
        return message
    value = object_of(message)
    blocks = [_restored(block, originals) for block in list_of(value.get("content"))]
    return {**value, "content": blocks}


def _restored(block: Json, originals: Mapping[str, str]) -> Json:
    if isinstance(block, dict) and isinstance(signature := block.get("signature"), str) and "thinking" in block:
        return {**block, "thinking": originals.get(signature, block["thinking"])}
    return block
