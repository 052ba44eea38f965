from __future__ import annotations

import pytest

from tests.unit.policy.sources import loaded, place, refused

# What stands in line 2 and below of a policy, where the error is, and parts of its cause and its remedy.
WRONG = [
    # unknown keys, at the key
    ("rule: []", 2, 1, "unknown key 'rule'", "did you mean rules?"),
    ("approval: {hold: 3}", 2, 12, "unknown key 'hold'", "did you mean hold_at?"),
    ("approval: {zzz: 3}", 2, 12, "unknown key 'zzz'", "hold_at, block_at, approvers, count, each_of"),
    ("connections:\n  c:\n    typ: anthropic", 4, 5, "unknown key 'typ'", "did you mean type?"),
    (
        "connections: {c: {type: openai, credential: {vault: x}}}",
        2,
        46,
        "unknown key 'vault'",
        "the keys here are: env",
    ),
    ("rules: [{id: a, on: [prompt], text: {regexp: [a]}}]", 2, 38, "unknown key 'regexp'", "did you mean regex?"),
    ("rules: [{id: a, on: [prompt], tool: {except_: [a]}}]", 2, 38, "unknown key 'except_'", "did you mean except?"),
    ("tests: [{operation: {sql: {}}, expect: allow, rule: a}]", 2, 47, "unknown key 'rule'", "did you mean rules?"),
    ("connections: {c: {type: openai, credential: {env: A}, limits: {x: 1}}}", 2, 64, "unknown key 'x'", "requests"),
    # missing keys, at the mapping
    ("connections:\n  c: {type: anthropic}", 3, 6, "key credential is missing", "add credential: Where the guard"),
    ("rules:\n  - {on: [prompt], text: {regex: [a]}}", 3, 5, "key id is missing", "add id"),
    ("tests: [{operation: {sql: {}}}]", 2, 9, "key expect is missing", "add expect"),
    # types
    ("rules: x", 2, 8, "must be a list", "[a, b]"),
    ("approval: [1]", 2, 11, "must be a mapping", "keys with values"),
    ("identity: {audience: 3}", 2, 22, "must be a text", "quotes"),
    ("approval: {hold_at: '60'}", 2, 21, "must be a whole number", "without quotes"),
    ("approval: {hold_at: 60.5}", 2, 21, "must be a whole number", "without quotes"),
    ("approval: {hold_at: true}", 2, 21, "must be a whole number", "without quotes"),
    ("connections: {c: {type: openai, credential: A}}", 2, 45, "must be a mapping", "keys with values"),
    ("connections: [c]", 2, 14, "must be a mapping", "keys with values"),
    ("env: [1]", 2, 7, "must be a text", "quotes"),
    ("rules:", 2, 7, "must be a list", "[a, b]"),
    ("tests: [{operation: [x], expect: allow}]", 2, 21, "must be a mapping", "keys with values"),
    # ranges and choices
    ("approval: {hold_at: 0}", 2, 21, "must be at least 1", "at least 1"),
    ("approval: {block_at: 102}", 2, 22, "must be at most 101", "at most 101"),
    ("limits: {refusals_in_a_row: 0}", 2, 29, "must be at least 1", "at least 1"),
    ("rules: [{id: a, on: [sql], text: {regex: [a]}, risk: 101}]", 2, 54, "must be at most 100", "at most 100"),
    ("rules: [{id: a, on: [sql], text: {regex: [a]}, action: deny}]", 2, 56, "allow, mask, hold or block", "allow"),
    ("isolation: {require: strong}", 2, 22, "namespace, landlock, user or none", "namespace"),
    ("isolation: {prefer: best}", 2, 21, "auto, namespace", "auto"),
    ("rules: [{id: a, on: [sql], sql: {statements: [shout]}}]", 2, 47, "drop", "drop"),
    ("rules: [{id: a, on: [sql], sql: {without_where: [drop]}}]", 2, 50, "delete or update", "delete"),
    ("connections: {c: {type: anthropc, credential: {env: A}}}", 2, 25, "anthropic, openai or gemini", "anthropic"),
    ("connections: {c: {type: postgres, credential: {env: A}}}", 2, 25, "not served by this version", "anthropic"),
    ("connections: {c: {type: ssh}}", 2, 25, "ssh are not served", "anthropic"),
    # emptiness
    ("rules: [{id: a, on: [], text: {regex: [a]}}]", 2, 21, "must not be empty", "give it a value"),
    ("identity: {audience: ''}", 2, 22, "must not be empty", "give it a value"),
    ("identity: {allow: [{}]}", 2, 20, "must not be empty", "give it a value"),
    ("identity: {allow: [{a: []}]}", 2, 24, "must not be empty", "give it a value"),
    (
        "connections: {c: {type: openai, credential: {env: A}, models: []}}",
        2,
        63,
        "must not be empty",
        "remove the key",
    ),
    ("rules: [{id: a, on: [sql], text: {}}]", 2, 34, "something to look for", "regex or keywords"),
    ("rules: [{id: a, on: [tool_call], tool: {}}]", 2, 40, "something to look for", "names or except"),
    ("rules: [{id: a, on: [tool_call], tool: {names: []}}]", 2, 48, "must not be empty", "remove the key"),
    ("rules: [{id: a, on: [sql], sql: {}}]", 2, 33, "something to look for", "statements or without_where"),
    ("rules: [{id: a, on: [sql], text: {keywords: [' ']}}]", 2, 46, "keyword is empty", "write a word"),
    # shapes
    ("connections: {C: {type: openai, credential: {env: A}}}", 2, 15, "not a connection name", "lower-case"),
    ("connections: {a/b: {type: openai, credential: {env: A}}}", 2, 15, "not a connection name", "lower-case"),
    ('connections: {"c\\n": {type: openai, credential: {env: A}}}', 2, 15, "not a connection name", "lower-case"),
    (f"connections: {{{'c' * 33}: {{type: openai, credential: {{env: A}}}}}}", 2, 15, "not a connection name", "31"),
    ("rules: [{id: A, on: [sql], text: {regex: [a]}}]", 2, 14, "not a rule id", "hyphens"),
    ("rules: [{id: 'ciguard:x', on: [sql], text: {regex: [a]}}]", 2, 14, "not a rule id", "hyphens"),
    ("rules: [{id: a--b, on: [sql], text: {regex: [a]}}]", 2, 14, "not a rule id", "hyphens"),
    (f"rules: [{{id: {'a' * 65}, on: [sql], text: {{regex: [a]}}}}]", 2, 14, "not a rule id", "64"),
    ("env: [A=B]", 2, 7, "not the name of an environment variable", "never the value"),
    ("secrets: ['']", 2, 11, "not the name of an environment variable", "never the value"),
    ("approval: {approvers: [alice]}", 2, 24, "not an approver", '"@alice"'),
    ('approval: {approvers: ["rule: "]}', 2, 24, "not an approver", '"rule:Security"'),
    ("approval: {timeout: 30}", 2, 21, "must be a text", "quotes"),
    ("approval: {timeout: 30 minutes}", 2, 21, "not a duration", "30m"),
    ("approval: {timeout: 0m}", 2, 21, "not a duration", "30m"),
    ("egress: {allow: ['*']}", 2, 18, "not a host pattern", "*.example.org"),
    ("egress: {allow: ['https://example.com']}", 2, 18, "not a host pattern", "host:port"),
    ("egress: {allow: ['example.com:0']}", 2, 18, "not a host pattern", "host:port"),
    ("egress: {allow: ['example.com:65536']}", 2, 18, "not a host pattern", "host:port"),
    ("egress: {allow: ['a.*.example.com']}", 2, 18, "not a host pattern", "host:port"),
    ("egress: {allow: ['127.1']}", 2, 18, "plain dotted form", "host:port"),
    ("egress: {allow: ['*.10.0.0.1']}", 2, 18, "nothing below an IP address", "host:port"),
    ("egress: {allow: ['::1']}", 2, 18, "not a host pattern", "host:port"),
    ("egress: {allow: [{inspect: true}]}", 2, 18, "the key host is missing", "add host"),
    ("egress: {allow: [{host: a.example, inspekt: true}]}", 2, 36, "unknown key 'inspekt'", "did you mean inspect?"),
    ("egress: {allow: [{host: a.example, paths: [/a]}]}", 2, 43, "paths can be held against", "inspect: true"),
    ("egress: {allow: [{host: a.example, inspect: true, methods: [get]}]}", 2, 61, "not an HTTP method", "GET"),
    ("egress: {allow: [{host: a.example, inspect: true, paths: ['/a?b']}]}", 2, 59, "not a path", "/api/*"),
    ("egress: {allow: ['*.a.example', {host: b.a.example, inspect: true}]}", 2, 33, "hosts in common", "overlap"),
    ("audit: {recipients: ['ecdsa-sha2-nistp256 AAAA']}", 2, 22, "not an age recipient", "ssh-ed25519"),
    ("connections: {c: {type: openai, credential: {env: A}, models: ['a b']}}", 2, 64, "not a glob", "*"),
    ("identity: {allow: [{a: 1}]}", 2, 24, "a text or a list of texts", "quotes"),
    ("identity: {allow: [{a: [b, true]}]}", 2, 28, "must be a text", "quotes"),
    ("identity: {allow: [{a: ''}]}", 2, 24, "not a claim's value", "write the value"),
    # rules that could not work
    ("rules: [{id: a, on: [promt], text: {regex: [a]}}]", 2, 22, "no operation or result 'promt'", "prompt, instr"),
    ("rules:\n  - {id: a, on: [prompt]}", 3, 5, "rule a matches nothing", "text, tool, sql, command"),
    ("rules: [{id: a, on: [prompt], command: {run: [rm]}}]", 2, 22, "a prompt never has", "tool_call, command"),
    ("rules: [{id: a, on: [tool_call], command: {}}]", 2, 43, "needs something to look for", "run or traits"),
    ("rules: [{id: a, on: [tool_call], files: {}}]", 2, 41, "needs something to look for", "reads, writes"),
    ("rules: [{id: a, on: [command], command: {run: [--x]}}]", 2, 48, "not a pattern of commands", "docker run"),
    ("rules: [{id: a, on: [command], files: {reads: [./x]}}]", 2, 48, "not a path", "without ./"),
    ("rules: [{id: a, on: [tool_call], git: {acts: []}}]", 2, 46, "", ""),
    ("rules: [{id: a, on: [tool_call], git: {acts: [pull]}}]", 2, 47, "", "force-push"),
    ("rules: [{id: a, on: [sql], tool: {except: [b]}}]", 2, 34, "only a tool_call has", "add tool_call"),
    ("rules: [{id: a, on: [tool_call, sql], tool: {names: [b]}}]", 2, 53, "only a tool_call has", "second rule"),
    ("rules: [{id: a, on: [tool_call], tool: {names: ['ciguard:x']}}]", 2, 49, "no group of tools", "text-tools"),
    ("rules: [{id: a, on: [sql], sql: {statements: [drop]}, action: mask}]", 2, 63, "takes a text matcher", "masked"),
    (
        "rules: [{id: a, on: [tool_call], tool: {except: [b]}, text: {regex: [a]}, action: mask}]",
        2,
        83,
        "masks",
        "text",
    ),
    ("rules: [{id: a, on: [sql], text: {regex: ['(?<!a)b']}}]", 2, 43, "invalid perl operator", "look-around"),
    ("rules: [{id: a, on: [sql], text: {regex: ['(a)\\1']}}]", 2, 43, "invalid escape sequence", "backreferences"),
    ("rules: [{id: a, on: [sql], text: {regex: [ok, '(']}}]", 2, 47, "missing )", "Syntax"),
    ("rules: [{id: a, on: [sql], text: {regex: ['a{2000}']}}]", 2, 43, "repetition size", "smaller repetitions"),
    ("rules: [{id: a, on: [sql], text: {regex: ['(\\pL{300}){9}']}}]", 2, 43, "repetition size", "smaller repetitions"),
    ("rules: [{id: a, on: [sql], text: {regex: ['\\pL{100}']}}]", 2, 43, "too large", "smaller repetitions"),
    ("rules: [{id: a, on: [sql], text: {regex: ['a*']}}]", 2, 43, "matches the empty text", "instead of *"),
    (
        "rules: [{id: a, on: [sql], text: {regex: [a]}}, {id: a, on: [sql], text: {regex: [b]}}]",
        2,
        54,
        "two rules a",
        "own",
    ),
    # addresses
    *(
        (f"connections: {{c: {{type: openai, credential: {{env: A}}, upstream: '{url}'}}}}", 2, 65, cause, remedy)
        for url, cause, remedy in [
            ("http://example.com", "only on loopback", "https"),
            ("http://127.0.0.1.example.com", "only on loopback", "https"),
            ("https://user:secret@example.com", "no user and no password", "credential key"),
            ("https://@example.com", "no user and no password", "credential key"),
            ("https://example.com?x=1", "no query", "https://gateway"),
            ("https://example.com/#x", "no query and no fragment", "https://gateway"),
            ("https://example.com/a/../b", "no . and ..", "https://gateway"),
            ("ftp://example.com", "not an https URL", "https://gateway"),
            ("example.com", "not a URL", "https://gateway"),
            ("https://", "not a URL", "https://gateway"),
            ("https://example.com:99999", "not a URL", "https://gateway"),
            ("https://exa mple.com", "not a URL", "https://gateway"),
            ("https://example.com\\\\@evil.example.org", "not a URL", "https://gateway"),
            ("https://[::1", "not a URL", "https://gateway"),
        ]
    ),
    ("identity: {issuers: ['http://gitlab.example.com']}", 2, 22, "only on loopback", "https"),
    # examples
    ("tests: [{operation: {}, expect: allow}]", 2, 21, "exactly one operation", "kind: body"),
    ("tests: [{operation: {sql: {}, prompt: {}}, expect: allow}]", 2, 21, "exactly one operation", "kind: body"),
    ("tests: [{operation: {shell: {}}, expect: allow}]", 2, 21, "exactly one operation", "tool_call"),
    # the credential and the agent's environment
    (
        "env: [B, A]\nconnections: {c: {type: openai, credential: {env: A}}}",
        2,
        10,
        "A holds a secret of the guard's own",
        "remove it",
    ),
    ("env: [B, A]\napproval: {notify: {url: {env: A}}}", 2, 10, "A holds a secret of the guard's own", "remove it"),
    (
        "env: [A]\napproval: {notify: {url: {env: B}, secret: {env: A}}}",
        2,
        7,
        "A holds a secret of the guard's own",
        "remove it",
    ),
]


