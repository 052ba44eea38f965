"""The rules against made-up secrets, against look-alikes, and against ordinary text."""

from __future__ import annotations

import json
import random
import string
from collections.abc import Callable
from pathlib import Path

import pytest

import ciguard
from ciguard.inspect.pattern import Character, Choice, Node, Repeat, Secret, Sequence
from ciguard.inspect.rule_files import load_rules
from scripts.rule_files import AREAS, Format, formats
from tests.unit.inspect.rule_matching import Match, Rules, accepted, secret_part

RULES = Rules(load_rules())
FORMATS = formats()
every_area = pytest.mark.parametrize("area", AREAS)

STRUCTURED = {
    "base64-private-key",
    "basic-auth",
    "bech32",
    "crc32-base36",
    "crc32-base62",
    "discord",
    "jwt",
    "two-dots",
}
"""Checks that text made at random from the pattern does not pass."""

CONTEXTS: dict[str, Callable[[str], str]] = {
    "JSON": lambda text: '{"output": ' + json.dumps(f"first\n{text}\nlast") + "}",
    "YAML": lambda text: f"env:\n  - {text}\n",
    "shell": lambda text: f"set -e\n{text} && true\n",
    "diff": lambda text: f"@@ -1 +1 @@\n+{text}\n",
    "colours": lambda text: f"\x1b[32m{text}\x1b[0m",
    "Markdown": lambda text: f"Use `{text}` here.",
    "a line of a log": lambda text: f"2026-11-20T10:00:00Z INFO {text}\r\n",
    "Windows": lambda text: f"a\r\n{text}\r\nb",
    "other scripts": lambda text: f"Schlüssel：{text}。",
}


def of(area: str) -> list[Format]:
    return [one for one in FORMATS if one.area == area]


@every_area
def test_an_example_is_found_as_its_kind_and_nothing_else_is(area: str) -> None:
    for one in of(area):
        for example in one.examples:
            end = example.start + len(example.secret)
            assert RULES.matches(example.text) == [Match(example.start, end, one.rule.kind)], example.text


@every_area
def test_a_lookalike_is_left_alone(area: str) -> None:
    found = [(one.rule.kind, text) for one in of(area) for text in one.lookalikes if RULES.matches(text)]
    assert found == []


@every_area
@pytest.mark.parametrize("name", CONTEXTS)
def test_an_example_is_found_in_the_texts_where_secrets_stand(area: str, name: str) -> None:
    for one in of(area):
        example = one.examples[0]
        text = CONTEXTS[name](example.text)
        secret = json.dumps(example.secret)[1:-1] if name == "JSON" else example.secret
        masked = [text[match.start : match.end] for match in RULES.matches(text)]
        assert any(secret.rstrip() in place for place in masked), (one.rule.kind, text)


@every_area
def test_what_the_pattern_can_be_is_accepted(area: str) -> None:
    """Thresholds of randomness, stops and checks refuse hardly any secret of the form."""
    for one in of(area):
        if one.rule.check in STRUCTURED:
            continue
        seeded = random.Random(one.rule.kind)  # noqa: S311 - made up, and the same each time
        secrets = [made(secret_part(one.rule), seeded) for _ in range(50)]
        refused = [secret for secret in secrets if not accepted(one.rule, secret)]
        # Short passwords made of any characters are templates and words at times.
        assert len(refused) <= (8 if one.rule.check in {"chosen", "given", "strong"} else 1), (one.rule.kind, refused)


def made(node: Node, seeded: random.Random) -> str:
    """A text of the form ``node``."""
    match node:
        case Character(members):
            return seeded.choice([letter for letter in string.printable if members >> ord(letter) & 1])
        case Sequence(items):
            return "".join(made(item, seeded) for item in items)
        case Choice(options):
            return made(seeded.choice(options), seeded)
        case Repeat(item, least, most):
            return "".join(made(item, seeded) for _ in range(seeded.randint(least, min(most, least + 30))))
        case Secret(item):
            return made(item, seeded)


