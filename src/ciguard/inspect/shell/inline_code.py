"""Programs in other languages that stand in a script: what they start, and the paths they name.

Nothing here parses those languages. Every literal string of a program that can start processes counts as a script
that it could run, and every list of literal strings as a command, which finds more than runs and little less.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

_STARTS = re.compile(
    r"\b(?:os\.(?:system|popen|exec[lv]p?e?|spawn[lv]p?e?|posix_spawnp?)|subprocess|commands\.get|pty\.spawn|popen[234]?\b"
    r"|child_process|exec(?:File|Sync|FileSync)?\b|spawn(?:Sync)?\b|fork\b|system\b|popen|shell_exec|passthru|proc_open"
    r"|pcntl_exec|Open3|IO\.popen|Kernel\.|Process\.(?:spawn|exec)|Deno\.(?:run|Command)|Bun\.spawn|execa|shelljs|shell\."
    r"|io\.popen|os\.execute|Runtime\.getRuntime|ProcessBuilder|do\s+shell\s+script|getoutput|check_call|check_output"
    r"|__import__|eval\b|exec_command|shell_command|run_command|qx\b|open\s*\(?\s*\w+\s*,?\s*[\"'](?:\||-\|))|`|%x|:!|\bsh\.",
    re.IGNORECASE,
)
_DELETES = re.compile(
    r"(?i)\b(?:rmtree|remove_?tree|rm_rf|rm_r|rmdir|rm|unlink|removedirs|remove|delete|truncate"
    r"|rimraf|del)(?:Sync)?\s*\(?\s*(?:(?:[\w.]+\(|\[)\s*)?(?:\"((?:[^\"\\]|\\.)*)\"|'((?:[^'\\]|\\.)*)')"
)
_WRITES = re.compile(
    r"(?i)write|append|\bopen\s*\([^)]*,\s*(?:mode\s*=\s*)?[\"'][rwaxb+]*[wax+]|\bcopy|\bmove|rename|chmod|symlink|\bput\b"
    r"|file_put_contents|open\s*\(?\s*\w+\s*,\s*[\"']?>"
)
_STRING = re.compile(
    r"\"\"\"(.*?)\"\"\"|'''(.*?)'''|\"((?:[^\"\\]|\\.)*)\"|'((?:[^'\\]|\\.)*)'|`((?:[^`\\]|\\.)*)`"
    r"|(?:qx|q|qq|%x|%w|%q|%Q)[({\[|](.*?)[)}\]|]",
    re.DOTALL,
)
_LIST = re.compile(r"[\[(]\s*((?:(?:\"(?:[^\"\\]|\\.)*\"|'(?:[^'\\]|\\.)*')\s*,?\s*\[?\s*){2,})[\])]")
_LONGEST = 65_536
_MOST = 200


@dataclass(frozen=True, slots=True)
class InlineCode:
    """What a program in another language holds.

    ``scripts`` could be run by a shell and ``commands`` be started; ``starts`` says that it starts processes at all.
    ``strings`` are its literal strings, ``deleted`` those that it gives to a function which deletes; ``writes`` says
    that it calls something that writes.
    """

    starts: bool
    scripts: tuple[str, ...]
    commands: tuple[tuple[str, ...], ...]
    strings: tuple[str, ...]
    deleted: tuple[str, ...]
    writes: bool


def read(code: str) -> InlineCode:
    """What the program ``code`` holds; of a very long one its first part."""
    code = code[:_LONGEST]
    starts = _STARTS.search(code) is not None
    strings = tuple(dict.fromkeys(_unescaped(match) for match in _STRING.findall(code)))[:_MOST]
    lists = tuple(tuple(_unescaped(match) for match in _STRING.findall(inner)) for inner in _LIST.findall(code)[:_MOST])
    return InlineCode(
        starts,
        strings if starts else (),
        lists if starts else (),
        strings,
        tuple(dict.fromkeys(_unescaped(match) for match in _DELETES.findall(code)))[:_MOST],
        _WRITES.search(code) is not None,
    )


def _unescaped(groups: tuple[str, ...]) -> str:
    from ciguard.inspect.shell.escapes import ansi

    return ansi("".join(groups))
