"""What the words of a shell and of ``xargs`` say about the code that they run."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

from ciguard.inspect.shell import expansion, starters
from ciguard.inspect.shell.command import Word
from ciguard.inspect.shell.outputs import UNKNOWN

_MOST_FED = 64


@dataclass(frozen=True, slots=True)
class ShellCall:
    """How a shell is started: with ``-c`` and ``code``, to read its code from stdin, or from the first operand.

    Behind ``code``, the operands are ``$0`` and the positional parameters.
    """

    code: Word | None
    operands: tuple[Word, ...]
    reads_stdin: bool


def shell_call(words: tuple[Word, ...]) -> ShellCall:
    """What ``words`` start: a shell and its arguments (POSIX.1-2024 XCU, ``sh``; bash's own options)."""
    rest = list(words[1:])
    takes_code = reads_stdin = False
    while rest and re.match(r"[-+].", rest[0].text):
        option = rest.pop(0).text
        if option in ("-o", "+o", "-O", "+O", "--rcfile", "--init-file"):
            del rest[:1]
        elif option == "--":
            break
        elif not option.startswith("--"):
            takes_code = takes_code or "c" in option
            reads_stdin = reads_stdin or "s" in option
    if takes_code:
        return ShellCall(rest[0] if rest else Word(""), tuple(rest[1:]), reads_stdin=False)
    names_stdin = bool(rest) and rest[0].text in ("-", "/dev/stdin")
    return ShellCall(None, tuple(rest), reads_stdin=reads_stdin or names_stdin)


def fed(words: tuple[Word, ...], stdin: Word | None) -> tuple[Word, ...]:
    """The command that ``xargs`` starts: its program, given the words that it reads."""
    program = starters.fed_program(words) or (Word("echo"),)
    if stdin is not None and stdin.literal:
        given = tuple(Word(re.sub(r"[\"'\\]", "", item)) for item in stdin.text.split()[:_MOST_FED])
    else:
        given = (Word(UNKNOWN, literal=False, origins=stdin.origins if stdin is not None else frozenset()),)
    marks = starters.option_values(words, frozenset({"-I", "-i", "--replace"}))
    if not marks or not marks[0].text:
        return (*program, *given)
    mark, whole = marks[0].text, expansion.joined(given, " ")
    return tuple(
        replace(
            word,
            text=word.text.replace(mark, whole.text),
            literal=word.literal and whole.literal,
            origins=word.origins | whole.origins,
        )
        if mark in word.text
        else word
        for word in program
    )