@pytest.mark.parametrize(("text", "line", "column", "cause", "remedy"), WRONG, ids=[row[0][:60] for row in WRONG])
def test_one_error_with_its_place_cause_and_remedy(text: str, line: int, column: int, cause: str, remedy: str) -> None:
    error = refused(text)
    assert place(error) == ("p.yml", line, column)
    assert cause in error.cause
    assert remedy in error.remedy


def test_the_first_of_several_errors_is_told() -> None:
    assert place(refused("approval: {hold_at: x}\nrules: x\nidentity: {audience: 1}")) == ("p.yml", 2, 21)


@pytest.mark.parametrize("text", ["credential: sk-ant-verysecret", "credential: {env: sk-ant-verysecret}"])
def test_a_pasted_secret_is_not_repeated(text: str) -> None:
    error = refused(f"connections: {{c: {{type: anthropic, {text}}}}}")
    assert "verysecret" not in f"{error!r} {error.cause} {error.remedy}"
    assert error.__context__ is None or error.__suppress_context__


@pytest.mark.parametrize(
    "url",
    ["https://example.com/a/", "http://127.0.0.1:8080", "http://localhost:1/x", "http://[::1]:99", "HTTPS://a.example"],
)
def test_upstreams_that_are_served(url: str) -> None:
    policy = loaded(f"connections: {{c: {{type: openai, credential: {{env: A}}, upstream: '{url}'}}}}")
    assert policy.connections["c"].upstream == url.rstrip("/")


@pytest.mark.parametrize(
    "pattern",
    ["localhost", "example.com", "*.example.org:443", "10.0.0.1:80", "a-b.example:65535", "[2001:db8::1]:8443"],
)
def test_hosts_that_egress_takes(pattern: str) -> None:
    assert [entry.host for entry in loaded(f"egress: {{allow: ['{pattern}']}}").egress.allow] == [pattern]
