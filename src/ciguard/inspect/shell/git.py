"""What a git command does to history, branches and settings. From git's manual pages (git-push, git-config, ...)."""

from __future__ import annotations

import re
from dataclasses import dataclass

from ciguard.inspect.shell.command import Command, Word
from ciguard.inspect.shell.trait import GitAct


@dataclass(frozen=True, slots=True)
class GitUse:
    """What a git command does, and the remote branches that it names; None when it may be any."""

    acts: frozenset[GitAct]
    branches: tuple[str, ...] | None = None


_VALUES = frozenset(
    {"-C", "-c", "--git-dir", "--work-tree", "--namespace", "--exec-path", "--config-env", "--super-prefix"}
)
_PUSH_VALUES = frozenset({"-o", "--push-option", "--receive-pack", "--exec", "--repo"})
_SETTING = re.compile(
    r"(?i)(?:core\.(?:hookspath|fsmonitor|sshcommand|pager|editor|askpass|gitproxy|attributesfile)|(?:credential\.(?:.*\.)?helper)"
    r"|(?:filter|merge|diff|difftool|mergetool|browser|man)\.(?:.*\.)?(?:clean|smudge|process|driver|command|textconv|cmd|path)"
    r"|diff\.external|sequence\.editor|gpg\.(?:.*\.)?program|url\..*\.(?:insteadof|pushinsteadof)|http\.(?:.*\.)?(?:proxy|sslverify)"
    r"|include(?:if\..*)?\.path|protocol\.ext\.allow|remote\..*\.(?:uploadpack|receivepack)|uploadpack\.packobjectshook"
    r"|init\.templatedir|pager\..*|interactive\.difffilter|ssh\.variant)"
)

_HARMLESS = frozenset({"", "cat", "less", "more", "true", "false", ":", "vi", "vim", "nano", "cache", "/dev/null"})
"""Values that start nothing of the agent's own."""


def read(command: Command) -> GitUse | None:
    """What ``command`` does; None when it is no git command."""
    if command.program == "bfg":
        return GitUse(frozenset({GitAct.REWRITE_HISTORY}))
    if command.program != "git" and not command.program.startswith("git-"):
        return None
    words = list(command.arguments)
    if command.program != "git":
        words.insert(0, Word(command.program.removeprefix("git-")))
    acts = set()
    while words and words[0].text.startswith("-"):
        option = words.pop(0).text
        value = words.pop(0).text if option in _VALUES and words else option[2:]
        if option.startswith(("-c", "--config-env")) and _executes(value):
            acts.add(GitAct.EXECUTABLE_SETTING)
    if not words:
        return GitUse(frozenset(acts))
    verb, texts = words[0].text, [word.text for word in words[1:]]
    if verb == "push":
        pushed, branches = _pushed(words[1:])
        return GitUse(frozenset(acts | pushed), branches)
    if verb == "config" and _sets(texts):
        acts.add(GitAct.EXECUTABLE_SETTING)
    return GitUse(frozenset(acts | set(_changed(verb, texts))))


def of_push(ref: str, *, forced: bool) -> GitUse:
    """What a push of ``ref`` that crosses the guard does."""
    return GitUse(frozenset({GitAct.PUSH, GitAct.FORCE_PUSH} if forced else {GitAct.PUSH}), (_branch(ref),))


