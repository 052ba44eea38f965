"""A few formats of many shapes, for the tests of the engine: made-up secrets of them need no checksum."""

from __future__ import annotations

from ciguard.inspect.secret_rule import WORD, SecretRule


def _anywhere(kind: str, *starts: str, rest: str) -> SecretRule:
    return SecretRule(kind, f"(?:{'|'.join(start.replace('.', '[.]') for start in starts)}){rest}", starts, before="")


def _word(kind: str, *starts: str, rest: str, after: str = "") -> SecretRule:
    pattern = f"(?:{'|'.join(start.replace('.', '[.]') for start in starts)}){rest}"
    return SecretRule(kind, pattern, starts, after=after)


_LINE_ENDS = r"(?:\\[nr]|\s){0,8}"
_KEY_NAME = r"[A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----"

SECRET_RULES: tuple[SecretRule, ...] = (
    _anywhere("anthropic-api-key", "sk-ant-", rest="[A-Za-z0-9_-]{16,512}"),
    _anywhere("openai-api-key", "sk-proj-", "sk-svcacct-", "sk-admin-", rest="[A-Za-z0-9_-]{20,512}"),
    _word("openai-api-key", "sk-", rest="[A-Za-z0-9]{32,512}"),
    _word("google-api-key", "AIza", rest="[A-Za-z0-9_-]{35,64}"),
    _anywhere("github-token", "ghp_", "gho_", "ghu_", "ghs_", "ghr_", rest="[A-Za-z0-9_]{30,1024}"),
    _anywhere("github-token", "github_pat_", rest="[A-Za-z0-9_]{30,512}"),
    _anywhere(
        "gitlab-token",
        *("glpat-", "gldt-", "glrt-", "glcbt-", "glptt-", "glft-", "glsoat-"),
        rest="[A-Za-z0-9_.-]{16,512}",
    ),
    _word("aws-access-key-id", "AKIA", "ASIA", rest="[A-Z2-7]{16}", after=WORD),
    _anywhere("slack-token", "xoxb-", "xoxa-", "xoxp-", "xoxr-", "xoxs-", "xapp-", rest="[A-Za-z0-9-]{16,512}"),
    _anywhere("stripe-key", "sk_live_", "rk_live_", "sk_test_", "rk_test_", rest="[A-Za-z0-9]{16,512}"),
    _word("npm-token", "npm_", rest="[A-Za-z0-9]{36,64}"),
    _anywhere("pypi-token", "pypi-AgE", rest="[A-Za-z0-9_-]{50,1024}"),
    _word("huggingface-token", "hf_", rest="[A-Za-z0-9]{30,64}"),
    _word("sendgrid-api-key", "SG.", rest="[A-Za-z0-9_-]{16,32}[.][A-Za-z0-9_-]{32,64}"),
    _anywhere("digitalocean-token", "dop_v1_", "doo_v1_", "dor_v1_", rest="[a-f0-9]{64}"),
    _word("vault-token", "hvs.", "hvb.", "hvr.", rest="[A-Za-z0-9_-]{24,512}"),
    _anywhere("docker-token", "dckr_pat_", "dckr_oat_", rest="[A-Za-z0-9_-]{24,128}"),
    _word("databricks-token", "dapi", rest="[a-f0-9]{32}(?:-[0-9])?"),
    _anywhere("age-secret-key", "AGE-SECRET-KEY-1", rest="[0-9A-Z]{58}"),
    _word(
        "jwt",
        "eyJ",
        rest="[A-Za-z0-9_-]{10,2048}[.]eyJ[A-Za-z0-9_-]{10,8192}[.][A-Za-z0-9_-]{16,2048}",
    ),
    _anywhere("url-password", "://", rest="[A-Za-z0-9._~%+-]{0,128}:(?P<secret>[A-Za-z0-9._~%!$*+=-]{4,256})@"),
    _anywhere(
        "private-key",
        "-----BEGIN ",
        rest=_KEY_NAME
        + _LINE_ENDS
        + r"(?:[A-Za-z-]{3,40}: [^\n\\]{0,200}(?:\\[nr]|\s){1,8}){0,8}"
        + r"[A-Za-z0-9+/=]{16}(?:\\[nr]|[\sA-Za-z0-9+/=]){0,16384}"
        + f"(?:-----END {_KEY_NAME})?",
    ),
)
"""The last one is PEM, PKCS#8, OpenSSH and PGP private keys, with or without their last line."""
