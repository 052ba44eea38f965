"""The grammar of shell scripts (POSIX.1-2024 XCU 2, and what bash adds), as far as it decides what runs.

A recursive-descent parser: every character is looked at a bounded number of times, and nesting is bounded, so a
hostile script costs linear time. tree-sitter-bash was tried first: it needs quadratic time for short hostile texts
(``<>;`` repeated), cannot be interrupted, and takes one valid system script in twenty for an error.
"""

from __future__ import annotations

import re

from ciguard.inspect.shell.command import Access
from ciguard.inspect.shell.tree import (
    Assignment,
    Computed,
    FileRedirect,
    Function,
    Group,
    HereText,
    Loop,
    Node,
    Optional,
    Part,
    Pipeline,
    ProcessSubstitution,
    RawWord,
    Redirect,
    Sequence,
    Simple,
    Substitution,
    Text,
    Variable,
)

DEEPEST = 40
"""Levels of nesting, over scripts within scripts, that are followed."""


class SyntaxProblem(Exception):
    """The text is no script of this grammar."""


class TooDeep(SyntaxProblem):
    """The script nests deeper than is followed."""


_PLAIN = re.compile(r"[^\s;&|()<>\\'\"$`#]+")
_BLANKS = re.compile(r"(?:[ \t\r]|\\\r?\n)+")
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_ASSIGNMENT = re.compile(r"([A-Za-z_][A-Za-z0-9_]*)(\[[^\]\n]*\])?(\+?=)")
_REDIRECT = re.compile(r"(?:\d+|\{[A-Za-z_]\w*\})?(<<<|<<-|<<|<>|<&|<|>>|>\||>&|>)|(&>>|&>)")
_SPECIAL = re.compile(r"[A-Za-z_][A-Za-z0-9_]*|[0-9@*#?!$-]")
_PARAMETER = re.compile(r"(!?)([A-Za-z_][A-Za-z0-9_]*|[0-9]+|[@*#?!$-])(\[[^\]\n]*\])?")
_OPERATOR = re.compile(r":?[-=?+]|##?|%%?|//?|\^\^?|,,?|:|@")
_QUOTED_PLAIN = re.compile(r"[^\\\"$`]+")
_ANSI = re.compile(
    r"\\(?:([0-7]{1,3})|x([0-9A-Fa-f]{1,2})|u([0-9A-Fa-f]{1,4})|U([0-9A-Fa-f]{1,8})|c(.)|(.))|([^\\]+)", re.DOTALL
)
_ANSI_LETTERS = {"a": "\a", "b": "\b", "e": "\x1b", "E": "\x1b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v"}
_RESERVED = frozenset(
    {"!", "{", "}", "if", "then", "elif", "else", "fi", "for", "select", "while", "until", "do", "done", "case", "esac"}
    | {"function", "time", "coproc", "[["}
)
_CLOSING = frozenset({"}", "then", "elif", "else", "fi", "do", "done", "esac"})


def parse(text: str, depth: int) -> Sequence:
    """The script ``text``, which stands ``depth`` levels deep; SyntaxProblem when it is none."""
    parser = _Parser(text, depth)
    body = parser.sequence()
    if parser.position < len(text):
        raise SyntaxProblem
    return body


def parse_document(text: str, depth: int) -> RawWord:
    """The parts of a text in which the shell expands variables and substitutions, as in a here-document."""
    parser = _Parser(text, depth)
    return parser.expanded(None)


def ansi(text: str) -> str:
    """``text`` with the escapes of ``$'...'`` undone; what ``printf`` and ``echo -e`` know is the same."""
    result = []
    for octal, hexa, short, long, control, letter, plain in _ANSI.findall(text):
        if plain:
            result.append(plain)
        elif octal:
            result.append(chr(int(octal, 8) & 0xFF))
        elif hexa or short or long:
            code = int(hexa or short or long, 16)
            result.append(chr(code) if code <= 0x10FFFF else "\N{REPLACEMENT CHARACTER}")
        elif control:
            result.append(chr(ord(control) & 0x1F))
        else:
            result.append(_ANSI_LETTERS.get(letter, letter if letter in "\\'\"?" else f"\\{letter}"))
    return "".join(result)


