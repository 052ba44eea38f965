"""What stands behind a name such as ``password``: a secret, or a word, a variable, a type, a placeholder.

Five answers, from the most to the least trusting of the place: ``given`` where nothing but a password can stand,
``chosen`` for quoted values, ``strong`` for unquoted ones, ``mixed`` and ``random`` for what machines make.
"""

from __future__ import annotations

import re

LONGEST_RUN = 4.0
"""Characters of one kind in a row that a random value has on average at most."""


def given(secret: str) -> bool:
    """A value where nothing but a password can stand: only placeholders and usual defaults are none."""
    words = _words(secret)
    return not _placeholder(secret) and not (words and all(word in WORDS for word in words) and len(secret) < 20)


def chosen(secret: str) -> bool:
    """A value that looks like a password and not like a word, a name in code, a path or a placeholder."""
    if _placeholder(secret) or _CODE.fullmatch(secret) or not re.search("[A-Za-z]", secret):
        return False
    if _NAME.fullmatch(secret):
        return _without_pattern(secret)
    return not (_NUMBERED.fullmatch(secret) and any(word in WORDS for word in _words(secret)))


def strong(secret: str) -> bool:
    """A value that looks like a password even without quotes around it, where code could stand."""
    if not chosen(secret) or _NUMBERED.fullmatch(secret) or _VERSION.fullmatch(secret):
        return False
    return bool(re.search("[0-9]", secret)) or len(set(secret) & set("!@#%^*~$&+=|")) > 1


def mixed(secret: str) -> bool:
    """A value that mixes digits and letters behind its mark, and in which nobody wrote a word."""
    body = _MARK.sub("", secret, count=1)
    if _has_word(body):
        return False
    return bool(re.search("[0-9]", body) and re.search("[A-Za-z]", body)) or _without_pattern(body)


def random(secret: str) -> bool:
    """A value that a machine made at random: hexadecimal, UUID, base64 or the like."""
    if _placeholder(secret) or _CODE.fullmatch(secret) or _VERSION.fullmatch(secret) or "://" in secret:
        return False
    if _UUID.fullmatch(secret):
        return True
    if _HEX.fullmatch(secret):
        return len(secret) >= 20 and len(set(secret)) >= 7
    if _has_word(secret) or len(secret) > LONGEST_RUN * len(_RUN.findall(secret)):
        return False
    return bool(re.search("[0-9]", secret) and re.search("[A-Za-z]", secret)) or _without_pattern(secret)


def _without_pattern(value: str) -> bool:
    """``value`` has no digits, and changes between capital and small letters as no name does."""
    return len(value) >= 16 and len(value) <= 2.4 * len(_RUN.findall(value)) and not _has_word(value)


def _placeholder(value: str) -> bool:
    """``value`` stands for a secret that is elsewhere."""
    lower = value.lower()
    return len(set(value)) < 4 or bool(_TEMPLATE.search(value)) or any(stop in lower for stop in STANDING_IN)


def _words(value: str) -> list[str]:
    return [word.lower() for word in _WORD.findall(value)]


def _has_word(value: str) -> bool:
    return any(word in WORDS for word in _words(value) if len(word) >= 5) or any(
        word in value.lower() for word in LONG_WORDS
    )


