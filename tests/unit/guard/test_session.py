"""What :mod:`ciguard.guard.session` names; what it does is in ``tests/integration/test_run.py``."""

from __future__ import annotations

import pytest

from ciguard.guard.session import TOKEN_PREFIX
from ciguard.inspect.finder import finder
from ciguard.inspect.known_value import KnownValue, literals
from ciguard.inspect.value_matcher import HEAD

SPOKEN = b"input_tokens output_tokens cache_creation_input_tokens session message assistant text usage guard"


@pytest.mark.parametrize("filler", ["0", "Z", "_"])
def test_answers_have_no_words_that_begin_like_a_piece_of_the_token(filler: str) -> None:
    token = KnownValue("session-token", TOKEN_PREFIX + filler * 43)
    heads = {text[:HEAD] for text in literals(token, thorough=True)}
    assert not finder([head.encode() for head in heads if head.isalnum()]).hints(SPOKEN)
