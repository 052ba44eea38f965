"""What a policy decides of one operation or result."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from ciguard.decision import ALLOWED, Action, Decision, Quorum, Reason
from ciguard.operation import Operation, OperationKind, Result, ResultKind
from ciguard.policy import globs
from ciguard.policy.egress import EGRESS, GUARDED_KINDS, egress_refusal
from ciguard.policy.matching import Matcher, Subject, Watch
from ciguard.policy.models import Policy
from ciguard.policy.remote import NOTHING_REMOTE, REMOTE, remote_refusal
from ciguard.policy.rules import ActionWord, Rule
from ciguard.policy.sections.approval import Approval
from ciguard.policy.sections.connection import Connection

UNDECLARED_CONNECTION = "ciguard:undeclared-connection"
RISK = "ciguard:risk"
MAXIMAL_RISK = 100


class Evaluator:
    """A policy that is ready to decide; one serves a whole session."""

    def __init__(self, policy: Policy) -> None:
        self._policy = policy
        self._rules: dict[str, dict[str, Watch]] = {
            name: _by_kind((*policy.rules, *rules))
            for name, rules in (("", ()), *((name, c.rules) for name, c in policy.connections.items()))
        }
        hiding = {
            (name, kind): [matcher for matcher in watch.matchers if matcher.rule.action is ActionWord.MASK]
            for name, rules in self._rules.items()
            for kind, watch in rules.items()
        }
        self._masks = {place: matchers for place, matchers in hiding.items() if matchers}
        self.masks_nothing = not self._masks
        """Whether no rule hides anything anywhere."""

    def watches(self, kind: OperationKind | ResultKind, connection: str) -> bool:
        """Whether anything there decides on ``kind``: a rule, ``egress``, or that the connection is not declared.

        What the model's service is asked to do is decided everywhere.
        """
        return (
            connection not in self._rules
            or kind in self._rules[connection]
            or (not connection and kind in GUARDED_KINDS)
            or kind is OperationKind.REMOTE
        )

    def masks(self, kind: OperationKind | ResultKind, connection: str) -> bool:
        """Whether any rule hides something in ``kind`` there."""
        return (connection, kind) in self._masks

    def decide(self, subject: Operation | Result) -> Decision:
        """The decision: the most severe of what the matching rules and the risk thresholds ask for."""
        rules = self._rules.get(subject.connection)
        if rules is None:
            declared = ", ".join(self._policy.connections) or "none"
            text = f"The policy declares no connection {subject.connection!r}; it declares: {declared}."
            return Decision(Action.BLOCK, reasons=(Reason(UNDECLARED_CONNECTION, text),))
        watch = rules.get(subject.kind)
        matched = watch.matched(subject) if watch is not None else []
        decision = concluded(matched, self._policy.approval) if matched else ALLOWED
        if isinstance(subject, Operation) and (reason := self._fixed(subject)) is not None:
            return Decision(Action.BLOCK, decision.risk, (*decision.reasons, reason))
        return decision

    def _fixed(self, operation: Operation) -> Reason | None:
        """Why a key of the policy other than a rule refuses ``operation``."""
        if operation.kind is OperationKind.REMOTE:
            declared = self._policy.connections.get(operation.connection)
            refused = remote_refusal(declared.remote if declared else NOTHING_REMOTE, operation)
            return Reason(REMOTE, refused) if refused else None
        if operation.kind in GUARDED_KINDS and not operation.connection:
            refused = egress_refusal(self._policy.egress, operation)
            return Reason(EGRESS, refused) if refused else None
        return None

    def evidence(self, subject: Operation | Result) -> dict[str, list[str]]:
        """The commands and files that each matching rule found in ``subject``, by the rule's id."""
        watch = self._rules.get(subject.connection, {}).get(subject.kind)
        looked_at = Subject(subject)
        matchers = [] if watch is None else [item for item in watch.matchers if item.matches(looked_at)]
        return {matcher.rule.id: matcher.evidence(looked_at) for matcher in matchers}

    def mask_spans(self, text: str, kind: OperationKind | ResultKind, connection: str) -> list[tuple[int, int, str]]:
        """What rules with ``action: mask`` hide in a text of ``kind``: (start, end, rule id), in characters, sorted.

        Spans never overlap: those that would are one span under the id of the first. An undeclared connection has no
        masking, since everything over it is refused.
        """
        found = [
            (start, end, matcher.rule.id)
            for matcher in self._masks.get((connection, kind), ())
            for start, end in matcher.spans(text)
        ]
        merged: list[tuple[int, int, str]] = []
        for start, end, rule in sorted(found, key=lambda span: span[:2]):
            if merged and start < merged[-1][1]:
                first = merged[-1]
                merged[-1] = (first[0], max(first[1], end), first[2])
            else:
                merged.append((start, end, rule))
        return merged


