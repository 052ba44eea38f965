"""Whether what scripts, commands and file tools do is what a rule looks for; the answer is what was found."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cached_property

from ciguard.inspect.shell import git, kubernetes
from ciguard.inspect.shell.command import Command, Script
from ciguard.inspect.shell.effects import Effects, all_effects
from ciguard.inspect.shell.git import GitUse
from ciguard.inspect.shell.kubernetes import UNKNOWN, ClusterUse
from ciguard.inspect.shell.paths import Globs, Target
from ciguard.operation import Operation, OperationKind, Result
from ciguard.policy import globs
from ciguard.policy.rules import CommandMatcher, FilesMatcher, GitMatcher, KubernetesMatcher, Rule
from ciguard.policy.scripts import scripts_of, touched_by

_SHOWN = 120


class Commands:
    """What one operation could do: its scripts, and what it names besides them. Each is looked at once."""

    def __init__(
        self,
        scripts: Sequence[Script] = (),
        *,
        touched: Sequence[tuple[str, Effects]] = (),
        push: GitUse | None = None,
        request: ClusterUse | None = None,
        named: Globs | None = None,
    ) -> None:
        self.scripts = scripts
        self._touched = touched
        self._push = push
        self._request = request
        self._named = named

    @cached_property
    def all(self) -> list[Command]:
        """Every command that could run."""
        return [command for script in self.scripts for command in script.commands]

    @cached_property
    def effects(self) -> list[tuple[str, Effects]]:
        """What is done to files, and by what; only of files that a rule names, where these are known."""
        found = [*self._touched, *(effect for script in self.scripts for effect in all_effects(script))]
        return found if self._named is None else [(line, _named(done, self._named)) for line, done in found]

    @cached_property
    def git_uses(self) -> list[tuple[str, GitUse]]:
        """What is done with git."""
        if self._push is not None:
            return [("the push", self._push)]
        uses = ((command, git.read(command)) for command in self.all)
        return [(shown(command), use) for command, use in uses if use is not None]

    @cached_property
    def cluster_uses(self) -> list[tuple[str, ClusterUse]]:
        """What is asked of clusters."""
        if self._request is not None:
            return [("the request", self._request)]
        uses = ((command, kubernetes.read(command)) for command in self.all)
        return [(shown(command), use) for command, use in uses if use is not None]


def commands_of(subject: Operation | Result, named: Globs | None = None) -> Commands:
    """What ``subject`` could do; nothing when it is a result. ``named`` are the files that rules name."""
    if not isinstance(subject, Operation):
        return Commands()
    match subject.kind:
        case OperationKind.GIT_PUSH:
            ref, forced = str(subject.body.get("ref", "")), subject.body.get("force") is not False
            return Commands(push=git.of_push(ref, forced=forced))
        case OperationKind.KUBERNETES_REQUEST:
            verb, resource, namespace = (str(subject.body.get(key, "")) for key in ("verb", "resource", "namespace"))
            return Commands(request=kubernetes.of_request(verb, resource, namespace))
        case _:
            return Commands(scripts_of(subject), touched=touched_by(subject), named=named)


def evidence(rule: Rule, commands: Commands) -> list[str]:
    """What each matcher of ``rule`` that looks at commands finds first, for people; empty where it finds nothing."""
    found = []
    if rule.command is not None:
        found.append(_command(rule.command, commands))
    if rule.files is not None:
        found.append(_files(rule.files, commands))
    if rule.git is not None:
        found.append(_git(rule.git, commands))
    if rule.kubernetes is not None:
        found.append(_kubernetes(rule.kubernetes, commands))
    return found


def shown(command: Command) -> str:
    """``command`` for people: cut short, and with what starts it."""
    via = f" (started by {' '.join(command.via)})" if command.via else ""
    return f"{_cut(command.line)}{via}"


def _command(matcher: CommandMatcher, commands: Commands) -> str:
    for script in commands.scripts:
        for trait in matcher.traits:
            if trait in script.traits:
                return f"the script has the trait {trait}"
    return next((shown(item) for item in commands.all if matcher.invocations.match(item)), "")


def _files(matcher: FilesMatcher, commands: Commands) -> str:
    for line, effects in commands.effects:
        for verb, wanted, touched in (
            ("deletes", matcher.deletes, effects.deletes),
            ("writes", matcher.writes, effects.writes),
            ("reads", matcher.reads, effects.reads),
        ):
            path = _first_within(wanted, touched)
            if path is not None:
                return f"{_cut(line)} {verb} {_cut(path.ways[0])}"
    return ""


def _git(matcher: GitMatcher, commands: Commands) -> str:
    for line, use in commands.git_uses:
        if not use.acts.isdisjoint(matcher.acts) and _on_named_branch(matcher, use):
            return line
    return ""


def _kubernetes(matcher: KubernetesMatcher, commands: Commands) -> str:
    for line, use in commands.cluster_uses:
        if (
            _any(matcher.verbs, use.verbs)
            and (matcher.resources is None or _any(matcher.resources, use.resources))
            and _is_or_may_be(matcher.namespaces, use.namespace)
            and _is_or_may_be(matcher.contexts, use.context)
        ):
            return line
    return ""


def _named(done: Effects, globs: Globs) -> Effects:
    reads, writes, deletes = (tuple(filter(globs.have, paths)) for paths in (done.reads, done.writes, done.deletes))
    return Effects(reads, writes, deletes)


def _first_within(wanted: Sequence[str], touched: Sequence[Target]) -> Target | None:
    return next((path for path in touched if any(path.within(glob) for glob in wanted)), None)


def _on_named_branch(matcher: GitMatcher, use: GitUse) -> bool:
    return matcher.branches is None or use.branches is None or _any(matcher.branches, use.branches)


def _is_or_may_be(wanted: Sequence[str] | None, name: str) -> bool:
    return wanted is None or name in (UNKNOWN, "*") or _any(wanted, [name])


def _any(wanted: Sequence[str], names: Iterable[str]) -> bool:
    return any(globs.matches(glob, name) for name in names for glob in wanted)


def _cut(text: str) -> str:
    return text if len(text) <= _SHOWN else f"{text[: _SHOWN - 1]}…"
