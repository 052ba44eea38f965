"""Whether a rule matches what an agent does: every matcher of the rule looks at the same body."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from typing import TYPE_CHECKING

from ciguard.inspect.sql_statement import Statement
from ciguard.inspect.text_rules import TextRule, any_of, encoded
from ciguard.operation import Json, Operation, OperationKind, Result, strings
from ciguard.policy import globs
from ciguard.policy.rules import Rule
from ciguard.policy.sql_matching import sql_matches
from ciguard.policy.tools import GROUPS

if TYPE_CHECKING:
    from ciguard.inspect.shell.paths import Globs
    from ciguard.policy.command_matching import Commands

_ENVELOPE = frozenset(
    {
        "address",
        "also",
        "argv",
        "body",
        "bytes",
        "command",
        "cwd",
        "files",
        "force",
        "host",
        "id",
        "input",
        "inspect",
        "method",
    }
    | {"name", "namespace", "parent", "path", "port", "ref", "repository", "resource", "rows", "script"}
    | {"server_name", "sha256", "statement", "text", "texts", "unread", "url", "verb"}
)
"""The keys of the bodies of ``operation``."""

_ARGUMENT_KINDS = frozenset({OperationKind.TOOL_CALL, OperationKind.COMMAND})


class Subject:
    """An operation or result with the texts that rules look at, each made once however many rules there are."""

    def __init__(self, subject: Operation | Result, named: Globs | None = None) -> None:
        """``named`` are the files that the rules name; any may be where it is None."""
        self._subject = subject
        self._named = named
        self._encoded: list[bytes] | None = None

    @property
    def tool(self) -> str | None:
        """The name of the called tool, empty when it has none; None where no tool is called."""
        if self._subject.kind is not OperationKind.TOOL_CALL:
            return None
        name = self._subject.body.get("name", "")
        return name if isinstance(name, str) else ""

    @property
    def encoded(self) -> list[bytes]:
        """Every text of the body, and every argument list once more as one line (``["rm", "-r"]`` as ``rm -r``), as
        patterns read them.

        The keys that every body of its kind has are not the agent's words and are left out.
        """
        if self._encoded is None:
            body = self._subject.body
            texts = strings([*body.values()])
            if not body.keys() <= _ENVELOPE:
                texts += body.keys() - _ENVELOPE
            if self._subject.kind in _ARGUMENT_KINDS:
                texts += _lines(dict(body))
            self._encoded = [encoded(text) for text in texts]
        return self._encoded

    @cached_property
    def commands(self) -> Commands:
        """What the scripts, commands and file tools in the body could do."""
        from ciguard.policy.command_matching import commands_of

        return commands_of(self._subject, self._named)

    @cached_property
    def statements(self) -> frozenset[Statement]:
        """What the SQL of the body does."""
        from ciguard.policy.sql_texts import statements_of

        return statements_of(self._subject)


def _lines(value: Json) -> Iterator[str]:
    pending = [value]
    while pending:
        item = pending.pop()
        if isinstance(item, dict):
            pending.extend(item.values())
        elif isinstance(item, list):
            words = [word for word in item if isinstance(word, str)]
            if len(words) > 1:
                yield " ".join(words)
            pending.extend(item)


class Matcher:
    """A rule that is ready to match; its patterns are compiled when a text first meets them.

    ``text`` is what the rule looks for in texts; None when it looks at something else only.
    """

    def __init__(self, rule: Rule) -> None:
        self.rule = rule
        self.text = None if rule.text is None else TextRule(rule.text.regex, rule.text.keywords)
        self._looks_at_commands = any(
            matcher is not None for matcher in (rule.command, rule.files, rule.git, rule.kubernetes)
        )

    def matches(self, subject: Subject) -> bool:
        """Whether every matcher of the rule matches; the cheapest is asked first."""
        return (
            self._matches_tool(subject)
            and self._matches_text(subject)
            and self._matches_sql(subject)
            and all(self._evidence(subject))
        )

    def evidence(self, subject: Subject) -> list[str]:
        """What the rule found in ``subject``, which it matches: the commands and files, for people."""
        return self._evidence(subject)

    def spans(self, text: str) -> list[tuple[int, int]]:
        """Where the rule's text matcher matches, in characters; none without one."""
        return [] if self.text is None else self.text.spans(text)

    def _matches_tool(self, subject: Subject) -> bool:
        tool = self.rule.tool
        if tool is None or subject.tool is None:
            return True
        return (tool.names is None or _is_among(tool.names, subject.tool)) and not _is_among(tool.except_, subject.tool)

    def _matches_text(self, subject: Subject) -> bool:
        return self.text is None or self.text.found_in(subject.encoded)

    def _matches_sql(self, subject: Subject) -> bool:
        return self.rule.sql is None or sql_matches(self.rule.sql, subject.statements)

    def _evidence(self, subject: Subject) -> list[str]:
        """What each matcher of commands that the rule has found; empty where it found nothing."""
        if not self._looks_at_commands:
            return []
        from ciguard.policy.command_matching import evidence

        return evidence(self.rule, subject.commands)


