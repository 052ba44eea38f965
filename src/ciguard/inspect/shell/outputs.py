"""What ordinary filters write, where that can be told from the script alone: ``echo``, ``printf``, ``base64 -d``."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from ciguard.inspect.shell.command import NO_ORIGINS, Word
from ciguard.inspect.shell.escapes import ansi
from ciguard.inspect.shell.expansion import LONGEST_VALUE, joined
from ciguard.inspect.shell.trait import Trait

NOTHING = Word("")

UNKNOWN = "${output}"
"""What stands for a text that is not known, wherever there is no source to show."""

_DOWNLOADS = frozenset(
    {"curl", "wget", "fetch", "aria2c", "http", "https", "xh", "httpie", "lwp-request", "GET", "axel", "nc", "ncat"}
    | {"netcat", "socat", "ftp", "lftp", "lynx", "w3m", "links", "curlie", "dig", "nslookup"}
)
_SILENT = frozenset(
    {"true", "false", ":", "cd", "export", "local", "unset", "mkdir", "rm", "touch", "test", "[", "sleep"}
)
_KEPT = frozenset({"cat", "tee", "buffer", "pv", "sponge", "dos2unix"})


def output(name: str, words: Sequence[Word], stdin: Word | None) -> Word:
    """What the program ``name`` with ``words`` writes when it reads ``stdin``; not literal where that is not known."""
    texts = [word.text for word in words[1:]]
    if name == "echo":
        return _echoed(words[1:])
    if name == "printf":
        return _printed(words[1:])
    if name in _SILENT:
        return NOTHING
    if name in _DOWNLOADS:
        return Word(UNKNOWN, literal=False, origins=frozenset({Trait.DOWNLOADED_CODE}))
    fed = NO_ORIGINS if stdin is None else stdin.origins
    decoder = _decoder(name, texts)
    if decoder is not None:
        origins = fed | {Trait.DECODED_CODE}
        if stdin is None or not stdin.literal:
            return Word(UNKNOWN, literal=False, origins=origins)
        decoded = decoder(stdin.text)
        return Word(decoded or UNKNOWN, literal=decoded is not None, origins=origins)
    if stdin is not None and stdin.literal:
        if name in _KEPT and not _operands(texts):
            return stdin
        if name == "rev":
            return replace(stdin, text="\n".join(line[::-1] for line in stdin.text.split("\n")))
        if name == "tr":
            translated = _translated(texts, stdin.text)
            if translated is not None:
                return replace(stdin, text=translated)
        if name == "tac":
            return replace(stdin, text="\n".join(reversed(stdin.text.rstrip("\n").split("\n"))))
    return Word(UNKNOWN, literal=False, origins=fed)


def _operands(texts: Sequence[str]) -> list[str]:
    return [text for text in texts if not text.startswith("-")]


def _echoed(words: Sequence[Word]) -> Word:
    words = list(words)
    escapes, end = False, "\n"
    while words and re.fullmatch(r"-[neE]+", words[0].text):
        option = words.pop(0).text
        escapes = "e" in option or escapes
        end = "" if "n" in option else end
    text = joined(words, " ")
    return replace(text, text=(ansi(text.text) if escapes else text.text) + end)


def _printed(words: Sequence[Word]) -> Word:
    words = [*words[1:]] if words and words[0].text == "--" else [*words]
    if not words:
        return NOTHING
    whole = joined(words)
    form, given = words[0], list(words[1:])
    if not form.literal:
        return Word(whole.text, literal=False, origins=whole.origins)
    pieces = re.findall(
        r"%(?:%|[-+ #0]*\d*(?:\.\d+)?[a-zA-Z])|\\[0-7]{1,3}|\\x[0-9A-Fa-f]{1,2}|\\.|[^%\\]+|.", form.text, re.DOTALL
    )
    result: list[Word] = []
    rounds = 0
    while True:
        taken = 0
        for piece in pieces:
            if piece[0] == "%" and piece != "%%" and len(piece) > 1:
                argument = given.pop(0) if given else NOTHING
                taken += 1
                result.append(_formatted(piece, argument))
            else:
                result.append(Word("%" if piece == "%%" else ansi(piece) if piece[0] == "\\" else piece))
        rounds += 1
        if not given or not taken or rounds > 100:
            return joined(result)


def _formatted(piece: str, argument: Word) -> Word:
    match piece[-1]:
        case "s" | "q" | "c":
            text = argument.text[:1] if piece[-1] == "c" else argument.text
            precision = re.search(r"\.(\d+)", piece)
            return replace(argument, text=text[: int(precision[1])] if precision else text)
        case "b":
            return replace(argument, text=ansi(argument.text))
        case "d" | "i" | "u" if re.fullmatch(r"-?\d{0,9}", argument.text) and argument.literal:
            return Word(str(int(argument.text or "0")))
        case _:
            return Word(argument.text, literal=False, origins=argument.origins)


def _decoder(name: str, texts: Sequence[str]) -> Callable[[str], str | None] | None:
    """How ``name`` turns what it reads into other text; None when it is no decoder."""
    letters = {letter for text in texts if re.fullmatch(r"-[A-Za-z]+", text) for letter in text[1:]}
    decodes = bool(letters & {"d", "D"}) or any(text.startswith("--d") for text in texts)
    match name:
        case "base64" | "gbase64" if decodes:
            return _base64
        case "base32" if decodes:
            return lambda text: _bytes(base64.b32decode, text)
        case "basenc" if decodes:
            return _BASES.get(next((text for text in texts if text.startswith("--base")), ""), _unknown)
        case "xxd" if "r" in letters:
            return (lambda text: _bytes(bytes.fromhex, text)) if "p" in letters or "-ps" in texts else _unknown
        case "openssl" if "-d" in texts:
            plain = bool({"base64", "-base64", "-a"} & set(texts)) and not any(
                text.startswith("-aes") for text in texts
            )
            return _base64 if plain else _unknown
        case "gzip" | "bzip2" | "xz" | "zstd" | "lz4" | "brotli" | "gpg" if decodes:
            return _unknown
        case "gunzip" | "zcat" | "bzcat" | "bunzip2" | "xzcat" | "unxz" | "zstdcat" | "uudecode" | "uncompress":
            return _unknown
        case _:
            return None


def _base64(text: str) -> str | None:
    return _bytes(base64.b64decode, text)


def _bytes(decode: Callable[[str], bytes], text: str) -> str | None:
    if len(text) > LONGEST_VALUE:
        return None
    try:
        return decode("".join(text.split())).decode("utf-8", "replace").replace("\0", "")
    except (binascii.Error, ValueError):
        return None


def _unknown(_text: str) -> None:
    return None


_BASES: Mapping[str, Callable[[str], str | None]] = {
    "--base64": _base64,
    "--base64url": lambda text: _bytes(base64.urlsafe_b64decode, text),
    "--base32": lambda text: _bytes(base64.b32decode, text),
    "--base16": lambda text: _bytes(bytes.fromhex, text),
}


def _translated(texts: Sequence[str], text: str) -> str | None:
    """What ``tr`` makes of ``text``; None for sets that are not followed."""
    sets = [_set(part) for part in texts if not re.fullmatch(r"-[dsct]+", part)]
    options = "".join(part for part in texts if re.fullmatch(r"-[dsct]+", part))
    if not sets or any(part is None for part in sets) or "c" in options or "s" in options:
        return None
    first = sets[0] or ""
    if "d" in options:
        return text.translate(dict.fromkeys(map(ord, first)))
    second = (sets[1] or "") if len(sets) > 1 else ""
    if not second:
        return None
    return text.translate(dict(zip(map(ord, first), second.ljust(len(first), second[-1]), strict=False)))


def _set(text: str) -> str | None:
    classes = {"[:upper:]": "A-Z", "[:lower:]": "a-z", "[:digit:]": "0-9", "[:space:]": " \t\n\r", "[:blank:]": " \t"}
    for name, characters in classes.items():
        text = text.replace(name, characters)
    if "[:" in text or "[=" in text or len(text) > 300:
        return None
    return re.sub(
        r"(.)-(.)", lambda match: "".join(map(chr, range(ord(match[1]), ord(match[2]) + 1)))[:256], ansi(text)
    )
