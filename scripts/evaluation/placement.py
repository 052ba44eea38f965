"""The kinds of text in which secrets are put: source, configuration, JSON, logs, diffs, shell, chat and Markdown.

A template is a small file with a slot for the secret, and beside it values that only look like one. ``NAMED`` give the
secret a name, in the spelling of their language; ``LINES`` hold a line as it is, which has the secret in it.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from xml.sax.saxutils import escape


def _plain(text: str) -> str:
    return text


def _in_json(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)[1:-1]


def _in_json_twice(text: str) -> str:
    return _in_json(_in_json(text))


def _added(text: str) -> str:
    return text.replace("\n", "\n+")


def _indented(text: str) -> str:
    return text.replace("\n", "\n    ")


@dataclass(frozen=True, slots=True)
class Template:
    """One kind of text; ``escaped`` is how a value is written in it."""

    sort: str
    suffix: str
    text: str
    escaped: Callable[[str], str] = _plain


NAMED = (
    Template(
        "Python",
        ".py",
        '"""Settings of the shop, release <<version>>."""\nimport os\n\nREVISION = "<<sha1>>"\n'
        '<<NAME>> = "<<secret>>"\nTIMEOUT = 30\n',
    ),
    Template(
        "Python",
        ".py",
        "import os\n\n\ndef test_client(monkeypatch):\n    monkeypatch.setenv('<<NAME>>', '<<secret>>')\n"
        "    assert fetch('<<uuid>>').status == 200\n",
    ),
    Template(
        "JavaScript",
        ".js",
        "import { createClient } from './client.js';\n\nconst buildId = '<<nanoid>>';\nconst <<camel>> = '<<secret>>';\n"
        "export const client = createClient({ <<camel>>, region: 'eu-west-1' });\n",
    ),
    Template(
        "TypeScript",
        ".ts",
        "export const environment = {\n  production: true,\n  commit: '<<short>>',\n  <<camel>>: '<<secret>>',\n"
        "  traceId: '<<md5>>',\n};\n",
    ),
    Template(
        "Go",
        ".go",
        "package config\n\nconst (\n\tVersion = \"v<<version>>\"\n\t<<pascal>> = \"<<secret>>\"\n\tDigest = \"sha256:<<sha256>>\"\n)\n",
    ),
    Template(
        "Java",
        ".java",
        "public final class Settings {\n    private static final long serialVersionUID = <<number>>L;\n"
        "    private static final String <<NAME>> = \"<<secret>>\";\n}\n",
    ),
    Template("Ruby", ".rb", "# frozen_string_literal: true\nENV['<<NAME>>'] ||= '<<secret>>'\nVERSION = '<<version>>'\n"),
    Template("PHP", ".php", "<?php\nreturn [\n    'id' => '<<uuid>>',\n    '<<snake>>' => '<<secret>>',\n    'debug' => false,\n];\n"),
    Template("C#", ".cs", "internal static class Settings\n{\n    public const string <<pascal>> = \"<<secret>>\";\n}\n"),
    Template("C", ".h", "#pragma once\n#define BUILD_ID 0x<<hex8>>\n#define <<NAME>> \"<<secret>>\"\n"),
    Template(
        "Terraform", ".tf", "terraform {\n  required_version = \">= <<version>>\"\n}\n\nlocals {\n  <<snake>> = \"<<secret>>\"\n}\n"
    ),
    Template("environment file", ".env", "APP_ENV=production\nGIT_SHA=<<sha1>>\n<<NAME>>=<<secret>>\nREQUEST_ID=<<uuid>>\n"),
    Template("environment file", ".env", "APP_ENV=production\n<<NAME>>=\"<<secret>>\"\nRELEASE=<<version>>\n"),
    Template("shell script", ".sh", "#!/bin/sh\nset -eu\nexport <<NAME>>='<<secret>>'\nexec ./deploy --revision <<sha1>>\n"),
    Template(
        "shell history",
        "",
        "git checkout <<short>>\ndocker run --rm -e <<NAME>>=<<secret>> registry.example.com/shop@sha256:<<sha256>>\nls -la\n",
    ),
    Template("shell history", "", "kubectl get pods\n<<NAME>>=<<secret>> ./release.sh --tag v<<version>>\nexit\n"),
    Template("Dockerfile", ".dockerfile", "FROM debian@sha256:<<sha256>>\nENV <<NAME>>=<<secret>>\nRUN make install\n"),
    Template("YAML", ".yml", "version: \"3\"\nrevision: <<sha1>>\n<<snake>>: <<secret>>\nreplicas: 3\n"),
    Template("YAML", ".yml", "services:\n  shop:\n    image: shop:<<version>>\n    environment:\n      <<NAME>>: \"<<secret>>\"\n"),
    Template("YAML", ".yml", "services:\n  shop:\n    environment:\n      - TRACE=<<md5>>\n      - <<NAME>>=<<secret>>\n"),
    Template(
        "Kubernetes",
        ".yaml",
        "apiVersion: apps/v1\nkind: Deployment\nmetadata: {uid: <<uuid>>}\nspec:\n  containers:\n    - name: shop\n      env:\n"
        "        - name: <<NAME>>\n          value: \"<<secret>>\"\n",
    ),
    Template("TOML", ".toml", "[shop]\nversion = \"<<version>>\"\n<<snake>> = \"<<secret>>\"\nchecksum = \"<<sha256>>\"\n"),
    Template("INI", ".ini", "[shop]\nrevision = <<sha1>>\n<<snake>> = <<secret>>\ndebug = false\n"),
    Template("properties", ".properties", "shop.version=<<version>>\nshop.<<dotted>>=<<secret>>\nshop.id=<<uuid>>\n"),
    Template("JSON", ".json", '{"id": "<<uuid>>", "<<snake>>": "<<secret>>", "etag": "<<md5>>"}\n', _in_json),
    Template("JSON", ".json", '{\n  "version": "<<version>>",\n  "<<camel>>": "<<secret>>",\n  "sha": "<<sha1>>"\n}\n', _in_json),
    Template(
        "JSON body",
        ".json",
        '{"role":"user","content":[{"type":"tool_result","tool_use_id":"toolu_<<nanoid>>","content":'
        '"HOME=/home/ada\\n<<NAME>>=<<secret>>\\nBUILD=<<sha1>>\\n"}]}\n',
        _in_json,
    ),
    Template(
        "JSON body",
        ".json",
        '{"type":"function_call","call_id":"call_<<nanoid>>","arguments":"{\\"path\\": \\"config.json\\", \\"content\\": '
        '\\"{\\\\\\"<<snake>>\\\\\\": \\\\\\"<<secret>>\\\\\\"}\\"}"}\n',
        _in_json_twice,
    ),
    Template("log", ".log", "<<time>> INFO  start revision=<<sha1>>\n<<time>> DEBUG config <<NAME>>=<<secret>> region=eu-west-1\n"),
    Template(
        "log", ".log", "<<time>> \x1b[36mdebug\x1b[0m trace=<<md5>> span=<<hex8>>\n<<time>> \x1b[36mdebug\x1b[0m <<kebab>>: <<secret>>\n"
    ),
    Template(
        "diff",
        ".diff",
        "diff --git a/.env b/.env\nindex <<short>>..<<short>> 100644\n--- a/.env\n+++ b/.env\n@@ -1,2 +1,2 @@\n APP_ENV=production\n"
        "-<<NAME>>=\n+<<NAME>>=<<secret>>\n",
    ),
    Template("chat", ".txt", "Sure, here it is: my <<words>> is <<secret>>\nThe ticket is <<uuid>>, please roll it back afterwards.\n"),
    Template("chat", ".txt", "I set <<NAME>> to \"<<secret>>\" and commit <<sha1>> still fails with a 401.\n"),
    Template("Markdown", ".md", "# Setting up\n\nInstall release <<version>>, then:\n\n```sh\nexport <<NAME>>=<<secret>>\nmake run\n```\n"),
    Template("Markdown", ".md", "| name | value |\n|---|---|\n| `REVISION` | `<<sha1>>` |\n| `<<NAME>>` | `<<secret>>` |\n"),
    Template("XML", ".xml", "<settings revision=\"<<sha1>>\">\n  <add key=\"<<NAME>>\" value=\"<<secret>>\" />\n</settings>\n", escape),
)

LINES = (
    Template("Python", ".py", "CHECKSUM = '<<sha256>>'\n# For now:\nCONTENT = '''\n<<secret>>\n'''\n"),
    Template("JavaScript", ".js", "// build <<nanoid>>\nconst content = `<<secret>>`;\nmodule.exports = { content };\n"),
    Template("shell history", "", "cd shop\ncat > settings <<'END'\n<<secret>>\nEND\ngit commit -m 'Fix <<short>>'\n"),
    Template("YAML", ".yml", "uid: <<uuid>>\ncontent: |\n    <<secret>>\nversion: <<version>>\n", _indented),
    Template("JSON body", ".json", '{"id":"msg_<<nanoid>>","content":[{"type":"text","text":"$ cat settings\\n<<secret>>\\n$"}]}\n', _in_json),
    Template(
        "JSON body",
        ".json",
        '{"call_id":"call_<<nanoid>>","arguments":"{\\"path\\": \\"settings\\", \\"content\\": \\"<<secret>>\\"}"}\n',
        _in_json_twice,
    ),
    Template("log", ".log", "<<time>> INFO  request <<uuid>>\n<<time>> DEBUG <<secret>>\n<<time>> INFO  took 12 ms\n"),
    Template(
        "diff", ".diff", "diff --git a/settings b/settings\nindex <<short>>..<<short>> 100644\n@@ -3 +3,4 @@\n \n+<<secret>>\n", _added
    ),
    Template("chat", ".txt", "Since commit <<sha1>> this is in the settings, is it right?\n\n<<secret>>\n\nThanks!\n"),
    Template("Markdown", ".md", "# Notes on <<version>>\n\n```\n<<secret>>\n```\n\nSee <<uuid>>.\n"),
    Template("text", ".txt", "<<secret>>\n"),
)

BARE = (
    Template("Python", ".py", "from shop import Client\n\nclient = Client(\"<<secret>>\", revision=\"<<sha1>>\")\n"),
    Template("shell history", "", "shop login <<secret>>\ngit show <<short>>\n"),
    Template("log", ".log", "<<time>> DEBUG > GET /v1/me?key=<<secret>>&trace=<<md5>> HTTP/1.1\n"),
    Template("chat", ".txt", "Use <<secret>> for now, I will rotate it tomorrow. Build <<uuid>> is the one that works.\n"),
    Template("JSON", ".json", '["<<uuid>>", "<<secret>>", "<<sha1>>"]\n', _in_json),
    Template("diff", ".diff", "@@ -7 +7 @@ index <<short>>..<<short>>\n-    connect(load())\n+    connect('<<secret>>')\n"),
    Template("Markdown", ".md", "Call it with `<<secret>>` (from release <<version>> on).\n"),
)
"""A secret that needs no name."""
