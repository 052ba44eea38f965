"""Programs that start the program their own words name, or run a text as a script: which words those are.

From the programs' manual pages (coreutils, util-linux, sudo, OpenSSH, findutils, parallel, git).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ciguard.inspect.shell.command import Word

SHELLS = frozenset({"sh", "bash", "zsh", "dash", "ksh", "ksh93", "mksh", "ash", "rbash", "fish", "yash", "posh"})

INTERPRETERS: Mapping[str, frozenset[str]] = {
    "python": frozenset({"-c"}),
    "pypy": frozenset({"-c"}),
    "node": frozenset({"-e", "--eval", "-p", "--print", "-pe"}),
    "nodejs": frozenset({"-e", "--eval", "-p", "--print", "-pe"}),
    "bun": frozenset({"-e", "--eval"}),
    "deno": frozenset({"eval"}),
    "perl": frozenset({"-e", "-E"}),
    "ruby": frozenset({"-e"}),
    "php": frozenset({"-r", "-R", "-B", "-E"}),
    "lua": frozenset({"-e"}),
    "osascript": frozenset({"-e"}),
    "tclsh": frozenset(),
    "expect": frozenset({"-c"}),
    "Rscript": frozenset({"-e"}),
    "jshell": frozenset(),
    "groovy": frozenset({"-e"}),
    "elixir": frozenset({"-e"}),
    "gdb": frozenset({"-ex", "--eval-command"}),
    "vim": frozenset({"-c", "--cmd"}),
    "vi": frozenset({"-c"}),
    "nvim": frozenset({"-c", "--cmd"}),
    "ex": frozenset({"-c"}),
    "emacs": frozenset({"--eval"}),
}
"""Interpreters of other languages, each with the options whose value is a program."""


@dataclass(frozen=True, slots=True)
class _Starter:
    """Options that take a value in the next word, and how many operands stand before the program."""

    options: frozenset[str] = frozenset()
    operands: int = 0
    assigns: bool = False


def _starter(options: str = "", operands: int = 0, *, assigns: bool = False) -> _Starter:
    return _Starter(frozenset(options.split()), operands, assigns)


_STARTERS: Mapping[str, _Starter] = {
    "sudo": _starter(
        "-u -g -h -p -C -T -r -t -U -D -R -a -c --user --group --host --prompt --chdir --chroot --close-from "
        "--command-timeout --role --type --other-user --auth-type --login-class",
        assigns=True,
    ),
    "doas": _starter("-u -C -a"),
    "pkexec": _starter("--user"),
    "env": _starter("-u -C --unset --chdir", assigns=True),
    "nohup": _starter(),
    "setsid": _starter(),
    "builtin": _starter(),
    "command": _starter(),
    "exec": _starter("-a"),
    "nice": _starter("-n --adjustment"),
    "ionice": _starter("-c -n -t --class --classdata"),
    "time": _starter("-f -o --format --output"),
    "timeout": _starter("-s -k --signal --kill-after", 1),
    "stdbuf": _starter("-i -o -e --input --output --error"),
    "unbuffer": _starter(),
    "busybox": _starter(),
    "toybox": _starter(),
    "chroot": _starter("", 1),
    "chrt": _starter("-T -P -D", 1),
    "taskset": _starter("", 1),
    "prlimit": _starter(),
    "numactl": _starter("-N -m -C -i -p"),
    "unshare": _starter("-S -G -R -w --root --wd --setuid --setgid"),
    "nsenter": _starter("-t -S -G --target --setuid --setgid"),
    "setpriv": _starter("--reuid --regid --groups --inh-caps --ambient-caps --bounding-set"),
    "gosu": _starter("", 1),
    "su-exec": _starter("", 1),
    "setarch": _starter("", 1),
    "linux32": _starter(),
    "linux64": _starter(),
    "strace": _starter("-e -o -p -s -u -P -E -I -O -S -X -a -b"),
    "ltrace": _starter("-e -o -p -s -u -n -a -l -x"),
    "valgrind": _starter(),
    "catchsegv": _starter(),
    "fakeroot": _starter("-l -s -i -b"),
    "faketime": _starter("", 1),
    "xvfb-run": _starter("-e -f -n -p -s --server-args --server-num --auth-file --error-file"),
    "dbus-run-session": _starter("--config-file --dbus-daemon"),
    "systemd-run": _starter("-u -p -M -H -E -t --unit --property --slice --uid --gid --setenv --working-directory"),
    "systemd-inhibit": _starter("--what --who --why --mode"),
    "caffeinate": _starter("-t -w"),
    "tini": _starter("-p -e"),
    "dumb-init": _starter(),
    "catatonit": _starter(),
    "proot": _starter("-r -b -w -q -k"),
    "rlwrap": _starter("-f -H -C"),
    "sshpass": _starter("-p -f -d -P"),
    "torsocks": _starter(),
    "proxychains": _starter("-f"),
    "proxychains4": _starter("-f"),
    "npx": _starter("-p --package"),
    "bunx": _starter(),
    "uvx": _starter("--from --with -p --python"),
    "pipx run": _starter("--spec"),
    "uv run": _starter("--with --extra --group -p --python --project --directory --env-file --index-url"),
    "poetry run": _starter(),
    "pipenv run": _starter(),
    "pdm run": _starter(),
    "hatch run": _starter(),
    "rye run": _starter(),
    "pixi run": _starter("-e --environment --manifest-path"),
    "conda run": _starter("-n -p --name --prefix --cwd"),
    "bundle exec": _starter(),
    "npm exec": _starter("-p --package -w --workspace"),
    "pnpm exec": _starter(),
    "pnpm dlx": _starter(),
    "yarn exec": _starter(),
    "yarn dlx": _starter("-p"),
    "mise exec": _starter(),
    "mise x": _starter(),
    "asdf exec": _starter(),
    "direnv exec": _starter("", 1),
    "dotenv": _starter("-f -e"),
    "doppler run": _starter("-p -c --project --config"),
    "op run": _starter("--env-file"),
    "aws-vault exec": _starter("-d --duration --region", 1),
    "chamber exec": _starter("", 1),
    "infisical run": _starter("--env --path --projectId"),
    "git bisect run": _starter(),
    "git submodule foreach": _starter(),
    "kubectl exec": _starter("-c -n --container --namespace --context --kubeconfig --pod-running-timeout", 1),
    "oc exec": _starter("-c -n --container --namespace --context --kubeconfig", 1),
}

_COMMANDS_WITH_VERB = frozenset(name.split()[0] for name in _STARTERS if " " in name)
_VALUE_OF_GLOBAL = frozenset({"-n", "--namespace", "--context", "--kubeconfig", "-C", "-c", "--prefix", "--cwd"})

_LAST_WORD_IS_CODE: Mapping[str, frozenset[str]] = {
    "su": frozenset({"-c", "--command", "--session-command"}),
    "runuser": frozenset({"-c", "--command", "--session-command"}),
    "script": frozenset({"-c", "--command"}),
    "flock": frozenset({"-c", "--command"}),
    "sg": frozenset({"-c"}),
    "entr": frozenset({"-s"}),
    "tmux": frozenset(),
    "screen": frozenset({"-X"}),
    "nix-shell": frozenset({"--run", "--command"}),
    "hyperfine": frozenset({"-p", "--prepare", "-c", "--cleanup", "-s", "--setup"}),
    "rsync": frozenset({"-e", "--rsh", "--rsync-path"}),
    "tar": frozenset({"-I", "--use-compress-program", "--to-command", "--checkpoint-action", "-F"}),
    "env": frozenset({"-S", "--split-string"}),
    "make": frozenset({"--eval"}),
    "zip": frozenset({"-TT", "--unzip-command"}),
    "xterm": frozenset({"-e"}),
    "npm": frozenset({"-c", "--call"}),
    "npx": frozenset({"-c", "--call"}),
    "git": frozenset(
        {"-x", "--exec", "--tree-filter", "--index-filter", "--msg-filter", "--env-filter", "--commit-filter"}
        | {"--parent-filter", "--tag-name-filter", "--upload-pack", "--receive-pack", "--extcmd"}
    ),
}
"""Options whose value is a script of the shell."""

_JOINED = frozenset({"eval", "watch", "parallel", "ssh", "mosh", "autossh"})
_JOINED_OPTIONS: Mapping[str, frozenset[str]] = {
    "watch": frozenset({"-n", "--interval"}),
    "parallel": frozenset({"-j", "--jobs", "-I", "-a", "--arg-file", "-N", "-n", "-L", "--colsep", "--joblog"}),
    "ssh": frozenset(f"-{letter}" for letter in "BbcDEeFIiJLlmOopQRSWw"),
}
_SSH_OPTION = re.compile(
    r"(?i)(?:ProxyCommand|LocalCommand|KnownHostsCommand|PermitLocalCommand)[= ]\s*(.*)", re.DOTALL
)
_GIT_SETTING = re.compile(
    r"(?i)alias\.[^=]*=!(.*)|(?:core\.(?:sshCommand|pager|editor|fsmonitor|askPass)|credential\.(?:\S+\.)?helper"
    r"|sequence\.editor|diff\.external|gpg\.program|(?:diff|filter|merge)\.[^=]+\.(?:command|textconv|clean|smudge|driver))"
    r"=!?(.*)",
    re.DOTALL,
)


def started(words: Sequence[Word]) -> tuple[Word, ...] | None:
    """The words of the program that a prefix such as ``sudo`` starts; None when ``words`` are no such prefix."""
    if not words:
        return None
    name, skipped = _name(words)
    starter = _STARTERS.get(name)
    if starter is None:
        return None
    if name == "command" and any(word.text in ("-v", "-V") for word in words[1:2]):
        return None
    position = _behind_options(words, skipped, starter.options)
    while starter.assigns and position < len(words) and re.match(r"[A-Za-z_]\w*=", words[position].text):
        position += 1
    position += starter.operands
    if position < len(words) and words[position].text == "--":
        position += 1
    return tuple(words[position:])


def scripts(words: Sequence[Word]) -> list[Word]:
    """The words of a command that are scripts themselves: of ``su -c``, ``ssh``, ``git -c alias.x=!...``."""
    program = words[0].text.rpartition("/")[2]
    found = _option_values(words, _LAST_WORD_IS_CODE.get(program, frozenset()))
    if program in _JOINED:
        found.append(_joined_script(program, words))
    if program in ("ssh", "scp", "sftp", "rsync"):
        found += _settings(words, "-o", _SSH_OPTION)
    if program == "git":
        found += _settings(words, "-c", _GIT_SETTING) + _configured(words)
    if program == "tar":
        found = [_from(word, len("exec=")) if word.text.startswith("exec=") else word for word in found]
    return found


def option_values(words: Sequence[Word], options: frozenset[str]) -> list[Word]:
    """The values that ``options`` have in ``words``, written in any of the usual ways."""
    return _option_values(words, options)


def found_programs(words: Sequence[Word]) -> list[tuple[Word, ...]]:
    """What ``find`` starts for the files that it finds."""
    programs = []
    for index, word in enumerate(words):
        if word.text in ("-exec", "-execdir", "-ok", "-okdir"):
            end = next((n for n in range(index + 1, len(words)) if words[n].text in (";", "+")), len(words))
            programs.append(tuple(words[index + 1 : end]))
    return programs


def fed_program(words: Sequence[Word]) -> tuple[Word, ...]:
    """What ``xargs`` starts, without what it reads."""
    options = frozenset(f"-{letter}" for letter in "aEIdLnPsR") | {
        "--arg-file",
        "--delimiter",
        "--max-args",
        "--replace",
    }
    options |= {"--max-procs", "--max-chars", "--max-lines", "--eof", "--process-slot-var"}
    return tuple(words[_behind_options(words, 1, options) :])


def _name(words: Sequence[Word]) -> tuple[str, int]:
    """The name of the starter with its verb, and how many words that takes."""
    program = words[0].text.rpartition("/")[2]
    if program not in _COMMANDS_WITH_VERB:
        return program, 1
    position = _behind_options(words, 1, _VALUE_OF_GLOBAL)
    verbs = [word.text for word in words[position : position + 2]]
    for count in (2, 1):
        name = " ".join([program, *verbs[:count]])
        if len(verbs) >= count and name in _STARTERS:
            return name, position + count
    return program, 1


def _behind_options(words: Sequence[Word], position: int, options: frozenset[str]) -> int:
    while position < len(words):
        text = words[position].text
        if text == "--":
            return position + 1
        if not text.startswith("-") or text == "-":
            break
        takes = text in options or (not text.startswith("--") and _cluster_takes(text, options))
        position += 2 if takes else 1
    return position


def _cluster_takes(text: str, options: frozenset[str]) -> bool:
    """Whether the last of the letters in ``-Eu`` is the first that takes a value, which is then the next word."""
    for index, letter in enumerate(text[1:], 1):
        if f"-{letter}" in options:
            return index == len(text) - 1
    return False


def _option_values(words: Sequence[Word], options: frozenset[str]) -> list[Word]:
    found: list[Word] = []
    for index, word in enumerate(words[1:], 1):
        text = word.text
        if not text.startswith("-"):
            continue
        name, equals, _ = text.partition("=")
        if text in options or (len(text) > 2 and text[1] != "-" and f"-{text[-1]}" in options):
            found += words[index + 1 : index + 2]
        elif equals and name in options:
            found.append(_from(word, len(name) + 1))
        elif text[1:2] != "-" and text[:2] in options:
            found.append(_from(word, 2))
    return found


def _joined_script(program: str, words: Sequence[Word]) -> Word:
    from ciguard.inspect.shell.expansion import joined

    position = _behind_options(words, 1, _JOINED_OPTIONS.get(program, frozenset()))
    if program in ("ssh", "mosh", "autossh"):
        position = _behind_options(words, position + 1, _JOINED_OPTIONS["ssh"])
    rest = list(words[position:])
    if program == "parallel":
        ends = [index for index, word in enumerate(rest) if word.text in (":::", "::::", ":::+")]
        given = [word for word in rest[ends[0] + 1 :] if not word.text.startswith(":::")] if ends else []
        rest = rest[: ends[0]] if ends else rest
        if not rest:
            return joined(given, "\n")
        rest += [word for word in given if not any("{" in part.text for part in rest)]
        if given and len(rest) and any("{}" in word.text for word in rest):
            lines = [
                joined([Word(word.text.replace("{}", value.text), word.literal) for word in rest], " ")
                for value in given
            ]
            return joined(lines, "\n")
    return joined(rest, " ")


def _settings(words: Sequence[Word], option: str, pattern: re.Pattern[str]) -> list[Word]:
    found = []
    for value in _option_values(words, frozenset({option})):
        match = pattern.match(value.text)
        if match is not None:
            found.append(Word(next(group for group in match.groups() if group is not None), value.literal))
    return found


def _configured(words: Sequence[Word]) -> list[Word]:
    """``git config alias.x '!script'``."""
    texts = [word.text for word in words]
    if "config" not in texts:
        return []
    return [_from(word, 1) for word in words[texts.index("config") :] if word.text.startswith("!")]


def _from(word: Word, start: int) -> Word:
    return Word(word.text[start:], word.literal, word.pattern, word.origins)