_MARK = re.compile(r"\A[A-Za-z]{1,12}[_-](?:[a-z]{2,8}[_-])?")
_TEMPLATE = re.compile(
    r"\A\$[A-Za-z_]\w*\Z|\$\{|\$\(|\{\{|\}\}|\{[A-Za-z_][\w.]*\}|\{[0-9]?\}|\A<.*>\Z|\A%\w+%\Z|%\(\w+\)s|\A%[sdv]\Z"
    r"|#\{|\[[a-z-]+:[a-z-]+:|\[:[a-z]+\]|\*{3}|\.{3}"
)
_NAME = re.compile(r"[A-Za-z_][A-Za-z_ .:/-]*")
_NUMBERED = re.compile(r"[A-Za-z_][A-Za-z_.-]*[0-9]{0,4}")
_CODE = re.compile(
    r"[A-Za-z_$][A-Za-z_$]*[0-9]{0,2}(?:(?:\?\.|\.|->|::)[A-Za-z_$][A-Za-z_$]*[0-9]{0,2})+"
    r"|(?:~|\.{1,2}|[A-Za-z]:)?(?:/[a-z_.@-][a-z0-9_.@-]*)+/?|[a-z][a-z0-9+]*://[^@]*"
    r"|[a-z0-9]+(?:[-_/.][a-z]{2,}[0-9]{0,3}){2,}|[A-Za-z][A-Za-z.-]*:(?:[0-9]{1,5}|[a-z]+)|arn:.*|[a-z_]{3,}=[a-z]+(?:-[a-z0-9]+)*|(?:[a-z]+[-_])+v?[0-9.]{1,8}|sha(?:1|256|384|512)[-:].*"
)
_VERSION = re.compile(
    r"[vV]?[0-9]+(?:[.:/_-][0-9A-Za-z]+){1,3}|[0-9a-fA-F]*(?:[.:][0-9a-fA-F]*)+|[0-9]{4}-[0-9]{2}-[0-9]{2}.*|0x[0-9a-fA-F]*"
)
_UUID = re.compile(r"[0-9a-fA-F]{8}-(?:[0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}")
_HEX = re.compile(r"[0-9a-f]+|[0-9A-F]+")
_RUN = re.compile(r"[A-Z]?[a-z]+|[A-Z]+|[0-9]+|[^A-Za-z0-9]+")
_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+")

STANDING_IN = (
    "example", "placeholder", "changeme", "change-me", "change_me", "changeit", "your-", "your_", "yourpass",
    "yoursecret", "yourtoken", "yourkey", "redacted", "xxxx", "dummy", "sample", "insert", "replace", "foobar",
    "123456", "abcdef1", "abcdefg", "qwerty", "not-a-", "todo", "-here", "_here", "ciguard", "fake", "mock",
    "lorem", "password123", "hidden", "masked", "deadbeef", "undefined", "test-", "test_", "-test", "_test",
    "testing",
)  # fmt: skip
"""What people write where a secret will be, in lower case."""

WORDS = frozenset(
    """
    access account action address admin administrator alias alpha anonymous app application argument array async
    audit auth authentication author await base basic bearer beta boolean branch bucket bytes cache callback
    canonical change check class client cloud cluster code column command comment common component config
    configuration connection console const constant container content context control cookie count create credential
    credentials crypto custom data database date debug default define delete demo deploy deployment deployments
    description dev develop development device digest director disable docker domain double element email empty
    enable encoded encrypt encrypted encryption endpoint engine entity entry enum env environment error event expected
    export expression external false field fields file files filter first float folder form format from function
    future gateway generate generated generic get github gitlab global google group guest handle handler hash header
    headers heading hello hidden history host hostname icon identity image import index info init input install
    instance int integer integration interface internal invalid item json key keys kubernetes label lambda language
    last latest layer level library license limit line list load local localhost location log logger login logout
    main manager master max member memory message meta method migration min mode model module monitor mysql name
    namespace native network new nil node none normal null number oauth object offset old operator option optional
    options oracle order organization origin output owner package page param parameter params parent parse parser
    pass passphrase passwd password passwort path pattern payload permission person phone plain platform plugin
    point policy port post postgres prefix primary private process prod product production profile program project
    prompt property protected provider proxy public publish push query queue random range read record redis ref
    reference refresh region register registry release remote render report repository request require required
    reset resource response rest result retry return role root route router rule runner sandbox schema scheme scope
    screen script search secret secrets secure security select self send sender serial server service services
    session set setting settings shared sign signature signing simple single size skip some sort source spec ssh
    stack stage staging standard start state static status step storage store stream string style subject submit
    subscription subscriptions success suffix super support switch symbol system table tag target task team temp
    template temporary tenant terraform test tester text theme this thread time timeout title token tokens tool top
    topic total track transaction transfer transform trigger true type types undefined union unique unit unknown
    update upload url user username users util valid validate validation value values var variable vault vector
    verify version view void volume wait warning web webhook website widget window word work worker workflow
    workspace wrapper yaml
    """.split()  # noqa: SIM905 - a page of words reads better as text
)
"""Words of code and configuration: where one stands, somebody wrote a name or a default."""

LONG_WORDS = tuple(sorted(word for word in WORDS if len(word) >= 6))
"""The words that hardly stand in random text, not even inside of it."""
