"""Secrets of formats that are not ours: made from the patterns that Kingfisher's rules have, and put in the same texts.

Our rules had no part in them, so they tell what our list of formats lacks. Kingfisher is on its own ground here.
"""

from __future__ import annotations

import json
import random
import re
import string
import subprocess
import warnings
from collections.abc import Iterator
from re import _constants as codes  # type: ignore[attr-defined]  # there is no public reader of expressions
from re import _parser as parser  # type: ignore[attr-defined]  # the same
from typing import Any

from scripts.evaluation.labelled import CLOSE, OPEN, Text, labelled
from scripts.evaluation.labelled_set import SEED
from scripts.evaluation.placement import NAMED
from scripts.evaluation.scanners import kingfisher
from scripts.evaluation.written_text import filled

STRUCTURED = re.compile(
    r"github-(?!.*webhook)|gitlab-.*routable|npm|age-secret|jwt|gcp-|private-key|bedrock-api-key-short|telegram"
)
"""Formats whose secrets carry more than a pattern says, such as a checksum: what is made from the pattern is none."""

IDENTIFIERS = re.compile(r"client-id|access-id|api-id|app-id|-pub-|client-sdk-key")
"""What names an account or is meant to be public, and is no secret."""

EACH = 4
"""Texts for each pattern."""

LONGER = 20
"""Characters that a repetition is longer than its least at the most."""

_ANY = string.ascii_letters + string.digits + "_-"
_CATEGORIES = {
    codes.CATEGORY_DIGIT: string.digits,
    codes.CATEGORY_WORD: string.ascii_letters + string.digits + "_",
    codes.CATEGORY_SPACE: " ",
    codes.CATEGORY_NOT_SPACE: _ANY,
    codes.CATEGORY_NOT_DIGIT: string.ascii_letters,
    codes.CATEGORY_NOT_WORD: "-",
}


def foreign_set() -> Iterator[Text]:
    """The texts; a pattern that Python does not read is left out."""
    command = [str(kingfisher()), "rules", "list", "--format", "json", "--quiet"]
    rules = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    warnings.simplefilter("error", FutureWarning)  # what Python reads otherwise than Kingfisher
    for number, rule in enumerate(rules):
        kind = rule["id"].removeprefix("betterleaks.")
        if STRUCTURED.search(kind) or IDENTIFIERS.search(kind):
            continue
        try:
            tree = parser.parse(rule["pattern"])
        except (re.error, FutureWarning):
            continue
        draw = random.Random(f"{SEED} {kind}")  # noqa: S311 - made up, and the same each time
        words = [word for word in re.split("[^a-z0-9]+", kind.lower()) if len(word) > 1]
        secret = _group(tree) or tree
        for place, template in enumerate(draw.sample(NAMED, EACH)):
            value = OPEN + _made(secret, draw).strip() + CLOSE
            content = filled(template.text, words, draw, secret=template.written(value))
            yield labelled(f"{number:03}-{place}{template.suffix}", template.sort, content, kind)


def _group(tree: Any) -> Any:
    """The first group that captures, which is the secret; nothing where there is none."""
    for code, argument in tree:
        if code is codes.SUBPATTERN and argument[0] is not None:
            return argument[3]
        inner = argument[3] if code is codes.SUBPATTERN else argument[2] if code in _REPEATS else None
        if inner is not None and (found := _group(inner)) is not None:
            return found
    return None


_REPEATS = {codes.MAX_REPEAT, codes.MIN_REPEAT, codes.POSSESSIVE_REPEAT}


def _made(tree: Any, draw: random.Random) -> str:
    return "".join(_one(code, argument, draw) for code, argument in tree)


def _one(code: Any, argument: Any, draw: random.Random) -> str:
    match code:
        case codes.LITERAL:
            return chr(argument)
        case codes.NOT_LITERAL:
            return draw.choice(_ANY.replace(chr(argument), ""))
        case codes.ANY:
            return draw.choice(_ANY)
        case codes.IN:
            return draw.choice(_members(argument))
        case codes.BRANCH:
            return _made(draw.choice(argument[1]), draw)
        case codes.SUBPATTERN:
            return _made(argument[3], draw)
        case codes.ATOMIC_GROUP:
            return _made(argument, draw)
        case _ if code in _REPEATS:
            least, most, item = argument
            return "".join(_made(item, draw) for _ in range(draw.randint(least, min(int(most), least + LONGER))))
        case codes.AT | codes.ASSERT | codes.ASSERT_NOT:
            return ""
    raise ValueError(f"{code} is not in the patterns that were known")


def _members(items: Any) -> str:
    members = ""
    for code, argument in items:
        match code:
            case codes.LITERAL:
                members += chr(argument)
            case codes.RANGE:
                members += "".join(map(chr, range(argument[0], argument[1] + 1)))
            case codes.CATEGORY:
                members += _CATEGORIES[argument]
    if items[0][0] is codes.NEGATE:
        return "".join(letter for letter in _ANY if letter not in members)
    return members
