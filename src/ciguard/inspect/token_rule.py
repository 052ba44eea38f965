"""The first set of secret formats.

A rule finds secrets that announce themselves by a fixed beginning: one of ``starts`` opens every match, which lets a
stream be released up to the earliest place where a secret could still begin. A match ends at the end of its token at
the latest, unless the rule is ``multiline``.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

LONGEST_BLOCK = 16_384
"""Characters that a multi-line secret (a PEM key) may span after its first line."""

LONGEST_TOKEN = 13_000
"""Characters that a secret within one token may have; no pattern of :data:`SECRET_RULES` is wider."""


@dataclass(frozen=True, slots=True)
class TokenRule:
    """One secret format.

    ``kind`` names it in placeholders and in the log; ``pattern`` matches from one of ``starts`` on, and where it has a
    group, the group alone is the secret. ``at_word_start`` marks a start that is too short to count inside a word.
    ``gate`` is a regular expression of RE2 for ASCII that matches wherever ``pattern`` does, and rarely elsewhere.
    """

    kind: str
    starts: tuple[str, ...]
    pattern: re.Pattern[str]
    gate: str
    at_word_start: bool = False


def _rule(kind: str, starts: tuple[str, ...], rest: str) -> TokenRule:
    opening = f"(?:{'|'.join(re.escape(start) for start in starts)})"
    return TokenRule(kind, starts, re.compile(f"{opening}{rest}"), f"{opening}[A-Za-z0-9_.-]{{8}}")


def _word(kind: str, starts: tuple[str, ...], rest: str) -> TokenRule:
    opening = f"(?:{'|'.join(re.escape(start) for start in starts)})"
    pattern = re.compile(f"(?<![A-Za-z0-9]){opening}{rest}")
    return TokenRule(kind, starts, pattern, f"(?:^|[^A-Za-z0-9]){opening}[A-Za-z0-9_.-]{{8}}", at_word_start=True)


SECRET_RULES: tuple[TokenRule, ...] = (
    _rule("anthropic-api-key", ("sk-ant-",), r"[A-Za-z0-9_-]{16,512}"),
    _rule("openai-api-key", ("sk-proj-", "sk-svcacct-", "sk-admin-"), r"[A-Za-z0-9_-]{20,512}"),
    _word("openai-api-key", ("sk-",), r"[A-Za-z0-9]{32,512}"),
    _word("google-api-key", ("AIza",), r"[A-Za-z0-9_-]{35,64}"),
    _rule("github-token", ("ghp_", "gho_", "ghu_", "ghs_", "ghr_"), r"[A-Za-z0-9_]{30,1024}"),
    _rule("github-token", ("github_pat_",), r"[A-Za-z0-9_]{30,512}"),
    _rule(
        "gitlab-token",
        ("glpat-", "gldt-", "glrt-", "glcbt-", "glptt-", "glft-", "glsoat-"),
        r"[A-Za-z0-9_.-]{16,512}",
    ),
    _word("aws-access-key-id", ("AKIA", "ASIA"), r"[A-Z2-7]{16}(?![A-Za-z0-9])"),
    _rule("slack-token", ("xoxb-", "xoxa-", "xoxp-", "xoxr-", "xoxs-", "xapp-"), r"[A-Za-z0-9-]{16,512}"),
    _rule("stripe-key", ("sk_live_", "rk_live_", "sk_test_", "rk_test_"), r"[A-Za-z0-9]{16,512}"),
    _word("npm-token", ("npm_",), r"[A-Za-z0-9]{36,64}"),
    _rule("pypi-token", ("pypi-AgE",), r"[A-Za-z0-9_-]{50,1024}"),
    _word("huggingface-token", ("hf_",), r"[A-Za-z0-9]{30,64}"),
    _word("sendgrid-api-key", ("SG.",), r"[A-Za-z0-9_-]{16,32}\.[A-Za-z0-9_-]{32,64}"),
    _rule("digitalocean-token", ("dop_v1_", "doo_v1_", "dor_v1_"), r"[a-f0-9]{64}"),
    _word("vault-token", ("hvs.", "hvb.", "hvr."), r"[A-Za-z0-9_-]{24,512}"),
    _rule("docker-token", ("dckr_pat_", "dckr_oat_"), r"[A-Za-z0-9_-]{24,128}"),
    _word("databricks-token", ("dapi",), r"[a-f0-9]{32}(?:-[0-9])?"),
    _rule("age-secret-key", ("AGE-SECRET-KEY-1",), r"[0-9A-Z]{58}"),
    _word("jwt", ("eyJ",), r"[A-Za-z0-9_-]{10,2048}\.eyJ[A-Za-z0-9_-]{10,8192}\.[A-Za-z0-9_-]{16,2048}"),
    TokenRule(
        "url-password",
        ("://",),
        re.compile(r"://[A-Za-z0-9._~%+-]{0,128}:([A-Za-z0-9._~%!$*+=-]{4,256})@"),
        r"://[A-Za-z0-9._~%+-]*:[A-Za-z0-9._~%!$*+=-]+@",
    ),
)
"""Rules whose matches contain only token characters (see :data:`TOKEN`)."""

_KEY_HEADER = r"-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----"
_LINE_ENDS = r"(?:\\[nr]|\s){0,8}"
_KEY_HEADERS = r"(?:[A-Za-z-]{3,40}: [^\n\\]{0,200}(?:\\[nr]|\s){1,8}){0,8}"
_KEY_BODY = rf"[A-Za-z0-9+/=]{{16}}(?:\\[nr]|[\sA-Za-z0-9+/=]){{0,{LONGEST_BLOCK}}}"

PRIVATE_KEY = TokenRule(
    "private-key",
    ("-----BEGIN",),
    re.compile(
        rf"{_KEY_HEADER}{_LINE_ENDS}{_KEY_HEADERS}{_KEY_BODY}(?:-----END [A-Z0-9 ]{{0,40}}PRIVATE KEY(?: BLOCK)?-----)?"
    ),
    "-----BEGIN [A-Z0-9 ]*PRIVATE KEY",
)
"""The one multi-line rule: PEM, PKCS#8, OpenSSH and PGP private keys, with or without their last line."""

PRIVATE_KEY_OPEN = re.compile(
    r"-----BEGIN(?: [A-Z0-9 ]{0,60})?-{0,5}\Z"
    rf"|{_KEY_HEADER}{_LINE_ENDS}{_KEY_HEADERS}(?:"
    rf"\\?\Z|[A-Za-z-]{{1,40}}(?::[^\n\\]{{0,200}}(?:\\?[nr]|\s){{0,8}}\\?)?\Z|[A-Za-z0-9+/=]{{0,15}}\Z"
    rf"|{_KEY_BODY}(?:\\|-{{1,5}}[A-Z0-9 ]{{0,60}}-{{0,5}})?\Z)"
)
"""Matches a text that could still grow into a longer :data:`PRIVATE_KEY`."""

TOKEN = r"A-Za-z0-9_\-+/=.~%:@!$*#?&"
"""The characters that a secret of :data:`SECRET_RULES` can contain, as the inside of a character class."""
