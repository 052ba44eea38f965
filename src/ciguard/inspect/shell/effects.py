"""What a command does to files: which it reads, changes and deletes, by what its program is known for."""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace

from ciguard.inspect.shell import starters
from ciguard.inspect.shell.command import Access, Command, Script, Word
from ciguard.inspect.shell.inline_code import InlineCode
from ciguard.inspect.shell.paths import Target, target


@dataclass(frozen=True, slots=True)
class Effects:
    """The paths that a command reads, changes (creates, writes, moves, removes), and deletes as a whole."""

    reads: tuple[Target, ...] = ()
    writes: tuple[Target, ...] = ()
    deletes: tuple[Target, ...] = ()


_SPEAKING = frozenset(
    {"echo", "printf", "true", "false", ":", "test", "[", "export", "alias", "trap", "local", "declare"}
)
_DELETING = frozenset({"rm", "rmdir", "unlink", "shred", "srm", "wipe", "rimraf", "trash", "del", "rd", "rm_rf"})
_CHANGING = frozenset(
    {"tee", "touch", "truncate", "chmod", "chown", "chgrp", "chattr", "setfacl", "patch", "mkdir", "mktemp", "sponge"}
    | {"ed", "vim", "vi", "nano", "emacs", "mkfifo", "mknod", "setcap", "dos2unix", "unix2dos"}
)
_COPYING = frozenset({"cp", "mv", "ln", "install", "rsync", "scp", "link", "rename", "gcp", "gmv"})
_EDITING = re.compile(r"-[a-zA-Z]*i.*|--in-?place(?:=.*)?")
_EDITORS = frozenset({"sed", "gsed", "perl", "awk", "gawk", "yq", "ruby", "prettier", "black", "crudini", "dasel"})
_FOLDERS = frozenset({"tar", "bsdtar", "zip", "7z", "7za", "rsync", "scp", "rclone", "restic", "borg", "cpio"})
_WRITING_OPTIONS = {
    "curl": frozenset({"-o", "--output", "-D", "--dump-header", "-c", "--cookie-jar"}),
    "wget": frozenset({"-O", "--output-document", "-o", "--output-file", "-P", "--directory-prefix"}),
    "sort": frozenset({"-o", "--output"}),
    "tar": frozenset({"-C", "--directory"}),
    "unzip": frozenset({"-d"}),
    "gcc": frozenset({"-o"}),
    "openssl": frozenset({"-out"}),
    "ssh-keygen": frozenset({"-f"}),
    "git": frozenset({"--output"}),
}
_FILTERS = re.compile(
    r"-(?:i?l?name|i?path|i?regex|i?wholename|newer\w*|[acm]time|[acm]min|size|empty|user|perm|group)"
)
_EVERYTHING = re.compile(r"(?:^|/)(?:\*+|\.\*|\.?\[[^/]*\]\*|\.\?\?\*)\Z")
_PATH = re.compile(r"[~/.\w$][^\n\"'`]{0,300}")


def effects(command: Command) -> Effects:
    """What ``command`` does to files; what its program starts is a command of its own."""
    started = starters.started(command.words)
    if started:
        command = replace(command, words=command.words[: len(command.words) - len(started)])
    reads = [target(item.target, command.directory) for item in command.redirections if item.access is Access.READ]
    writes = [target(item.target, command.directory) for item in command.redirections if item.access is not Access.READ]
    deletes: list[Target] = []
    name = command.program or _likely(command)
    operands = [
        _Operand(word, target(word, command.directory, below=_reads_below(command))) for word in _operands(command)
    ]
    options = [word.text for word in command.arguments if word.text.startswith("-")]
    removing = _removed(command, name, options)
    if removing is not None:
        deletes += removing
        writes += removing
        if name in _COPYING and operands:
            reads += [item.target for item in operands[:-1]]
            writes += _copied(operands[:-1], operands[-1])
    elif name in ("find", "fd"):
        reads += [replace(item.target, below=False) for item in operands]
    elif name in _CHANGING or (name in _EDITORS and any(map(_EDITING.fullmatch, options))):
        writes += [item.target for item in operands]
    elif name in _COPYING and operands:
        *sources, last = operands
        reads += [item.target for item in sources]
        writes += _copied(sources, last)
        writes += [target(word, command.directory) for word in _named(command, frozenset({"-t", "--target-directory"}))]
    elif name == "dd":
        writes += [_value(item.word, "of=", command) for item in operands if item.word.text.startswith("of=")]
        reads += [_value(item.word, "if=", command) for item in operands if item.word.text.startswith("if=")]
    elif name == "crontab" and (operands or command.stdin is not None or {"-e", "-r"} & set(options)):
        writes.append(Target(("/var/spool/cron/user",)))
    elif name == "git":
        writes += _git(command)
        reads += [item.target for item in operands]
    elif name not in _SPEAKING:
        reads += [item.target for item in operands]
    writes += [target(word, command.directory) for word in _named(command, _WRITING_OPTIONS.get(name, frozenset()))]
    if name not in _SPEAKING:
        reads += _in_options(command)
    return Effects(tuple(reads), tuple(writes), tuple(deletes))


def inline_effects(code: InlineCode) -> Effects:
    """What a program in another language does to the files that its strings name."""
    named = tuple(target(Word(text), "") for text in code.strings if _PATH.fullmatch(text))
    deleted = tuple(target(Word(text), "") for text in code.deleted if _PATH.fullmatch(text))
    return Effects(named, named if code.writes else deleted, deleted)


