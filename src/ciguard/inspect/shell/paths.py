"""Paths as a policy speaks of them: where a word of a command points to, in every way that it can be written."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache

from ciguard.inspect.shell.command import Word
from ciguard.inspect.text_rules import UNION_MEMORY, Pattern

WORKSPACE = re.compile(r"/(?:home/[^/]+/work/([^/]+)/\1|__w/([^/]+)/\2|builds/[^/]+/[^/]+|github/workspace)(?=/|\Z)")
"""Where forges check the repository out (GitHub's runner and its containers, GitLab's runner)."""

_HOMES = re.compile(r"(?:~[\w.-]*|/root|/(?:home|Users)/[^/]+)(?=/|\Z)")
_HOME_VARIABLE = re.compile(r"\$(?:HOME\b|\{HOME\})")
_HERE_VARIABLE = re.compile(
    r"\$(?:(?:PWD|GITHUB_WORKSPACE|CI_PROJECT_DIR|WORKSPACE)\b|\{(?:PWD|GITHUB_WORKSPACE|CI_PROJECT_DIR|WORKSPACE)\}"
    r"|\(\s*(?:pwd|git rev-parse --show-toplevel)\s*\))"
)
_OTHER_VARIABLE = re.compile(r"\$(?:\w+|\{\w+\}|\([^()]*\))/+(?=[^/*?])")
_PROC_ROOT = re.compile(r"/proc/[^/]+/(?:root|cwd)(?=/|\Z)")
_LONGEST = 1024
_LONGEST_PATTERN = 256


@dataclass(frozen=True, slots=True)
class Target:
    """A path that a command touches: the ways to write it, and whether everything below it is meant as well.

    ``pattern`` says that ``*``, ``?`` and ``[...]`` in the ways stand for names of files.
    """

    ways: tuple[str, ...]
    pattern: bool = False
    below: bool = False

    def within(self, glob: str) -> bool:
        """Whether the path can be one that ``glob`` names.

        In ``glob`` a ``*`` stands for any characters. One that begins with neither ``/`` nor ``~`` is looked for at
        any depth, except ``.``.
        """
        return any(
            _overlaps(glob, way, pattern=self.pattern) or (self.below and _is_below(glob, way)) for way in self.ways
        )


class Globs:
    """Several globs, asked at once."""

    def __init__(self, globs: Sequence[str]) -> None:
        self._globs = tuple(dict.fromkeys(globs))

    def have(self, path: Target) -> bool:
        """Whether ``path`` is :meth:`~Target.within` any of them."""
        if path.pattern or path.below or self._union is None:
            return any(path.within(glob) for glob in self._globs)
        return any(self._union.fullmatch(way.encode("utf-8", "surrogatepass")) for way in path.ways)

    @cached_property
    def _union(self) -> Pattern | None:
        """What matches a path that any of the globs does, in bytes; None without globs or when it is too large."""
        if not self._globs:
            return None
        import re2

        options = re2.Options()
        options.encoding = re2.Options.Encoding.LATIN1
        options.dot_nl = True
        options.log_errors = False
        options.max_mem = UNION_MEMORY
        regexes = (_regex(glob).encode("utf-8", "surrogatepass").decode("latin-1") for glob in self._globs)
        try:
            union: Pattern = re2.compile("|".join(f"(?:{regex})" for regex in regexes).encode("latin-1"), options)
        except re2.error:
            return None
        return union


def target(word: Word, directory: str | None, *, below: bool = False) -> Target:
    """Where ``word`` points to for a command that runs in ``directory``."""
    text = word.text[:_LONGEST].removeprefix("file://")
    ways = []
    if not word.literal:
        text = _HERE_VARIABLE.sub(directory or ".", _HOME_VARIABLE.sub("~", text, count=1), count=1)
        rest = _OTHER_VARIABLE.match(text)
        if rest is not None:
            ways += [text[rest.end() :], f"~/{text[rest.end() :]}"]
    if not text.startswith(("/", "~", "$")):
        text = posixpath.join(directory or "", text)
    ways.append(text)
    return Target(tuple(dict.fromkeys(form for way in ways for form in _forms(way))), word.pattern, below)


def _forms(path: str) -> list[str]:
    path = _PROC_ROOT.sub("", path) or "/"
    path = re.sub(r"\A//+", "/", posixpath.normpath(path))
    forms = [path]
    workspace = WORKSPACE.match(path)
    if workspace is not None:
        return [path, path[workspace.end() + 1 :] or "."]
    home = _HOMES.match(path)
    if home is not None:
        forms.append(f"~{path[home.end() :]}")
    return forms


def _is_below(glob: str, folder: str) -> bool:
    return glob.startswith(("/", "~")) and glob.startswith(folder if folder == "/" else f"{folder}/")


def _overlaps(glob: str, path: str, *, pattern: bool) -> bool:
    if not pattern:
        return _compiled(glob).fullmatch(path) is not None
    if len(path) > _LONGEST_PATTERN:
        return True
    if glob.startswith(("/", "~")):
        globs = [glob]
    else:
        # All of a folder is no particular file that may lie at any depth: build/* does not mean build/Jenkinsfile.
        path = re.sub(r"(?:(?<=/)|\A)\*+(?=/|\Z)", "\N{REPLACEMENT CHARACTER}", path)
        globs = [glob] if glob == "." else [glob, f"*/{glob}"]
    return any(_ends_agree(item, path) and _common(_tokens(item), _patterned(path)) for item in globs)


def _ends_agree(glob: str, path: str) -> bool:
    """Whether what stands before the first and behind the last wildcard of both does not already tell them apart."""
    mine, theirs = glob.partition("*")[0], re.split(r"[*?\[]", path, maxsplit=1)[0]
    common = min(len(mine), len(theirs))
    if mine[:common] != theirs[:common]:
        return False
    mine, theirs = glob.rpartition("*")[2], re.split(r"[*?\]]", path)[-1]
    common = min(len(mine), len(theirs))
    return common == 0 or mine[-common:] == theirs[-common:]


@lru_cache(maxsize=4096)
def _compiled(glob: str) -> re.Pattern[str]:
    return re.compile(_regex(glob), re.DOTALL)


def _regex(glob: str) -> str:
    regex = ".*".join(map(re.escape, re.split(r"\*+", glob)))
    anywhere = "" if glob.startswith(("/", "~")) or glob == "." else "(?:.*/)?"
    return anywhere + regex


_ANY, _NAME, _CHARACTER = "any", "name", "character"
"""Tokens besides single characters: any run, any run without a slash, one character but a slash."""


@lru_cache(maxsize=4096)
def _tokens(glob: str) -> tuple[str, ...]:
    return tuple(_ANY if char == "*" else char for char in re.sub(r"\*+", "*", glob))


@lru_cache(maxsize=4096)
def _patterned(path: str) -> tuple[str, ...]:
    pieces = re.findall(r"\*+|\?|\[[^\]/]+\]|.", path, re.DOTALL)
    return tuple(
        _NAME if piece[0] == "*" else _CHARACTER if piece[0] in "?[" and piece != "[" else piece for piece in pieces
    )


@lru_cache(maxsize=4096)
def _common(glob: tuple[str, ...], path: tuple[str, ...]) -> bool:
    """Whether some path fits both; a name that a pattern of the shell makes up does not begin with a dot."""
    pending = [(0, 0, False)]
    seen = set(pending)
    while pending:
        place, index, begun = pending.pop()
        wanted = glob[place] if place < len(glob) else ""
        token = path[index] if index < len(path) else ""
        if not wanted and not token:
            return True
        dotless = not begun and (index == 0 or path[index - 1] == "/") and wanted == "."
        steps = []
        if wanted == _ANY:
            steps.append((place + 1, index, begun))
        if token == _NAME:
            steps.append((place, index + 1, False))
            if wanted and wanted not in (_ANY, "/") and not dotless:
                steps.append((place + 1, index, True))
        elif token and wanted == _ANY:
            steps.append((place, index + 1, False))
        elif token and (token == wanted or (token == _CHARACTER and wanted not in ("", "/") and not dotless)):
            steps.append((place + 1, index + 1, False))
        for step in steps:
            if step not in seen:
                seen.add(step)
                pending.append(step)
    return False