class Gate:
    """Tells where any of several rules may match. Short texts in which it found nothing are remembered.

    ``is_in`` is None where it would take too large a pattern; then nothing is ruled out.
    """

    MOST, LONGEST = 4096, 256

    def __init__(self, is_in: Callable[[bytes], bool] | None) -> None:
        self._is_in = is_in
        self._silent: set[bytes] = set()

    def opens(self, texts: Sequence[bytes]) -> bool:
        """Whether a rule may match one of ``texts``."""
        if self._is_in is None:
            return True
        for text in texts:
            is_short = len(text) <= self.LONGEST
            if is_short and text in self._silent:
                continue
            if self._is_in(text):
                return True
            if is_short:
                if len(self._silent) >= self.MOST:
                    self._silent.clear()
                self._silent.add(text)
        return False


class Watch:
    """All rules that look at one kind of thing."""

    def __init__(self, matchers: Sequence[Matcher]) -> None:
        self.matchers = tuple(matchers)
        self._all_gated = all(matcher.text is not None for matcher in matchers)

    def matched(self, subject: Operation | Result) -> list[Rule]:
        """The rules that match, in policy order."""
        looked_at = Subject(subject, self._named)
        opened = {matcher for gate, behind in self._gates if gate.opens(looked_at.encoded) for matcher in behind}
        if not opened and self._all_gated:
            return []
        asked = [matcher for matcher in self.matchers if matcher.text is None or matcher in opened]
        return [matcher.rule for matcher in asked if matcher.matches(looked_at)]

    @cached_property
    def _gates(self) -> list[tuple[Gate, Sequence[Matcher]]]:
        """The rules that look into texts, those together that one pass over a text can rule out."""
        return _gated([matcher for matcher in self.matchers if matcher.text is not None])

    @cached_property
    def _named(self) -> Globs:
        """The files that any rule names."""
        from ciguard.inspect.shell.paths import Globs

        files = [matcher.rule.files for matcher in self.matchers if matcher.rule.files is not None]
        return Globs([glob for one in files for glob in (*one.reads, *one.writes, *one.deletes)])


def _gated(matchers: Sequence[Matcher]) -> list[tuple[Gate, Sequence[Matcher]]]:
    """Rules that look into texts, in as few parts as the size of a pattern allows."""
    if not matchers:
        return []
    is_in = any_of([matcher.text for matcher in matchers if matcher.text is not None])
    if is_in is not None or len(matchers) == 1:
        return [(Gate(is_in), matchers)]
    half = len(matchers) // 2
    return [*_gated(matchers[:half]), *_gated(matchers[half:])]


def _is_among(tools: Sequence[str], name: str) -> bool:
    return any(name in GROUPS[tool] if tool in GROUPS else globs.matches(tool, name) for tool in tools)
