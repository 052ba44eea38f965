"""The files in which programs keep credentials, as a whole: of none is a secret left, streamed or not."""

from __future__ import annotations

import base64
import json
import random
import string

import pytest

from ciguard.inspect.masking import Masker, replaced
from ciguard.inspect.placeholder import Placeholders

_RANDOM = random.Random("ciguard")  # noqa: S311 - the same each time


def _word(length: int, alphabet: str = string.ascii_letters + string.digits) -> str:
    """Random, with a digit in it: nothing here is written down as a secret."""
    return "".join(_RANDOM.choice(alphabet) for _ in range(length - 1)) + "7"


def _base64(length: int) -> str:
    return base64.b64encode(_RANDOM.randbytes(length)).decode()


def _pem(kind: str, length: int) -> str:
    body = _base64(length)
    lines = "\n".join(body[start : start + 64] for start in range(0, len(body), 64))
    return f"-----BEGIN {kind}-----\n{lines}\n-----END {kind}-----\n"


def _json(value: object) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False)


def _encoded(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


# In a file, what stands between « and » is a secret.
_CERTIFICATE = _encoded(_pem("CERTIFICATE", 600))
FILES = {
    "kubeconfig": f"""\
apiVersion: v1
kind: Config
clusters:
- cluster: {{certificate-authority-data: {_CERTIFICATE}, server: "https://10.0.0.1:6443"}}
  name: prod
users:
- name: admin
  user:
    client-certificate-data: {_CERTIFICATE}
    client-key-data: «{_encoded(_pem("RSA PRIVATE KEY", 1190))}»
- name: bot
  user:
    token: «{_word(40)}»
- name: old
  user:
    username: admin
    password: «{_word(16)}»
""",
    ".npmrc": f"""\
registry=https://npm.example.com/
//npm.example.com/:_authToken=«{_word(36)}»
//other.example.com/:_auth=«{_base64(24)}»
//third.example.com/:_password=«{_base64(12)}»
always-auth=true
""",
    ".netrc": f"""\
machine api.example.com login bob password «{_word(14)}»
machine git.example.com
  login alice
  password «{_word(20)}»
""",
    "docker's config.json": _json({"auths": {"registry.example.com": {"auth": f"«{_encoded('bob:' + _word(18))}»"}}}),
    "AWS credentials": f"""\
[default]
aws_access_key_id = «AKIA{_word(16, string.ascii_uppercase)}»
aws_secret_access_key = «{_word(40)}»
aws_session_token = «{_base64(200)}»
region = eu-west-1
""",
    "Google service account": _json(
        {"type": "service_account", "private_key": "«" + _pem("PRIVATE KEY", 1200) + "»", "client_id": "1042"}
    ),
    "OpenSSH key": "«" + _pem("OPENSSH PRIVATE KEY", 1800) + "»",
    "Azure service principal": _json(
        {"clientId": "b6d1c1ce-7a63-4f0e-9c0c-1d2f3a4b5c6d", "clientSecret": f"«{_word(3)}8Q~{_word(34)}»"}
    ),
    ".pgpass": f"db.example.com:5432:app:bob:«{_word(15)}»\n",
    ".git-credentials": f"https://bob:«{_word(20)}»@git.example.com\n",
    "connection strings": f"""\
DATABASE_URL=postgres://bob:«{_word(20)}»@db.example.com:5432/app
REDIS_URL=redis://:«{_word(32)}»@cache:6379/0
Server=tcp:x.example.com;Database=a;User ID=b;Password=«{_word(16)}»;
""",
    ".pypirc": f"[acme]\nrepository: https://pypi.example.com\nusername: bob\npassword: «{_word(30)}»\n",
    "Maven's settings": f"<server><id>acme</id><username>bob</username><password>«{_word(24)}»</password></server>",
    ".terraformrc": f'credentials "app.example.com" {{\n  token = "«{_word(14)}.atlasv1.{_word(60)}»"\n}}\n',
    "NuGet's configuration": f'<add key="Username" value="bob" /><add key="ClearTextPassword" value="«{_word(24)}»" />',
}


@pytest.mark.parametrize("marked", FILES.values(), ids=FILES)
def test_no_secret_of_a_credential_file_is_left(marked: str) -> None:
    secrets = [part.partition("»")[0] for part in marked.split("«")[1:]]
    text = marked.replace("«", "").replace("»", "")
    masker = Masker([], Placeholders(b"k"))
    masked = masker.mask(text).text
    pieces = [line for secret in secrets for line in secret.replace("\\n", "\n").splitlines() if "--" not in line]
    assert pieces
    assert [piece for piece in pieces if piece[4:-4] in masked] == []
    stream = masker.stream()
    found = [replacement for character in text for replacement in stream.feed(character)]
    assert replaced(text, [*found, *stream.finish()]) == masked
    assert "example.com" not in text or "example.com" in masked