def _pushed(words: list[Word]) -> tuple[set[GitAct], tuple[str, ...] | None]:
    acts = {GitAct.PUSH}
    operands: list[Word] = []
    deletes = every = skip = False
    for word in words:
        text = word.text
        if skip:
            skip = False
        elif text in _PUSH_VALUES:
            skip = True
        elif not text.startswith("-") or text == "-":
            operands.append(word)
        elif _is(text, "--force-with-lease") or _is(text, "--force-if-includes"):
            acts.add(GitAct.LEASE_PUSH)
        elif _is(text, "--force") or re.fullmatch(r"-[a-zA-Z0-9]*f[a-zA-Z0-9]*", text):
            acts.add(GitAct.FORCE_PUSH)
        elif _is(text, "--mirror"):
            acts.add(GitAct.FORCE_PUSH)
            every = True
        elif _is(text, "--delete") or _is(text, "--prune") or re.fullmatch(r"-[a-zA-Z0-9]*d[a-zA-Z0-9]*", text):
            acts.add(GitAct.DELETE_BRANCH)
            deletes = True
        elif _is(text, "--all") or _is(text, "--branches"):
            every = True
    refs = operands[1:]
    for ref in refs:
        if ref.text.startswith("+"):
            acts.add(GitAct.FORCE_PUSH)
        if ref.text.startswith(":") and len(ref.text) > 1 and not deletes:
            acts.add(GitAct.DELETE_BRANCH)
    known = refs and not every and all(ref.literal and not ref.text.endswith("HEAD") for ref in refs)
    return acts, tuple(_branch(ref.text) for ref in refs) if known else None


def _branch(ref: str) -> str:
    target = ref.removeprefix("+").rpartition(":")[2]
    return re.sub(r"\A(?:refs/)?heads/", "", target)


def _is(text: str, option: str) -> bool:
    """git takes abbreviations of its long options."""
    name = text.partition("=")[0]
    return name == option or (len(name) >= 5 and option.startswith(name) and name != "--force"[: len(name)])


def _sets(texts: list[str]) -> bool:
    names = [text for text in texts if not text.startswith("-") and text not in ("set", "get", "list", "unset")]
    reads = any(text in ("--get", "--get-all", "--list", "-l", "--unset", "get", "list", "unset") for text in texts)
    return len(names) > 1 and not reads and _executes("=".join(names[:2]))


def _executes(setting: str) -> bool:
    name, _, value = setting.partition("=")
    if value in _HARMLESS:
        return False
    return _SETTING.fullmatch(name) is not None or (name.lower().startswith("alias.") and value.startswith("!"))


def _changed(verb: str, texts: list[str]) -> list[GitAct]:
    has = set(texts).__contains__
    letters = {letter for text in texts if re.fullmatch(r"-[a-zA-Z]+", text) for letter in text[1:]}
    match verb:
        case "filter-branch" | "filter-repo" | "replace":
            return [GitAct.REWRITE_HISTORY]
        case "reflog" if texts[:1] in (["expire"], ["delete"]):
            return [GitAct.REWRITE_HISTORY]
        case "update-ref" if "d" in letters or has("--stdin"):
            return [GitAct.REWRITE_HISTORY]
        case "gc" | "prune" if any(re.fullmatch(r"--(?:prune|expire)(?:=now|=all|)", text) for text in texts):
            return [GitAct.REWRITE_HISTORY] if any("now" in text or "all" in text for text in texts) else []
        case "rebase" | "commit" if verb == "rebase" or has("--amend"):
            return [GitAct.REWRITE_COMMITS]
        case "reset" if any(_is(text, "--hard") or _is(text, "--merge") for text in texts):
            return [GitAct.DISCARD_WORK, GitAct.REWRITE_COMMITS]
        case "clean" if "f" in letters or any(_is(text, "--force") for text in texts):
            return [GitAct.DISCARD_WORK]
        case "checkout" | "restore" | "switch" if _discards(verb, texts, letters):
            return [GitAct.DISCARD_WORK]
        case "stash" if texts[:1] in (["drop"], ["clear"]):
            return [GitAct.DISCARD_WORK]
        case "branch" if "D" in letters:
            return [GitAct.DISCARD_WORK]
        case "worktree" if texts[:1] == ["remove"] and ("f" in letters or has("--force")):
            return [GitAct.DISCARD_WORK]
        case _:
            return []


def _discards(verb: str, texts: list[str], letters: set[str]) -> bool:
    everything = any(text in (".", "./", "*", ":/", ":/.") for text in texts)
    return everything if verb == "restore" else everything or "f" in letters or "--force" in texts
