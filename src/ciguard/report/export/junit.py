"""The decisions of a session as a JUnit report, which GitLab shows in the merge request.

The case ``session`` says how the session ended, and has the error when its record is not whole. Then there is one case
for each operation and result that was not simply let through, and for each call that was turned away: a failure when
it was stopped, passed when people released it or something in it was masked. The rest is only counted.

GitLab ("Unit test reports") shows the ``name`` and the ``classname`` of a case and the content of its failure, keeps
one of the cases with the same name, and takes ``[[ATTACHMENT|path]]`` in an output for a link. It reads XML with Rails'
``Hash.from_xml``, to which an attribute ``type`` names a type to convert to: here it is one word, never a rule's name.
"""

from __future__ import annotations

import re
from collections import defaultdict, deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from xml.etree import ElementTree

from ciguard.operation import OperationKind, ResultKind
from ciguard.report.content import Content
from ciguard.report.facts import Facts, facts_of, recorded_content, recorded_kind
from ciguard.report.inert import excerpt, visible
from ciguard.session.event import EventType
from ciguard.session.reading import Session

MOST_CASES = 1_000
"""A report has so many cases of decisions at most; those of what was stopped come first."""

_TWO_BRACKETS = re.compile(r"\[(?=\[)")
_NAME = 200
_TEXT = 4_000
_Subject = tuple[OperationKind | ResultKind, Content]


@dataclass(frozen=True, slots=True)
class _Case:
    """One test case; ``problem`` is ``failure``, ``error`` or empty, and ``text`` its words or the case's output."""

    group: str
    name: str
    text: str
    seconds: float = 0
    problem: str = ""


def lines(session: Session) -> Iterator[str]:
    """The report's lines: XML 1.0 in ASCII, whatever the session holds."""
    report = _report(session)
    ElementTree.indent(report)
    yield '<?xml version="1.0" encoding="UTF-8"?>'
    yield from ElementTree.tostring(report, encoding="us-ascii").decode("ascii").split("\n")


def _report(session: Session) -> ElementTree.Element:
    facts = facts_of(session)
    decided, allowed = _decided(session)
    shown = sorted(decided, key=lambda case: not case.problem)[:MOST_CASES]
    cases = [_whole(session, facts, allowed, len(decided) - len(shown)), *shown]
    counts = {
        "name": "ciguard",
        "tests": str(len(cases)),
        "failures": str(sum(case.problem == "failure" for case in cases)),
        "errors": str(sum(case.problem == "error" for case in cases)),
    }
    report = ElementTree.Element("testsuites", counts)
    suite = ElementTree.SubElement(report, "testsuite", {**counts, "skipped": "0", "timestamp": facts.started})
    properties = ElementTree.SubElement(suite, "properties")
    for name, value in _properties(facts, allowed):
        ElementTree.SubElement(properties, "property", {"name": name, "value": excerpt(value, _NAME)})
    for case in cases:
        _add(suite, case)
    return report


def _properties(facts: Facts, allowed: int) -> Iterator[tuple[str, str]]:
    yield "session", facts.session
    yield "log.head", facts.head
    yield "policy", facts.policy_digest
    yield "isolation", facts.isolation
    yield "allowed", str(allowed)
    yield "masked", str(facts.masked_values)
    yield "held", str(facts.held)
    yield "blocked", str(facts.blocked)
    yield "turned_away", str(facts.turned_away)


def _whole(session: Session, facts: Facts, allowed: int, left_out: int) -> _Case:
    """The case of the session itself."""
    stopped = any(event["type"] == EventType.SESSION_STOPPED for event in session.events)
    damage = f"the log is damaged, {facts.damage}" if facts.damage else ""
    more = f"{left_out} more decisions are in the session only" if left_out else ""
    told = [
        facts.outcome,
        facts.exited,
        f"{allowed} operations and results were let through as they were",
        damage,
        more,
    ]
    text = "\n".join(part for part in told if part)
    problem = "" if facts.complete and not stopped and not damage else "error"
    return _Case("session", f"session: {damage or facts.outcome}", text, problem=problem)


def _decided(session: Session) -> tuple[list[_Case], int]:
    """The cases of what was not simply let through, in the order of the log, and how much was."""
    cases: list[_Case] = []
    allowed = 0
    asked: dict[str, _Subject] = {}
    verdicts: defaultdict[_Subject, deque[Mapping[str, Any]]] = defaultdict(deque)
    for event in session.events:
        match EventType(event["type"]):
            case EventType.APPROVAL_REQUESTED:
                asked[event["approval"]] = recorded_kind(event), recorded_content(session, event)
            case EventType.VERDICT if event["approval"] in asked:
                verdicts[asked.pop(event["approval"])].append(event)
            case EventType.OPERATION | EventType.RESULT if (
                event["decision"]["action"] == "allow" and not event["masked"]
            ):
                allowed += 1
            case EventType.OPERATION | EventType.RESULT:
                subject = recorded_kind(event), recorded_content(session, event)
                answered = verdicts[subject] if event["decision"]["action"] == "hold" else None
                cases.append(_decision(event, *subject, answered.popleft() if answered else None))
            case EventType.REFUSED:
                called = f"{event['method']} {event['path']}"
                text = f"{event['reason']} (status {event['status']})"
                cases.append(_Case("refused", _name(event, "turned away", called), text, problem="failure"))
    return cases, allowed


def _decision(
    event: Mapping[str, Any], kind: OperationKind | ResultKind, content: Content, verdict: Mapping[str, Any] | None
) -> _Case:
    """The case of an operation or a result; ``verdict`` is the event with what people said of it."""
    decision = event["decision"]
    seconds, problem = 0.0, ""
    match decision["action"]:
        case "block":
            word, problem = "blocked", "failure"
        case "hold":
            seconds = verdict["waited_ms"] / 1000 if verdict else 0.0
            released = event.get("effect") == "forwarded" or (verdict is not None and verdict["outcome"] == "released")
            by = ", ".join(f"@{one['login']}" for one in verdict["evidence"]) if verdict else ""
            word = (
                f"approved by {by or 'people'}"
                if released
                else f"held, {verdict['outcome'] if verdict else 'withheld'}"
            )
            problem = "" if released else "failure"
        case _:
            word = "masked"
    text = [
        f"risk {decision['risk']}",
        *(f"{reason['rule']}: {reason['text']}" for reason in decision["reasons"]),
        *([verdict["reason"]] if verdict else []),
        *(f"masked: {count} x {name}" for name, count in event["masked"].items()),
        "",
        content.line,
    ]
    return _Case(kind.value, _name(event, word, content.line), "\n".join(text), seconds, problem)


def _name(event: Mapping[str, Any], word: str, what: str) -> str:
    """What people see first; the event's number makes it the only one of its name."""
    return f"#{event['seq']} {word}: {what}"


def _add(suite: ElementTree.Element, case: _Case) -> None:
    attributes = {
        "classname": f"ciguard.{case.group}",
        "name": _plain(excerpt(case.name, _NAME)),
        "time": f"{case.seconds:.3f}",
    }
    made = ElementTree.SubElement(suite, "testcase", attributes)
    text = visible(case.text[:_TEXT])
    if case.problem:
        problem = ElementTree.SubElement(made, case.problem, {"message": attributes["name"], "type": "ciguard"})
        problem.text = _plain(text)
    else:
        ElementTree.SubElement(made, "system-out").text = _plain(text)


def _plain(text: str) -> str:
    """``text`` without anything that GitLab would take for the link to an attachment."""
    return _TWO_BRACKETS.sub("[ ", text)