def all_effects(script: Script) -> Iterator[tuple[str, Effects]]:
    """The effects of every command of ``script``, each with how people would write it."""
    for command in script.commands:
        yield command.line, effects(command)
    for code in script.inline:
        yield "inline code", inline_effects(code)


@dataclass(frozen=True, slots=True)
class _Operand:
    word: Word
    target: Target


def _operands(command: Command) -> list[Word]:
    words = []
    behind = False
    for word in command.arguments:
        if behind or not word.text.startswith("-") or word.text == "-":
            words.append(word)
        elif word.text == "--":
            behind = True
    return words


def _likely(command: Command) -> str:
    """The program that deletes, if the unknown one may be that: ``/bin/r? x``, ``$X -rf x``."""
    first = command.words[0] if command.words else Word("")
    pattern = first.text.rpartition("/")[2]
    if first.pattern:
        return next((name for name in sorted(_DELETING) if fnmatch.fnmatchcase(name, pattern)), "")
    recursive = any(re.fullmatch(r"-[a-zA-Z]*[rR][a-zA-Z]*", word.text) for word in command.arguments)
    return "rm" if recursive else ""


def _reads_below(command: Command) -> bool:
    """Whether the command reads all that is in the folders that it names."""
    name = command.program
    options = [word.text for word in command.arguments if word.text.startswith("-")]
    recursive = any(re.fullmatch(r"-[a-zA-Z]*[rRa][a-zA-Z]*|--recursive|--archive", option) for option in options)
    return name in _FOLDERS or (name in ("cp", "gcp") and recursive)


def _removed(command: Command, name: str, options: list[str]) -> list[Target] | None:
    """What is deleted; None for a command that deletes nothing."""
    words = _operands(command)
    if name in _DELETING:
        recursive = name != "rm" or any(re.fullmatch(r"-[a-zA-Z]*[rR][a-zA-Z]*|--r.*", option) for option in options)
        return [_deleted(word, command, recursive=recursive) for word in words]
    if name in ("find", "fd"):
        return _found_and_removed(command)
    if name in ("mv", "gmv") and words:
        return [_deleted(word, command, recursive=True) for word in words[:-1]]
    if name == "rsync" and any(option.startswith("--del") for option in options):
        return [_deleted(word, command, recursive=True) for word in words[-1:]]
    return None


def _deleted(word: Word, command: Command, *, recursive: bool) -> Target:
    """``x/*`` deletes what ``x`` holds, and so ``x`` for everyone who cares."""
    whole = target(word, command.directory)
    if not word.pattern:
        return whole
    folder = _EVERYTHING.sub("", word.text)
    if folder == word.text or not (recursive or folder.startswith(("/", "~"))):
        return whole
    root = "/" if word.text.startswith("/") and not folder else folder or "."
    return _joined(whole, target(replace(word, text=root, pattern=bool(re.search(r"[*?\[]", root))), command.directory))


def _joined(first: Target, second: Target) -> Target:
    return Target((*first.ways, *second.ways), first.pattern)


def _found_and_removed(command: Command) -> list[Target] | None:
    words = command.words
    started = starters.found_programs(words)
    removing = any(word.text in ("-delete", "--delete") for word in words) or any(
        program and program[0].text.rpartition("/")[2] in _DELETING for program in started
    )
    if not removing:
        return None
    starts = []
    for word in words[1:]:
        if word.text.startswith(("-", "(", "!")) and word.text not in ("-H", "-L", "-P"):
            break
        if not word.text.startswith("-"):
            starts.append(word)
    filtered = any(_FILTERS.fullmatch(word.text) for word in words)
    targets = [_deleted(word, command, recursive=True) for word in starts or [Word(".")]]
    return [item for item in targets if not filtered or any(way.startswith(("/", "~")) for way in item.ways)]


def _copied(sources: list[_Operand], last: _Operand) -> list[Target]:
    """Where copies of ``sources`` come to lie: ``last`` itself, or their names in it."""
    ways = list(last.target.ways)
    for item in sources:
        base = item.word.text.rstrip("/").rpartition("/")[2]
        ways += [f"{way}/{base}" for way in last.target.ways if base]
    return [Target(tuple(ways), last.target.pattern)]


def _git(command: Command) -> list[Target]:
    texts = [word.text for word in command.arguments]
    verbs = {"rm", "mv", "checkout", "restore", "apply", "clean"} & set(texts)
    return [target(word, command.directory) for word in _operands(command)[1:]] if verbs else []


def _named(command: Command, options: frozenset[str]) -> list[Word]:
    return starters.option_values(command.words, options)


def _value(word: Word, prefix: str, command: Command) -> Target:
    return target(replace(word, text=word.text.removeprefix(prefix)), command.directory)


def _in_options(command: Command) -> list[Target]:
    """Paths that stand in options and settings: ``--file=x``, ``-d @x``, ``name=@x``, ``if=x``."""
    found = []
    for word in command.arguments:
        _, mark, rest = word.text.partition("@" if "@" in word.text else "=")
        if mark and rest and (word.text.startswith(("-", "@")) or mark == "=" or "=@" in word.text):
            found.append(target(replace(word, text=rest), command.directory))
    return found