class _Parser:
    """Reads ``text`` from ``position`` on."""

    def __init__(self, text: str, depth: int) -> None:
        self.text = text
        self.position = 0
        self._depth = depth
        self._pending: list[tuple[HereText, str, bool, bool]] = []

    # ------------------------------------------------------------ small steps

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

    def _newlines(self) -> None:
        self._blanks()
        while self._take("\n"):
            self._read_documents()
            self._blanks()

    def _reserved(self) -> str:
        """The reserved word at this place, which is not taken; empty when there is none."""
        match = _PLAIN.match(self.text, self.position)
        if match is None or match[0] not in _RESERVED:
            return ""
        following = self.text[match.end() : match.end() + 1]
        return "" if following and following not in " \t\r\n;&|()<>" and match[0] != "!" else match[0]

    def _take_reserved(self, word: str) -> bool:
        self._blanks()
        if self._reserved() != word:
            return False
        self.position += len(word)
        return True

    def _expect_reserved(self, word: str) -> None:
        if not self._take_reserved(word):
            raise SyntaxProblem

    # ------------------------------------------------------------ lists

    def sequence(self) -> Sequence:
        """Commands up to the end, a closing bracket or a reserved word that closes."""
        nodes: list[Node] = []
        self._newlines()
        while self.position < len(self.text) and not self._at_close():
            nodes.append(self._and_or())
            self._blanks()
            if self._peek(2) == ";;" or self._peek(2) == ";&":
                break
            if not (self._take(";") or (self._peek(2) != "&&" and self._take("&"))) and self._peek() not in ("\n", ""):
                break
            self._newlines()
        return Sequence(tuple(nodes))

    def _at_close(self) -> bool:
        return self._peek() == ")" or self._peek(2) in (";;", ";&") or self._reserved() in _CLOSING

    def _and_or(self) -> Node:
        first = self._pipeline()
        others: list[Node] = []
        self._blanks()
        while self._take("&&") or self._take("||"):
            self._newlines()
            others.append(self._pipeline())
            self._blanks()
        return Sequence((first, Optional(tuple(others)))) if others else first

    def _pipeline(self) -> Node:
        while self._take_reserved("!") or self._take_time():
            pass
        stages = [self._command()]
        self._blanks()
        while self._peek(2) != "||" and (self._take("|&") or self._take("|")):
            self._newlines()
            while self._take_reserved("!") or self._take_time():
                pass
            stages.append(self._command())
            self._blanks()
        return stages[0] if len(stages) == 1 else Pipeline(tuple(stages))

    def _take_time(self) -> bool:
        if not self._take_reserved("time"):
            return False
        self._blanks()
        match = re.compile(r"-p(?=\s)").match(self.text, self.position)
        if match is not None:
            self.position = match.end()
        return True

    # ------------------------------------------------------------ commands

    def _command(self) -> Node:
        self._blanks()
        if self._peek() == "(":
            return self._compound()
        word = self._reserved()
        if word in ("time", "!"):
            return self._pipeline()
        if word in _CLOSING:
            raise SyntaxProblem
        if word == "function":
            return self._function()
        if word == "coproc":
            return self._coprocess()
        return self._compound() if word else self._simple()

    def _compound(self) -> Node:
        self._enter()
        subshell = False
        body: Node
        if self._peek(2) == "((" and (end := self._arithmetic_end(self.position + 2)) is not None:
            body = self._arithmetic_command(end)
        elif self._take("("):
            subshell = True
            body = self.sequence()
            self._blanks()
            self._expect(")")
        else:
            word = self._reserved()
            self.position += len(word)
            body = self._keyword(word)
        self._leave()
        redirects: list[Redirect] = []
        while self._redirect(redirects):
            pass
        return Group(body, tuple(redirects), subshell)

    def _keyword(self, word: str) -> Node:
        match word:
            case "{":
                body: Node = self.sequence()
                self._expect_reserved("}")
            case "if":
                body = self._if()
            case "while" | "until":
                condition = self.sequence()
                body = Optional((condition, self._do_group()))
            case "for" | "select":
                body = self._for()
            case "case":
                body = self._case()
            case "[[":
                body = self._test()
            case _:
                raise SyntaxProblem
        return body

    def _if(self) -> Node:
        nodes = [self.sequence()]
        self._expect_reserved("then")
        nodes.append(self.sequence())
        while self._take_reserved("elif"):
            nodes.append(self.sequence())
            self._expect_reserved("then")
            nodes.append(self.sequence())
        if self._take_reserved("else"):
            nodes.append(self.sequence())
        self._expect_reserved("fi")
        return Optional(tuple(nodes))

    def _do_group(self) -> Sequence:
        self._newlines()
        if self._take_reserved("{"):
            body = self.sequence()
            self._expect_reserved("}")
            return body
        self._expect_reserved("do")
        body = self.sequence()
        self._expect_reserved("done")
        return body

    def _for(self) -> Node:
        self._blanks()
        if self._take("(("):
            end = self._arithmetic_end(self.position)
            if end is None:
                raise SyntaxProblem
            head = self._arithmetic(end)
            self._blanks()
            self._take(";")
            return Optional((self._do_group(),), (head,))
        match = _NAME.match(self.text, self.position)
        if match is None:
            raise SyntaxProblem
        self.position = match.end()
        self._newlines()
        words: list[RawWord] | None = None
        if match_in := re.compile(r"in(?=[\s;])").match(self.text, self.position):
            self.position = match_in.end()
            words = []
            while word := self._word():
                words.append(word)
        self._blanks()
        self._take(";")
        return Loop(match[0], None if words is None else tuple(words), self._do_group())

    def _case(self) -> Node:
        subject = self._word()
        self._newlines()
        if not self._take("in"):
            raise SyntaxProblem
        self._newlines()
        words, nodes = [subject], []
        while not self._take_reserved("esac"):
            self._take("(")
            pattern = self._word()
            words.append(pattern)
            self._blanks()
            while self._take("|"):
                words.append(self._word())
                self._blanks()
            self._expect(")")
            nodes.append(self.sequence())
            self._blanks()
            if not (self._take(";;&") or self._take(";;") or self._take(";&")):
                self._expect_reserved("esac")
                break
            self._newlines()
            if self.position >= len(self.text):
                raise SyntaxProblem
        return Optional(tuple(nodes), tuple(words))

    def _test(self) -> Node:
        words: list[RawWord] = []
        while True:
            self._newlines()
            if self.position >= len(self.text):
                raise SyntaxProblem
            if re.compile(r"\]\](?=[\s;&|)]|$)").match(self.text, self.position):
                self.position += 2
                return Optional((), tuple(words))
            word = self._word(stops=" \t\r\n")
            if not word:
                raise SyntaxProblem
            words.append(word)

    def _function(self) -> Node:
        self._expect("function")
        self._blanks()
        match = re.compile(r"[^\s;&|()<>\\'\"$`]+").match(self.text, self.position)
        if match is None:
            raise SyntaxProblem
        self.position = match.end()
        self._blanks()
        if self._take("("):
            self._blanks()
            self._expect(")")
        return self._function_body(match[0])

    def _function_body(self, name: str) -> Node:
        self._newlines()
        self._enter()
        body = self._command()
        self._leave()
        return Function(name, body)

    def _coprocess(self) -> Node:
        self._expect("coproc")
        self._blanks()
        match = re.compile(r"([A-Za-z_]\w*)[ \t]+(?=[{(]|(?:if|while|until|for|case)\s)").match(
            self.text, self.position
        )
        if match is not None:
            self.position = match.end()
        self._enter()
        command = self._command()
        self._leave()
        return command

    def _simple(self) -> Node:
        assignments: list[Assignment] = []
        words: list[RawWord | Assignment] = []
        redirects: list[Redirect] = []
        declares = False
        while True:
            self._blanks()
            if self._redirect(redirects):
                continue
            if not words and (assignment := self._assignment()) is not None:
                assignments.append(assignment)
                continue
            if declares and (assignment := self._assignment()) is not None:
                words.append(assignment)
                continue
            word = self._word()
            if not word:
                break
            words.append(word)
            if len(words) == 1:
                name = _plain(word)
                declares = name in ("declare", "export", "local", "readonly", "typeset", "alias")
                if name and self._definition():
                    return self._function_body(name)
        if not (assignments or words or redirects):
            raise SyntaxProblem
        return Simple(tuple(assignments), tuple(words), tuple(redirects))

    def _definition(self) -> bool:
        match = re.compile(r"[ \t]*\([ \t]*\)").match(self.text, self.position)
        if match is None:
            return False
        self.position = match.end()
        return True

    def _assignment(self) -> Assignment | None:
        match = _ASSIGNMENT.match(self.text, self.position)
        if match is None:
            return None
        self.position = match.end()
        appends = match[3] == "+="
        if not self._take("("):
            return Assignment(match[1], (self._word(),), appends or match[2] is not None)
        values: list[RawWord] = []
        while True:
            self._newlines()
            if self._take(")"):
                return Assignment(match[1], tuple(values), appends)
            value = self._word()
            if not value:
                raise SyntaxProblem
            values.append(value)

    # ------------------------------------------------------------ redirections

    def _redirect(self, into: list[Redirect]) -> bool:
        self._blanks()
        match = _REDIRECT.match(self.text, self.position)
        if match is None or (match[0][-1:] in "<>" and self.text.startswith("(", match.end())):
            return False
        self.position = match.end()
        operator = match[1] or match[2]
        self._blanks()
        if operator in ("<<", "<<-"):
            self._document(into, strips=operator == "<<-")
            return True
        target = self._word()
        if not target:
            raise SyntaxProblem
        match operator:
            case "<<<":
                into.append(HereText((*target, Text("\n", quoted=True))))
            case "<":
                into.append(FileRedirect(Access.READ, target))
            case ">>" | "&>>":
                into.append(FileRedirect(Access.APPEND, target))
            case "<&" | ">&":
                if not re.fullmatch(r"\d+-?|-", _plain(target) or ""):
                    into.append(FileRedirect(Access.READ if operator == "<&" else Access.WRITE, target))
            case "<>":
                into += [FileRedirect(Access.READ, target), FileRedirect(Access.WRITE, target)]
            case _:
                into.append(FileRedirect(Access.WRITE, target))
        return True

    def _document(self, into: list[Redirect], *, strips: bool) -> None:
        start = self.position
        word = self._word()
        if not word:
            raise SyntaxProblem
        end = "".join(part.text for part in word if isinstance(part, Text))
        quoted = bool(set("\\'\"") & set(self.text[start : self.position]))
        document = HereText(())
        into.append(document)
        self._pending.append((document, end, quoted, strips))

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
            document.body = (Text(body, quoted=True),) if quoted else parse_document(body, self._depth + 1)
        self._pending.clear()

    # ------------------------------------------------------------ words

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
        self._enter()
        body = parse(unescaped, self._depth)
        self._leave()
        return Substitution(body, quoted, match[0])

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
        inner = _Parser(self.text[self.position : end], self._depth)
        inner._enter()
        parts = inner.expanded(None)
        self.position = end + 2
        return parts

    def _arithmetic_command(self, end: int) -> Node:
        self.position += 2
        return Optional((), (self._arithmetic(end),))


def _plain(word: RawWord) -> str:
    """The text of a word without quotes and expansions; empty for others."""
    return word[0].text if len(word) == 1 and isinstance(word[0], Text) and not word[0].quoted else ""
