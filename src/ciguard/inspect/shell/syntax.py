"""The grammar of shell scripts (POSIX.1-2024 XCU 2, and what bash adds), as far as it decides what runs.

A recursive-descent parser: every character is looked at a bounded number of times, and nesting is bounded, so a
hostile script costs linear time. tree-sitter-bash was tried first: it needs quadratic time for short hostile texts
(``<>;`` repeated), cannot be interrupted, and takes one valid system script in twenty for an error.
"""

from __future__ import annotations

import re

from ciguard.inspect.shell.command import Access
from ciguard.inspect.shell.reading import SyntaxProblem
from ciguard.inspect.shell.tree import (
    Assignment,
    FileRedirect,
    Function,
    Group,
    HereText,
    Loop,
    Node,
    Optional,
    Pipeline,
    RawWord,
    Redirect,
    Sequence,
    Simple,
    Text,
)
from ciguard.inspect.shell.words import WordReader

_PLAIN = re.compile(r"[^\s;&|()<>\\'\"$`#]+")
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_ASSIGNMENT = re.compile(r"([A-Za-z_][A-Za-z0-9_]*)(\[[^\]\n]*\])?(\+?=)")
_REDIRECT = re.compile(r"(?:\d+|\{[A-Za-z_]\w*\})?(<<<|<<-|<<|<>|<&|<|>>|>\||>&|>)|(&>>|&>)")
_RESERVED = frozenset(
    {"!", "{", "}", "if", "then", "elif", "else", "fi", "for", "select", "while", "until", "do", "done", "case", "esac"}
    | {"function", "time", "coproc", "[["}
)
_CLOSING = frozenset({"}", "then", "elif", "else", "fi", "do", "done", "esac"})


def parse(text: str, depth: int) -> Sequence:
    """The script ``text``, which stands ``depth`` levels deep; SyntaxProblem when it is none."""
    return _Parser(text, depth).whole()


class _Parser(WordReader):
    """Reads commands."""

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
            into.append(self._document(strips=operator == "<<-"))
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

    def _arithmetic_command(self, end: int) -> Node:
        self.position += 2
        return Optional((), (self._arithmetic(end),))


def _plain(word: RawWord) -> str:
    """The text of a word without quotes and expansions; empty for others."""
    return word[0].text if len(word) == 1 and isinstance(word[0], Text) and not word[0].quoted else ""
