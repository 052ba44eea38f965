"""Going through a script as a shell would, and noting every command on the way instead of running it.

Both arms of every condition are taken, loops go round once for each word, functions are entered where they are
called. Values that the script itself gives are followed; everything else is unknown and says so.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Callable, Sequence
from dataclasses import replace

from ciguard.inspect.shell import expansion, inline_code, outputs, starters, starting_code
from ciguard.inspect.shell.command import Access, Command, Redirection, Script, Word
from ciguard.inspect.shell.outputs import NOTHING, UNKNOWN
from ciguard.inspect.shell.reading import SyntaxProblem, TooDeep
from ciguard.inspect.shell.state import Spent, State
from ciguard.inspect.shell.syntax import parse
from ciguard.inspect.shell.trait import Trait
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
    Simple,
)
from ciguard.inspect.shell.tree import Sequence as Body

LONGEST = 131_072
"""Characters of a script that are followed; a longer one is too large."""

_ROUNDS = 16
_SUFFIXES = 12
_COMBINATIONS = 16


class Walk(State):
    """One analysis."""

    def __init__(self) -> None:
        super().__init__()
        self._inlined: list[inline_code.InlineCode] = []
        self._calls: list[str] = []
        self._called: set[str] = set()
        self._defined: dict[str, Node] = {}
        self._self_calls: dict[str, int] = {}

    def script(self, text: str) -> None:
        """Go through ``text``."""
        self._bounded(lambda: self._code(Word(text)))

    def program(self, argv: Sequence[str]) -> None:
        """Go through what a program with these words starts."""
        self._bounded(lambda: self._command(tuple(Word(word) for word in argv), (), (), None))

    def inline(self, text: str) -> None:
        """Go through ``text``, a program in another language."""
        self._bounded(lambda: self._inline(Word(text)))

    def result(self) -> Script:
        """What was found."""
        return Script(tuple(self._commands), frozenset(self._traits), dict(self._files), tuple(self._inlined))

    def _bounded(self, go: Callable[[], object]) -> None:
        try:
            go()
            for name in [name for name in self._defined if name not in self._called]:
                self._scope.parameters = None
                self._call(name, self._defined[name], None)
        except (Spent, TooDeep):
            self._traits.add(Trait.TOO_LARGE)

    # ------------------------------------------------------------ nodes

    def output(self, body: Body) -> Word:
        """What the commands of a substitution write."""
        with self._deeper(), self._subshell(), self._feeding(None):
            return self._run(body)

    def _run(self, node: Node) -> Word:
        """Go through ``node``; what it writes."""
        self._step()
        match node:
            case Body(nodes):
                return expansion.joined([self._run(item) for item in nodes])
            case Optional(nodes, words):
                return self._perhaps(nodes, words)
            case Loop():
                return self._loop(node)
            case Group():
                return self._group(node)
            case Pipeline(stages):
                return self._pipeline(stages)
            case Function(name, body):
                self._scope.functions[name] = body
                self._defined[name] = body
                return NOTHING
            case Simple():
                return self._simple(node)

    def _perhaps(self, nodes: Sequence[Node], words: Sequence[RawWord]) -> Word:
        for word in words:
            expansion.values(word, self)
        outer = self._scope.perhaps
        self._scope.perhaps = True
        written = expansion.joined([self._run(node) for node in nodes])
        self._scope.perhaps = outer
        return written

    def _loop(self, loop: Loop) -> Word:
        if loop.words is None:
            words = self._scope.parameters
        else:
            choices = [expansion.fields(word, self) for word in loop.words]
            words = tuple(field for alternatives in choices for row in alternatives for field in row)
        with self._deeper():
            if words is None or len(words) > _ROUNDS:
                self._scope.variables[loop.name] = tuple(dict.fromkeys(words or ()))[: expansion.ALTERNATIVES * 8]
                return replace(self._run(loop.body), literal=False)
            written = []
            for word in words:
                self._scope.variables[loop.name] = (word,)
                written.append(self._run(loop.body))
            return expansion.joined(written)

    def _group(self, group: Group) -> Word:
        redirections, stdin = self._redirected(group.redirects, self._stdin)
        if redirections:
            self._note(Command((), (), redirections, None, self._scope.directory, self._via))
        with self._deeper(), self._feeding(stdin):
            if group.subshell:
                with self._subshell():
                    written = self._run(group.body)
            else:
                written = self._run(group.body)
        return self._kept(redirections, written)

    def _pipeline(self, stages: Sequence[Node]) -> Word:
        written = self._stdin
        for stage in stages:
            with self._subshell(), self._feeding(written):
                written = self._run(stage)
        return written or NOTHING

    def _simple(self, simple: Simple) -> Word:
        assigned = [(item.name, self._assigned(item)) for item in simple.assignments]
        redirections, stdin = self._redirected(simple.redirects, self._stdin)
        if not simple.words:
            for name, values in assigned:
                self.assign(name, values)
            if redirections:
                self._note(Command((), (), redirections, stdin, self._scope.directory, self._via))
            return NOTHING
        rows: list[tuple[Word, ...]] = [()]
        for word in simple.words:
            choices = self._declared(word) if isinstance(word, Assignment) else expansion.fields(word, self)
            rows = [(*row, *choice) for row in rows for choice in choices][:_COMBINATIONS]
        assignments = tuple((name, value) for name, values in assigned for value in values)
        written = [self._command(row, assignments, redirections, stdin) for row in dict.fromkeys(rows)]
        whole = expansion.joined(written) if len(written) != 1 else written[0]
        return self._kept(redirections, whole)

    def _assigned(self, assignment: Assignment) -> tuple[Word, ...]:
        choices = [expansion.values(word, self) for word in assignment.values]
        values = choices[0] if len(choices) == 1 else (expansion.joined([choice[0] for choice in choices], " "),)
        if assignment.appends:
            before = self.values(assignment.name) or (NOTHING,)
            values = tuple(expansion.joined([old, new]) for old in before for new in values)
        return values[: expansion.ALTERNATIVES]

    def _declared(self, assignment: Assignment) -> list[tuple[Word, ...]]:
        values = self._assigned(assignment)
        self.assign(assignment.name, values)
        return [(replace(value, text=f"{assignment.name}={value.text}"),) for value in values]

    def _redirected(
        self, redirects: Sequence[Redirect], stdin: Word | None
    ) -> tuple[tuple[Redirection, ...], Word | None]:
        found = []
        for redirect in redirects:
            match redirect:
                case FileRedirect(access, target):
                    for value in expansion.values(target, self):
                        found.append(Redirection(access, value))
                        if access is Access.READ:
                            stdin = self._file(value) or replace(value, literal=False)
                case HereText(body):
                    stdin = expansion.values(body, self)[0]
        return tuple(found), stdin

    # ------------------------------------------------------------ commands

    def _command(
        self,
        words: tuple[Word, ...],
        assignments: tuple[tuple[str, Word], ...],
        redirections: tuple[Redirection, ...],
        stdin: Word | None,
    ) -> Word:
        """Note one command and go on into what it starts; what it writes."""
        self._step()
        if not words:
            return NOTHING
        command = Command(words, assignments, redirections, stdin, self._scope.directory, self._via)
        self._note(command)
        name = command.program
        if name in self._scope.functions:
            return self._call(name, self._scope.functions[name], words[1:])
        if not name:
            self._traits.add(Trait.UNKNOWN_PROGRAM)
        with self._deeper():
            handled = self._builtin(name, words, stdin)
            if handled is not None:
                return handled
            inner = starters.started(words)
            if inner is not None:
                with self._reached_by(name):
                    written = self._command(inner, (), (), stdin) if inner else NOTHING
                    for script in starters.scripts(words):
                        written = self._code(script, stdin)
                    return written
            return self._started(name, words, stdin)

    def _started(self, name: str, words: tuple[Word, ...], stdin: Word | None) -> Word:
        with self._reached_by(name):
            if name in starters.SHELLS:
                return self._shell(words, stdin)
            if (options := _interpreter(name)) is not None:
                self._interpreted(words, options, stdin)
                return outputs.output(name, words, stdin)
            for program in starters.found_programs(words) if name == "find" else ():
                self._command(program, (), (), None)
            if name == "xargs":
                return self._fed(words, stdin)
            if name in ("make", "gmake") and stdin is not None and {"-f-", "-", "/dev/stdin"} & {w.text for w in words}:
                self._code(replace(stdin, text=re.sub(r"(?m)^[^\t\n].*$|^\t[@+-]*", "", stdin.text)))
            if name in ("at", "batch", "crontab") and stdin is not None and stdin.literal:
                self._code(replace(stdin, text=re.sub(r"(?m)^(?:[\d*/,-]+\s+){5}|^@\w+\s+", "", stdin.text)))
            written = [self._code(script, stdin) for script in starters.scripts(words)]
        if name in ("awk", "gawk", "mawk", "nawk"):
            self._inline(expansion.joined(words[1:], "\n"))
        if "/" in words[0].text and (content := self._file(words[0])) is not None:
            return self._code(content, stdin, words[1:])
        self._fetched(name, words)
        return expansion.joined(written) if written else self._written(name, words, stdin)

    def _written(self, name: str, words: tuple[Word, ...], stdin: Word | None) -> Word:
        operands = [word for word in words[1:] if not word.text.startswith("-")]
        if name == "cat" and operands:
            contents = [self._file(word) for word in operands]
            known = [content for content in contents if content is not None]
            if len(known) == len(contents):
                return expansion.joined(known)
            return replace(expansion.joined([*known, Word(UNKNOWN, literal=False)]), literal=False)
        if name == "tee" and stdin is not None:
            for word in operands:
                self._write(word, stdin, appends="-a" in [item.text for item in words])
            return stdin
        if name in ("cp", "mv", "ln", "install") and len(operands) == 2 and (content := self._file(operands[0])):
            self._write(operands[1], content)
        return outputs.output(name, words, stdin)

    def _fetched(self, name: str, words: tuple[Word, ...]) -> None:
        if name not in ("curl", "wget", "aria2c"):
            return
        content = outputs.output(name, words, None)
        options = {"curl": {"-o", "--output"}, "wget": {"-O", "--output-document"}, "aria2c": {"-o", "--out"}}[name]
        targets = starters.option_values(words, frozenset(options))
        for target in targets:
            self._write(target, content)
        remote = name != "curl" or any(re.fullmatch(r"-[a-zA-Z]*O|--remote-name(?:-all)?", word.text) for word in words)
        for word in words[1:] if remote and not targets else ():
            if "/" in word.text and not word.text.startswith("-"):
                self._write(replace(word, text=posixpath.basename(word.text.partition("?")[0])), content)

    def _call(self, name: str, body: Node, parameters: tuple[Word, ...] | None) -> Word:
        self._called.add(name)
        if name in self._calls:
            self._self_calls[name] = self._self_calls.get(name, 0) + 1
            if self._self_calls[name] > 1:
                self._traits.add(Trait.FORK_BOMB)
            return Word(UNKNOWN, literal=False)
        outer = self._scope.parameters
        self._scope.parameters = parameters
        self._calls.append(name)
        try:
            with self._deeper():
                return self._run(body)
        finally:
            self._calls.pop()
            self._self_calls.pop(name, None)
            self._scope.parameters = outer

    # ------------------------------------------------------------ builtins

    def _builtin(self, name: str, words: tuple[Word, ...], stdin: Word | None) -> Word | None:
        """What a builtin of the shell writes that changes what comes later; None for any other program."""
        match name:
            case "cd" | "pushd":
                self._change_directory(words)
            case "popd":
                self._scope.directory = None
            case "read" | "mapfile" | "readarray":
                self._read(words, stdin)
            case "set" if "--" in [word.text for word in words]:
                self._scope.parameters = words[[word.text for word in words].index("--") + 1 :]
            case "shift" if self._scope.parameters is not None:
                self._scope.parameters = self._scope.parameters[1:]
            case "printf" if len(words) > 2 and words[1].text == "-v":
                self.assign(words[2].text, (outputs.output(name, words[2:], None),))
            case "unset":
                for word in words[1:]:
                    self._scope.variables.pop(word.text, None)
            case "export" | "declare" | "local" | "readonly" | "typeset":
                pass
            case "eval" | "trap" | "alias":
                with self._reached_by(name):
                    return self._evaluated(name, words)
            case "source" | ".":
                with self._reached_by(name):
                    return self._sourced(words, stdin)
            case _:
                return None
        return NOTHING

    def _evaluated(self, name: str, words: tuple[Word, ...]) -> Word:
        if name == "eval":
            return self._code(expansion.joined(words[1:], " "))
        if name == "trap":
            return self._code(words[1]) if len(words) > 2 and words[1].text not in ("", "-", "-p", "-l") else NOTHING
        for word in words[1:]:
            alias, equals, value = word.text.partition("=")
            if equals:
                self._code(replace(word, text=value))
                self._scope.functions.setdefault(alias, Body(()))
                self._called.add(alias)
        return NOTHING

    def _sourced(self, words: tuple[Word, ...], stdin: Word | None) -> Word:
        if len(words) < 2:
            return NOTHING
        if words[1].text in ("/dev/stdin", "-") and stdin is not None:
            return self._code(stdin)
        return self._file_of_code(words[1])

    # ------------------------------------------------------------ code

    def _code(self, code: Word, stdin: Word | None = None, parameters: tuple[Word, ...] | None = None) -> Word:
        """Go through a text that a shell runs; what that writes."""
        self._traits |= code.origins
        if not code.literal and not code.origins:
            self._traits.add(Trait.UNKNOWN_CODE)
        if len(code.text) > LONGEST:
            raise Spent
        with self._deeper(), self._feeding(stdin):
            outer = self._scope.parameters
            self._scope.parameters = parameters
            try:
                body = parse(code.text.replace("\0", ""), self._depth)
            except TooDeep:
                raise
            except SyntaxProblem:
                self._traits.add(Trait.UNREADABLE)
                return self._pieces(code.text)
            finally:
                self._scope.parameters = outer
            self._scope.parameters = parameters
            named = Trait.UNKNOWN_PROGRAM in self._traits
            written = self._run(body)
            if not code.literal and not named:
                self._traits.discard(Trait.UNKNOWN_PROGRAM)
            self._scope.parameters = outer
            return written

    def _pieces(self, text: str) -> Word:
        """Go through what looks like commands in a text that is no script by the grammar."""
        for piece in re.split(r"[;&|\n(){}`]+|\b(?:do|then|else)\b", text):
            words = tuple(Word(word) for part in piece.split() if (word := re.sub(r"[\"'\\]", "", part)))
            self._command(words, (), (), None)
            for start in range(1, min(len(words), _SUFFIXES)):
                self._note(Command(words[start:], via=self._via))
        return Word(UNKNOWN, literal=False)

    def _file_of_code(self, word: Word) -> Word:
        """Go through the file that ``word`` names, if the script wrote it; other files are not known here."""
        content = self._file(word) or (word if word.text.startswith(("<(", "/dev/fd/")) else None)
        if content is None:
            return Word(UNKNOWN, literal=False)
        if content is word:
            self._traits |= word.origins or {Trait.UNKNOWN_CODE}
            return Word(word.text, literal=False)
        return self._code(content)

    def _shell(self, words: tuple[Word, ...], stdin: Word | None) -> Word:
        call = starting_code.shell_call(words)
        if call.code is not None:
            with self._subshell():
                self._scope.variables["0"] = call.operands[:1]
                return self._code(call.code, stdin, call.operands[1:])
        if call.operands and not call.reads_stdin:
            return self._file_of_code(call.operands[0])
        if stdin is None:
            return Word(UNKNOWN, literal=False)
        with self._subshell():
            return self._code(stdin, None, call.operands)

    def _fed(self, words: tuple[Word, ...], stdin: Word | None) -> Word:
        return self._command(starting_code.fed(words, stdin), (), (), None)

    def _interpreted(self, words: tuple[Word, ...], options: frozenset[str], stdin: Word | None) -> None:
        """Go into the program in another language that ``words`` hold, or that is fed to them."""
        codes = starters.option_values(words, options)
        if "eval" in options and len(words) > 2 and words[1].text == "eval":
            codes = [words[2]]
        operands = [word for word in words[1:] if not word.text.startswith("-")]
        if not codes and operands and (content := self._file(operands[0]) or _process(operands[0])) is not None:
            codes = [content]
        if not codes and stdin is not None and (not operands or words[1].text == "-"):
            modules = any(re.fullmatch(r"-[a-zA-Z]*m", word.text) for word in words[1:])
            codes = [] if modules else [stdin]
        for code in codes:
            self._traits.add(Trait.INLINE_CODE)
            self._traits |= code.origins
            if not code.literal and not code.origins and code.text.startswith("$"):
                self._traits.add(Trait.UNKNOWN_CODE)
            self._inline(code)

    def _inline(self, code: Word) -> None:
        found = inline_code.read(code.text)
        self._inlined.append(found)
        for argv in found.commands:
            self._command(tuple(Word(text) for text in argv), (), (), None)
        for text in found.scripts:
            if re.search(r"\w", text) and not re.fullmatch(r"\S*", text):
                known = Trait.UNREADABLE in self._traits
                self._code(Word(text))
                if not known:
                    self._traits.discard(Trait.UNREADABLE)


def _interpreter(name: str) -> frozenset[str] | None:
    """The options of an interpreter whose values are programs; None when ``name`` is no interpreter."""
    base = re.sub(r"[\d.]+$", "", name)
    return starters.INTERPRETERS.get(name, starters.INTERPRETERS.get(base))


def _process(word: Word) -> Word | None:
    return word if word.text.startswith("<(") else None