def concluded(matched: Sequence[Rule], approval: Approval) -> Decision:
    """The decision that follows when exactly the rules ``matched`` match."""
    risks = [rule.risk for rule in matched if rule.risk]
    risk = min(sum(risks), MAXIMAL_RISK)
    reasons = [
        Reason(rule.id, rule.reason or f"The rule {rule.id} of the policy matches.", rule.risk) for rule in matched
    ]
    asked = max((rule.action.action for rule in matched), default=Action.ALLOW)
    threshold, name, bound = Action.ALLOW, "", 0
    if risk >= approval.block_at:
        threshold, name, bound = Action.BLOCK, "block_at", approval.block_at
    elif risk >= approval.hold_at:
        threshold, name, bound = Action.HOLD, "hold_at", approval.hold_at
    if threshold > asked:
        reasons.append(Reason(RISK, f"The risk is {arithmetic(risks)}, which reaches {name} {bound}."))
    action = max(asked, threshold)
    quorums = _quorums(matched, approval, by_risk=threshold is Action.HOLD) if action is Action.HOLD else ()
    return Decision(action, risk, tuple(reasons), quorums)


def _quorums(matched: Sequence[Rule], approval: Approval, *, by_risk: bool) -> tuple[Quorum, ...]:
    """Everybody who must release a hold: for each rule that holds, and for the risk when it alone would hold.

    All of them, not any: otherwise a policy could loosen what it extends by a rule of its own that matches the same.
    """
    general = quorums(approval)
    asked = [
        quorums(rule) if rule.approvers is not None or rule.each_of else general
        for rule in matched
        if rule.action is ActionWord.HOLD
    ]
    if by_risk:
        asked.append(general)
    return tuple(dict.fromkeys(quorum for group in asked for quorum in group))


def quorums(stated: Rule | Approval) -> tuple[Quorum, ...]:
    """What ``approvers``, ``count`` and ``each_of`` ask for together; a quorum of nobody when they name nobody.

    An empty list of approvers is nobody, whatever the groups: it may be what was left of a list in a parent.
    """
    groups = tuple(Quorum(group) for group in stated.each_of)
    return groups if stated.approvers is None and groups else (Quorum(stated.approvers or (), stated.count), *groups)


def arithmetic(risks: Sequence[int]) -> str:
    """How ``risks`` add up, in words for people: ``40 + 30 = 70``."""
    total = sum(risks)
    text = f"{' + '.join(map(str, risks))} = {total}" if len(risks) > 1 else str(total)
    return f"{text}, counted as {MAXIMAL_RISK}" if total > MAXIMAL_RISK else text


def model_allowed(connection: Connection, model: str) -> bool:
    """Whether ``connection`` may be asked for ``model``: any model when the policy has no ``models`` there."""
    return connection.models is None or any(globs.matches(glob, model) for glob in connection.models)


def _by_kind(rules: Sequence[Rule]) -> dict[str, Watch]:
    by_kind: dict[str, list[Matcher]] = defaultdict(list)
    for rule in rules:
        matcher = Matcher(rule)
        for kind in dict.fromkeys(rule.on):
            by_kind[kind].append(matcher)
    return {kind: Watch(matchers) for kind, matchers in by_kind.items()}
