"""The place in a script up to which it is read, and how deep it nests there."""

from __future__ import annotations

import re

DEEPEST = 40
"""Levels of nesting, over scripts within scripts, that are followed."""


class SyntaxProblem(Exception):
    """The text is no script of the grammar."""


class TooDeep(SyntaxProblem):
    """The script nests deeper than is followed."""


_BLANKS = re.compile(r"(?:[ \t\r]|\\\r?\n)+")


class Reader:
    """Reads ``text`` from ``position`` on. The text stands ``depth`` levels deep."""

    def __init__(self, text: str, depth: int) -> None:
        self.text = text
        self.position = 0
        self._depth = depth

    def _peek(self, count: int = 1) -> str:
        return self.text[self.position : self.position + count]

    def _take(self, token: str) -> bool:
        if self.text.startswith(token, self.position):
            self.position += len(token)
            return True
        return False

    def _expect(self, token: str) -> None:
        if not self._take(token):
            raise SyntaxProblem

    def _enter(self) -> None:
        self._depth += 1
        if self._depth > DEEPEST:
            raise TooDeep

    def _leave(self) -> None:
        self._depth -= 1

    def _blanks(self) -> None:
        match = _BLANKS.match(self.text, self.position)
        if match is not None:
            self.position = match.end()
        if self._peek() == "#":
            end = self.text.find("\n", self.position)
            self.position = len(self.text) if end < 0 else end