SECRETS = r"""
password: hunter2!x9
DB_PASSWORD=Tr0ub4dor&3x
"password": "S3cr3t!pass"
'password' => 'gT7-kkw92!a',
const dbPassword = 'k3jH8sdf7!';
let password: string = "9dkfj3!kdL";
spring.datasource.password=qP83nd!s
ENV POSTGRES_PASSWORD k38dnSk2l
export PGPASSWORD='ks8!2nfkw0'
mysql -u root --password=J8sd7fs9
<password>Kd83nfk2!</password>
setPassword("Kd83nfk2!")
Server=db;User Id=sa;Password=Kd83nfk2;
token: 8f14e45fceea167a5a36dedd4bea2543
API_KEY=pqKd83nfk2Ls0Wm4Zx7Q
client_secret = "9dKf83jsLw02mXz7QpVb"
SECRET_KEY = 'h8$2k!d9s@f7g6h5j4k3l2m1n0b9v8c7x6z5q4w3e2r1t0y9'
Authorization: Bearer pqKd83nfk2Ls0Wm4Zx7QpqKd83nfk2Ls0W
curl -H 'Authorization: token 8f14e45fceea167a5a36dedd4bea25438f14e45f'
curl -u ada:Kd83nfk2x https://example.com
postgres://ada:zxcvfghj@db/x
redis://:Kd83nfk2x@cache:6379/0
machine git.example.com login ada password Kd83nfk2x
"SecretAccessKey": "wJalrXUtnFEMI/K7MDENG/bPxRfiCYzqK83mLpQ2",
{"name":"DB_PASSWORD","value":"Kd83nfk2x!"}
{\"password\": \"Kd83nfk2x!\"}
my datadog api key is 8f14e45fceea167a5a36dedd4bea2543
os.environ["DATADOG_API_KEY"] = "8f14e45fceea167a5a36dedd4bea2543"
os.getenv("DATADOG_API_KEY", "8f14e45fceea167a5a36dedd4bea2543")
process.env.DD_API_KEY || '8f14e45fceea167a5a36dedd4bea2543'
jdbc:mysql://db/shop?user=ada&password=Kd83nfk2x&ssl=1
secret: "k8s-9f83jdk29sLq0wm4"
sshpass -p Kd83nfk2x ssh ada@h
docker login -u ada -p Kd83nfk2x registry.example.com
//npm.example.com/:_password="S2Q4M25mazJ4"
""".strip().splitlines()

ORDINARY = r"""
password: ${DB_PASSWORD}
password: ${{ secrets.DB_PASSWORD }}
password = os.environ["DB_PASSWORD"]
password = getpass.getpass()
password: str | None = None
password=args.password1
"password": {"type": "string", "minLength": 8}
<password>your-password</password>
password: "********"
--password-stdin
mysql --password=$MYSQL_PASSWORD
token: ${{ github.token }}
api_key="YOUR_API_KEY"
api_key = os.getenv("API_KEY")
token = jwt.encode(payload, key)
max_tokens: 4096
tokenizer = AutoTokenizer.from_pretrained("bert-base-uncased")
sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08
"integrity": "sha512-RWq5SEPt0aTPTPGNAtXVcZdFGR0cKYlOUoUmi1MzOxZQv5VNpXfBpqFYKfQsuHrGoPCBn5fGvzyXwEh0UaZYyQ=="
commit 8f14e45fceea167a5a36dedd4bea25438f14e45f
"id": "01234abc-de56-4f78-9a0b-c1d2e3f4a5b6"
uses: actions/checkout@8f14e45fceea167a5a36dedd4bea25438f14e45f
datadog-agent@sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08
secretName: my-app-tls-2024
secret: "projects/acme/secrets/db-password/versions/3"
arn:aws:secretsmanager:us-east-1:123456789012:secret:prod/db-AbCdEf
AWS_ACCESS_KEY_ID=AKIAIOSFODNN7EXAMPLE
AWS_SECRET_ACCESS_KEY=wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY
Authorization: Bearer <token>
Authorization: Basic <credentials>
https://user:password@example.com/
postgres://postgres:postgres@localhost/test
url = f"postgres://{user}:{password}@{host}"
PWD=/home/ada/work/shop2
password_hash = bcrypt.hashpw(password.encode(), salt)
"password": "Enter your password"
label: 'Password', placeholder: 'password123'
apiKey: process.env.API_KEY1
api_key: ENV.fetch("API_KEY_2")
The password policy requires 12 characters.
ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGx6kV2m1 ada@host
-----BEGIN PUBLIC KEY-----
-----BEGIN CERTIFICATE-----
GITHUB_TOKEN=[ciguard-masked:github-token:33f3bff85469]
password: "[ciguard-masked:password:33f3bff85469]"
https://ada:[ciguard-masked:url-password:33f3bff85469]@git.example.com/
cache_key: 8f14e45fceea167a5a36dedd4bea2543
access_key: aws_iam_access_key.main.id
token: vault:secret/data/ci#token
OPENAI_API_KEY=sk-...
ghp_xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx
Basic realm="Access to the staging site"
"auth": "token1234"
token: FILE_TOKEN_V2
""".strip().splitlines()


@pytest.mark.parametrize("line", SECRETS)
def test_a_secret_in_a_line_as_people_write_it_is_found(line: str) -> None:
    assert len(RULES.matches(line)) == 1


@pytest.mark.parametrize("line", ORDINARY)
def test_an_ordinary_line_is_left_alone(line: str) -> None:
    assert RULES.matches(line) == []


def test_our_own_source_is_ordinary() -> None:
    """Among it everything that speaks of passwords, tokens and keys."""
    source = [file for file in Path(ciguard.__file__).parent.rglob("*.py") if "testing" not in file.parts]
    assert len(source) > 50
    found = [(file.name, match) for file in source for match in RULES.matches(file.read_text(encoding="utf-8"))]
    assert found == []
