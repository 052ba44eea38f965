"""``ciguard policy``: check, test and explain policy files."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ciguard.cli.parser import Parser
from ciguard.errors import PolicyError, UsageError

if TYPE_CHECKING:
    from ciguard.decision import Decision
    from ciguard.policy.examples import Trial
    from ciguard.policy.models import Policy

DEFAULT = ".ciguard.yml"


def main(arguments: Sequence[str]) -> int:
    """Run ``ciguard policy ARGUMENTS`` and return its exit status."""
    options = _parser().parse_args(arguments)
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
    run: Callable[[argparse.Namespace], int] = options.run
    return run(options)


def _parser() -> argparse.ArgumentParser:
    parser = Parser(
        prog="ciguard policy",
        description="Check, test and explain policy files. F can be a file or a preset such as ciguard:standard.",
        epilog="example: ciguard policy check .ciguard.yml",
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    check = commands.add_parser(
        "check",
        help="say whether a policy is valid, or what is wrong at which line",
        description="Say whether a policy, with all that it extends, is valid: exit status 0, or 78 and one error.",
        epilog="example: ciguard policy check .ciguard.yml",
    )
    check.set_defaults(run=_check)
    test = commands.add_parser(
        "test",
        help="run the examples of a policy",
        description="Run the examples of a policy, and of all that it extends: those may come out stricter here, "
        "never looser. Exit status 1 when an example fails.",
        epilog="example: ciguard policy test .ciguard.yml",
    )
    test.set_defaults(run=_test)
    explain = commands.add_parser(
        "explain",
        help="say what a policy decides of an operation, and why",
        description="Say which rules match an operation, how the risk adds up, and what the policy decides.",
        epilog='example: echo \'{"tool_call": {"name": "Bash", "input": {"command": "rm -rf /"}}}\' | '
        "ciguard policy explain .ciguard.yml -",
    )
    for command in (check, test):
        command.add_argument("file", nargs="?", default=DEFAULT, metavar="F", help=f"the policy; {DEFAULT} when absent")
    explain.add_argument("file", metavar="F", help="the policy")
    explain.add_argument(
        "operation", metavar="OPERATION.json", help='{"KIND": BODY}, with "connection" if it has one; - reads it'
    )
    explain.set_defaults(run=_explain)
    for command in (check, test, explain):
        command.add_argument("--json", action="store_true", help="print one JSON object")
    schema = commands.add_parser(
        "schema",
        help="print the JSON Schema of policy files, for editors",
        description="Print the JSON Schema of policy files. Editors with YAML support complete and check keys with it.",
        epilog="example: ciguard policy schema > ciguard.schema.json",
    )
    schema.set_defaults(run=_schema)
    return parser


def _check(options: argparse.Namespace) -> int:
    from ciguard.policy.loading import FileSource, load_policy

    try:
        policy = load_policy(FileSource(Path()), options.file)
        _check_recipients(policy, options.file)
    except PolicyError as error:
        if not options.json:
            raise
        _print_json(
            {
                "ok": False,
                "error": error.cause,
                "help": error.remedy,
                "file": error.file,
                "line": error.line,
                "column": error.column,
            }
        )
        return error.exit_code
    rules = len(policy.placed_rules())
    examples = len(policy.tests)
    if options.json:
        _print_json(
            {
                "ok": True,
                "file": options.file,
                "digest": policy.digest,
                "rules": rules,
                "connections": sorted(policy.connections),
                "examples": examples,
            }
        )
    else:
        print(
            f"ok: {options.file}: {_counted(rules, 'rule')}, {_counted(len(policy.connections), 'connection')}, "
            f"{_counted(examples, 'example')}; {policy.digest}"
        )
    return 0


def _check_recipients(policy: Policy, file: str) -> None:
    """Raise PolicyError for the first account among the recipients, with the lines to write instead of it."""
    from ciguard.errors import IdentityRefused
    from ciguard.forge.github_keys import account_keys

    server = os.environ.get("GITHUB_SERVER_URL") or "https://github.com"
    for recipient in policy.audit.recipients:
        kind, _, user = recipient.partition(":")
        if kind != "github":
            continue
        try:
            keys = account_keys(server, user)
        except IdentityRefused as refused:
            raise PolicyError(
                f"a policy pins keys, and those of {recipient} cannot be had: {refused.cause}",
                f"write the account's keys from {server}/{user}.keys instead of it (ssh-ed25519 and ssh-rsa)",
                file=file,
            ) from None
        if not keys:
            raise PolicyError(
                f"a policy pins keys, and {recipient} has none of the types ssh-ed25519 and ssh-rsa",
                "ask its owner for such a key, or for an age recipient",
                file=file,
            )
        lines = "\n".join(f'    - "{key} {recipient}"' for key in keys)
        raise PolicyError(
            f"a policy pins keys, and {recipient} is an account, whose keys can change",
            f"ask its owner whether these are the right ones, then write them instead of it:\n{lines}",
            file=file,
        )


def _test(options: argparse.Namespace) -> int:
    from ciguard.policy.examples import Outcome, tried
    from ciguard.policy.loading import FileSource, load_with_examples

    policy, documents = load_with_examples(FileSource(Path()), options.file)
    trials = tried(policy, documents)
    failed = [trial for trial in trials if trial.outcome is Outcome.FAILED]
    if options.json:
        _print_json({"ok": not failed, "examples": [_trial_facts(trial) for trial in trials]})
        return 1 if failed else 0
    for trial in failed:
        print(_failure(trial))
    for document in documents:
        outcomes = [trial.outcome for trial in trials if trial.label == document.label]
        print(f"{document.label}: {_counted(len(outcomes), 'example')}{_remarks(outcomes)}")
    return 1 if failed else 0


def _explain(options: argparse.Namespace) -> int:
    from ciguard.policy.evaluation import Evaluator
    from ciguard.policy.examples import subject_of
    from ciguard.policy.loading import FileSource, load_policy

    policy = load_policy(FileSource(Path()), options.file)
    operation, connection = _operation(options.operation)
    evaluator = Evaluator(policy)
    subject = subject_of(operation, connection)
    decision = evaluator.decide(subject)
    facts = _decision_facts(policy, decision, evaluator.evidence(subject))
    if options.json:
        _print_json(facts)
    else:
        print(_explanation(facts, decision))
    return 0


def _schema(_options: argparse.Namespace) -> int:
    from ciguard.policy.models import json_schema

    _print_json(json_schema())
    return 0


def _operation(name: str) -> tuple[Mapping[str, Mapping[str, Any]], str]:
    """The operation in the file ``name`` and its connection; UsageError when it is none."""
    from ciguard.policy.shapes import KINDS

    example = 'write for example {"tool_call": {"name": "Bash", "input": {"command": "git status"}}}'
    try:
        text = sys.stdin.read() if name == "-" else Path(name).read_text(encoding="utf-8")
    except OSError as error:
        raise UsageError(f"{name} cannot be read: {error.strerror}", "name a JSON file, or - to read it") from None
    except UnicodeDecodeError:
        raise UsageError(f"{name} is not UTF-8 text", example) from None
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        raise UsageError(f"{name} is not JSON", example) from None
    if not isinstance(value, dict):
        raise UsageError(f"{name} is not an operation", example)
    connection = value.pop("connection", "")
    body = next(iter(value.values()), None)
    if len(value) != 1 or not isinstance(body, dict) or not isinstance(connection, str):
        raise UsageError(f"{name} is not one operation with a body", example)
    if next(iter(value)) not in KINDS:
        raise UsageError(f"{name} holds an operation of an unknown kind", f"the kinds are: {', '.join(KINDS)}")
    return value, connection


def _explanation(facts: Mapping[str, Any], decision: Decision) -> str:
    lines = []
    for rule in facts["matched"]:
        lines.append(f"matched    {rule['rule']} ({rule['action']}, risk {rule['risk']})")
        lines.append(f"           {rule['text']}")
        lines += (f"found      {found}" for found in rule["found"])
    if not facts["matched"]:
        lines.append("matched    no rule")
    lines.append(f"risk       {facts['arithmetic']}")
    lines.append(f"thresholds hold at {facts['hold_at']}, block at {facts['block_at']}")
    lines.append(f"decision   {facts['decision']}")
    if facts["decision"] == "hold":
        lines += [f"approvers  {line}" for line in _approvers(decision)]
    return "\n".join(lines)


def _decision_facts(policy: Policy, decision: Decision, evidence: Mapping[str, list[str]]) -> dict[str, Any]:
    from ciguard.policy.evaluation import RISK, arithmetic

    actions = {rule.id: rule.action.value for _, rule in policy.placed_rules()}
    matched = [
        {
            "rule": reason.rule,
            "action": actions.get(reason.rule, decision.action.word),
            "risk": reason.risk,
            "text": reason.text,
            "found": evidence.get(reason.rule, []),
        }
        for reason in decision.reasons
        if reason.rule != RISK
    ]
    return {
        "matched": matched,
        "risk": decision.risk,
        "arithmetic": arithmetic([reason.risk for reason in decision.reasons if reason.risk]),
        "hold_at": policy.approval.hold_at,
        "block_at": policy.approval.block_at,
        "decision": decision.action.word,
        "approvers": [{"count": quorum.count, "of": list(quorum.approvers)} for quorum in decision.quorums],
    }


def _approvers(decision: Decision) -> list[str]:
    if not all(quorum.approvers for quorum in decision.quorums):
        return ["nobody: a hold is a block then"]
    return [quorum.words for quorum in decision.quorums]


def _failure(trial: Trial) -> str:
    kind, body = next(iter(trial.example.operation.items()))
    shown = json.dumps(body, ensure_ascii=False)
    shown = shown if len(shown) <= 160 else f"{shown[:159]}…"
    lines = [
        f"FAILED {trial.label}:{trial.line}: {kind} {shown}",
        f"       expected {_expected(trial)}, got {trial.decision.action.word} (risk {trial.decision.risk})",
    ]
    lines += [f"       because {reason.rule}: {reason.text}" for reason in trial.decision.reasons]
    return "\n".join(lines)


def _expected(trial: Trial) -> str:
    rules = trial.example.rules
    return f"{trial.example.expect} by {', '.join(rules)}" if rules else trial.example.expect.value


def _trial_facts(trial: Trial) -> dict[str, Any]:
    return {
        "file": trial.label,
        "line": trial.line,
        "operation": trial.example.operation,
        "connection": trial.example.connection,
        "expected": trial.example.expect.value,
        "expected_rules": list(trial.example.rules),
        "decision": trial.decision.action.word,
        "risk": trial.decision.risk,
        "rules": list(trial.decision.rules),
        "outcome": trial.outcome.value,
    }


def _remarks(outcomes: Sequence[str]) -> str:
    counts = {word: outcomes.count(word) for word in ("passed", "stricter", "failed")}
    words = {"passed": "passed", "stricter": "stricter under this policy", "failed": "failed"}
    parts = [f"{count} {words[outcome]}" for outcome, count in counts.items() if count]
    return f": {', '.join(parts)}" if parts else ""


def _counted(count: int, word: str) -> str:
    return f"{count} {word}{'' if count == 1 else 's'}"


def _print_json(value: Mapping[str, Any]) -> None:
    print(json.dumps(value, indent=2, ensure_ascii=False))
