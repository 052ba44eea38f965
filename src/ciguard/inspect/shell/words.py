"""Words of a script: quotes, expansions, arithmetic and here-documents (POSIX.1-2024 XCU 2.2, 2.6, 2.7.4)."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from typing import Self

from ciguard.inspect.shell.escapes import ansi
from ciguard.inspect.shell.reading import DEEPEST, Reader, SyntaxProblem, TooDeep
from ciguard.inspect.shell.tree import (
    Computed,
    HereText,
    Part,
    ProcessSubstitution,
    RawWord,
    Sequence,
    Substitution,
    Text,
    Variable,
)

_SPECIAL = re.compile(r"[A-Za-z_][A-Za-z0-9_]*|[0-9@*#?!$-]")
_PARAMETER = re.compile(r"(!?)([A-Za-z_][A-Za-z0-9_]*|[0-9]+|[@*#?!$-])(\[[^\]\n]*\])?")
_OPERATOR = re.compile(r":?[-=?+]|##?|%%?|//?|\^\^?|,,?|:|@")
_QUOTED_PLAIN = re.compile(r"[^\\\"$`]+")


class WordReader(Reader, ABC):
    """Reads words. Commands within them are read by the grammar that builds on it."""

    def __init__(self, text: str, depth: int) -> None:
        super().__init__(text, depth)
        self._pending: list[tuple[HereText, str, bool, bool]] = []

    @abstractmethod
    def sequence(self) -> Sequence:
        """Commands up to the end, a closing bracket or a reserved word that closes."""

    def whole(self) -> Sequence:
        """The commands of all of the text; SyntaxProblem when it is no script."""
        body = self.sequence()
        if self.position < len(self.text):
            raise SyntaxProblem
        return body

    def _nested(self, text: str) -> Self:
        """A reader of ``text``, which stands one level deeper."""
        if self._depth >= DEEPEST:
            raise TooDeep
        return type(self)(text, self._depth + 1)

    def _word(self, *, stops: str = " \t\r\n;&|()<>") -> RawWord:
        """The word at this place; empty when there is none."""
        self._blanks()
        parts: list[Part] = []
        plain = re.compile(rf"[^{re.escape(stops)}\\'\"$`<>]+")
        while self.position < len(self.text):
            match = plain.match(self.text, self.position)
            if match is not None:
                parts.append(Text(match[0], quoted=False))
                self.position = match.end()
                continue
            char = self._peek()
            if char in "<>" and self._peek(2) in ("<(", ">("):
                parts.append(self._process())
            elif char == "(" and parts and self._ends_extended_pattern(parts[-1]):
                parts.append(self._extended_pattern())
            elif char in stops:
                break
            elif char in "<>":
                parts.append(Text(char, quoted=False))
                self.position += 1
            else:
                self._special(parts)
        return tuple(parts)

    def _special(self, parts: list[Part]) -> None:
        """A quote, an escape or an expansion outside of quotes."""
        char = self._peek()
        if char == "\\":
            escaped = self.text[self.position + 1 : self.position + 2]
            self.position += 1 + len(escaped)
            if escaped != "\n":
                parts.append(Text(escaped or "\\", quoted=True))
        elif char == "'":
            parts.append(Text(self._until_quote(self.position + 1), quoted=True))
        elif char == '"':
            self.position += 1
            parts.append(Text("", quoted=True))
            parts += self.expanded('"')
        elif self._peek(2) == "$'":
            end = self._ansi_end(self.position + 2)
            parts.append(Text(ansi(self.text[self.position + 2 : end]), quoted=True))
            self.position = end + 1
        elif self._peek(2) == '$"':
            self.position += 2
            parts += self.expanded('"')
        else:
            parts.append(self._expansion(quoted=False))

    def _until_quote(self, start: int) -> str:
        end = self.text.find("'", start)
        if end < 0:
            raise SyntaxProblem
        self.position = end + 1
        return self.text[start:end]

    def _ansi_end(self, start: int) -> int:
        match = re.compile(r"(?:[^'\\]|\\.)*", re.DOTALL).match(self.text, start)
        end = start if match is None else match.end()
        if self.text[end : end + 1] != "'":
            raise SyntaxProblem
        return end

    def expanded(self, end: str | None) -> RawWord:
        """Parts as between double quotes, up to ``end``, or to the end of the text."""
        parts: list[Part] = []
        while True:
            match = _QUOTED_PLAIN.match(self.text, self.position)
            if match is not None and end is not None:
                parts.append(Text(match[0], quoted=True))
                self.position = match.end()
                continue
            if end is None and (match := re.compile(r"[^\\$`]+").match(self.text, self.position)) is not None:
                parts.append(Text(match[0], quoted=True))
                self.position = match.end()
                continue
            char = self._peek()
            if not char:
                if end is not None:
                    raise SyntaxProblem
                return tuple(parts)
            if char == end:
                self.position += 1
                return tuple(parts)
            if char == "\\":
                escaped = self.text[self.position + 1 : self.position + 2]
                self.position += 1 + len(escaped)
                if escaped != "\n":
                    parts.append(Text(escaped if escaped in ("\\", "$", "`", end) else f"\\{escaped}", quoted=True))
            else:
                parts.append(self._expansion(quoted=True))

    def _expansion(self, *, quoted: bool) -> Part:
        start = self.position
        if self._peek() == "`":
            return self._backquotes(quoted=quoted)
        if self._peek(3) == "$((" and (end := self._arithmetic_end(start + 3)) is not None:
            self.position = start + 3
            inner = self._arithmetic(end)
            return Computed(self.text[start : self.position], inner)
        if self._take("$("):
            self._enter()
            body = self.sequence()
            self._blanks()
            self._expect(")")
            self._leave()
            return Substitution(body, quoted, self.text[start : self.position])
        if self._take("${"):
            return self._braced(start, quoted=quoted)
        self.position += 1
        match = _SPECIAL.match(self.text, self.position)
        if match is None:
            return Text("$", quoted=True)
        self.position = match.end()
        return Variable(match[0], quoted, self.text[start : self.position])

    def _braced(self, start: int, *, quoted: bool) -> Part:
        self._enter()
        match = _PARAMETER.match(self.text, self.position)
        name, operator = "", "other"
        if match is not None and not (match[2] == "#" and self.text[match.end() : match.end() + 1] not in ("}", "")):
            name = match[2]
            self.position = match.end()
            found = _OPERATOR.match(self.text, self.position)
            operator = "!" if match[1] else "" if found is None else found[0]
            if match[3] is not None and match[3] not in ("[@]", "[*]", "[0]"):
                operator = "other"
            self.position += len(found[0]) if found is not None else 0
        operand: list[Part] = []
        plain = re.compile(r"[^}\\'\"$`]+")
        while not self._take("}"):
            if self.position >= len(self.text):
                raise SyntaxProblem
            found = plain.match(self.text, self.position)
            if found is not None:
                operand.append(Text(found[0], quoted=quoted))
                self.position = found.end()
            elif quoted and self._peek() == "'":
                operand.append(Text("'", quoted=True))
                self.position += 1
            else:
                self._special(operand)
        self._leave()
        source = self.text[start : self.position]
        return Variable(name, quoted, source, operator, tuple(operand)) if name else Computed(source, tuple(operand))

    def _backquotes(self, *, quoted: bool) -> Part:
        match = re.compile(r"`((?:[^`\\]|\\.)*)`", re.DOTALL).match(self.text, self.position)
        if match is None:
            raise SyntaxProblem
        self.position = match.end()
        unescaped = re.sub(r'\\([$`\\"])' if quoted else r"\\([$`\\])", r"\1", match[1])
        return Substitution(self._nested(unescaped).whole(), quoted, match[0])

    def _process(self) -> Part:
        start = self.position
        self.position += 2
        self._enter()
        body = self.sequence()
        self._blanks()
        self._expect(")")
        self._leave()
        return ProcessSubstitution(body, self.text[start : self.position], self.text[start] == "<")

    def _ends_extended_pattern(self, last: Part) -> bool:
        return isinstance(last, Text) and not last.quoted and last.text[-1:] in ("?", "*", "+", "@", "!")

    def _extended_pattern(self) -> Part:
        """``@(a|b)`` behind its first character, as far as the closing bracket."""
        start = self.position
        self._expect("(")
        self._enter()
        parts: list[Part] = []
        while not self._take(")"):
            if self.position >= len(self.text):
                raise SyntaxProblem
            inner = self._word(stops="()")
            parts += inner
            if self._peek() == "(":
                parts.append(self._extended_pattern())
            elif not inner and self._peek() != ")":
                raise SyntaxProblem
        self._leave()
        return Computed(self.text[start : self.position], tuple(parts))

    # ------------------------------------------------------------ arithmetic

    def _arithmetic_end(self, start: int) -> int | None:
        """Where the ``))`` of the arithmetic that begins at ``start`` stands; None when it is no arithmetic."""
        depth = 0
        for match in re.compile(r"[()]|\\.|'[^']*'", re.DOTALL).finditer(self.text, start):
            if match[0] == "(":
                depth += 1
            elif match[0] == ")" and depth:
                depth -= 1
            elif match[0] == ")":
                return match.start() if self.text.startswith("))", match.start()) else None
        return None

    def _arithmetic(self, end: int) -> RawWord:
        """The parts of the arithmetic up to ``end``, behind whose brackets reading goes on."""
        parts = self._nested(self.text[self.position : end]).expanded(None)
        self.position = end + 2
        return parts

    # ------------------------------------------------------------ here-documents

    def _document(self, *, strips: bool) -> HereText:
        start = self.position
        word = self._word()
        if not word:
            raise SyntaxProblem
        end = "".join(part.text for part in word if isinstance(part, Text))
        quoted = bool(set("\\'\"") & set(self.text[start : self.position]))
        document = HereText(())
        self._pending.append((document, end, quoted, strips))
        return document

    def _read_documents(self) -> None:
        for document, end, quoted, strips in self._pending:
            lines = []
            while self.position < len(self.text):
                stop = self.text.find("\n", self.position)
                stop = len(self.text) if stop < 0 else stop
                line = self.text[self.position : stop]
                self.position = min(stop + 1, len(self.text))
                if strips:
                    line = line.lstrip("\t")
                if line == end:
                    break
                lines.append(f"{line}\n")
            body = "".join(lines)
            document.body = (Text(body, quoted=True),) if quoted else self._nested(body).expanded(None)
        self._pending.clear()
