"""The analysis of a script or of a program's words: every simple command that could run.

Rules of several kinds ask about the same script one after the other; so the last few analyses are kept.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

from ciguard.inspect.shell.command import Script
from ciguard.inspect.shell.walk import Walk

_KEPT = 16


@lru_cache(maxsize=_KEPT)
def analyse(text: str) -> Script:
    """What the shell script ``text`` could run. Never raises; what cannot be told is a trait of the result.

    POSIX shells and bash are understood; PowerShell and cmd are not.
    """
    walk = Walk()
    walk.script(text)
    return walk.result()


def analyse_program(argv: Sequence[str]) -> Script:
    """What a program started with the words ``argv`` could run: ``["bash", "-lc", "..."]``."""
    return _of_program(tuple(argv))


@lru_cache(maxsize=_KEPT)
def _of_program(argv: tuple[str, ...]) -> Script:
    walk = Walk()
    walk.program(argv)
    return walk.result()


@lru_cache(maxsize=_KEPT)
def analyse_inline(code: str) -> Script:
    """What ``code``, a program in another language than the shell's, could start, as far as its strings tell."""
    walk = Walk()
    walk.inline(code)
    return walk.result()
