from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ciguard.decision import ALLOWED, Action, Quorum
from ciguard.operation import Operation, OperationKind, Result, ResultKind
from ciguard.policy.evaluation import Evaluator, concluded, model_allowed
from ciguard.policy.models import Policy
from ciguard.policy.rules import ActionWord, Rule, TextMatcher
from ciguard.policy.sections.approval import Approval
from tests.unit.policy.sources import loaded

CONNECTIONS = """
connections:
  one: {type: openai, credential: {env: A}, rules: [{id: own, on: [prompt], text: {regex: [own]}, risk: 50}]}
  two: {type: openai, credential: {env: B}}
"""


def prompt(text: str, connection: str = "") -> Operation:
    return Operation(OperationKind.PROMPT, {"texts": [text]}, connection)


def rules(*lines: str, more: str = "") -> Policy:
    return loaded("rules:\n" + "\n".join(f"  - {{{line}}}" for line in lines) + "\n" + more)


def rule(name: str, *, action: str = "allow", risk: int = 0, approvers: tuple[str, ...] | None = None) -> Rule:
    return Rule(
        id=name,
        on=("prompt",),
        text=TextMatcher(regex=("x",)),
        action=ActionWord(action),
        risk=risk,
        approvers=approvers,
    )


class TestConclusion:
    @pytest.mark.parametrize(
        ("risks", "action", "risk"),
        [
            ((), Action.ALLOW, 0),
            ((59,), Action.ALLOW, 59),
            ((60,), Action.HOLD, 60),
            ((30, 30), Action.HOLD, 60),
            ((89,), Action.HOLD, 89),
            ((90,), Action.BLOCK, 90),
            ((50, 50, 50), Action.BLOCK, 100),
        ],
    )
    def test_risks_add_up_to_thresholds(self, risks: tuple[int, ...], action: Action, risk: int) -> None:
        decision = concluded([rule(f"r{n}", risk=value) for n, value in enumerate(risks)], Approval())
        assert (decision.action, decision.risk) == (action, risk)
        assert ("ciguard:risk" in decision.rules) == (action is not Action.ALLOW)

    @pytest.mark.parametrize(
        ("risks", "text"),
        [
            ((70,), "The risk is 70, which reaches hold_at 60."),
            ((40, 0, 30), "The risk is 40 + 30 = 70, which reaches hold_at 60."),
            ((80, 50), "The risk is 80 + 50 = 130, counted as 100, which reaches block_at 90."),
        ],
    )
    def test_the_reason_says_the_arithmetic(self, risks: tuple[int, ...], text: str) -> None:
        decision = concluded([rule(f"r{n}", risk=value) for n, value in enumerate(risks)], Approval())
        assert decision.reasons[-1].text == text

    @pytest.mark.parametrize(
        ("actions", "risk", "expected"),
        [
            (("allow",), 0, Action.ALLOW),
            (("mask", "allow"), 0, Action.MASK),
            (("mask", "hold"), 0, Action.HOLD),
            (("block", "hold", "mask"), 0, Action.BLOCK),
            (("mask",), 60, Action.HOLD),
            (("hold",), 90, Action.BLOCK),
            (("block",), 60, Action.BLOCK),
        ],
    )
    def test_the_most_severe_wins(self, actions: tuple[str, ...], risk: int, expected: Action) -> None:
        matched = [rule(f"r{n}", action=action) for n, action in enumerate(actions)]
        assert concluded([*matched, rule("risky", risk=risk)], Approval()).action is expected

    def test_a_threshold_that_does_not_decide_is_no_reason(self) -> None:
        assert concluded([rule("a", action="block", risk=60)], Approval()).rules == ("a",)

    def test_a_threshold_of_101_is_never_reached(self) -> None:
        approval = Approval(hold_at=101, block_at=101)
        assert concluded([rule("a", risk=100), rule("b", risk=100)], approval).action is Action.ALLOW

    def test_a_block_threshold_below_the_hold_threshold_blocks(self) -> None:
        assert concluded([rule("a", risk=50)], Approval(hold_at=60, block_at=50)).action is Action.BLOCK

    def test_the_approvers_of_each_rule_that_holds_must_agree(self) -> None:
        approval = Approval(approvers=("@boss",))
        decision = concluded(
            [
                rule("a", action="hold", approvers=("@a", "@b")),
                rule("b", action="hold", approvers=("@b", "@c")),
                rule("c", action="allow", approvers=("@d",)),
            ],
            approval,
        )
        assert decision.quorums == (Quorum(("@a", "@b")), Quorum(("@b", "@c")))

    @pytest.mark.parametrize("matched", [rule("a", action="hold"), rule("a", risk=70, approvers=("@d",))])
    def test_else_those_of_the_policy(self, matched: Rule) -> None:
        assert concluded([matched], Approval(approvers=("@boss",))).quorums == (Quorum(("@boss",)),)

    def test_a_rule_cannot_take_the_place_of_who_answers_for_the_risk(self) -> None:
        matched = [rule("a", action="hold", approvers=("@a",)), rule("b", risk=60)]
        assert concluded(matched, Approval(approvers=("@boss",))).quorums == (Quorum(("@a",)), Quorum(("@boss",)))
        assert concluded(matched, Approval()).quorums == (Quorum(("@a",)), Quorum(()))

    def test_several_people_and_one_of_each_group(self) -> None:
        approval = Approval(approvers=("@a", "@b"), count=2, each_of=(("@c",), ("@d", "@e")))
        assert concluded([rule("a", action="hold")], approval).quorums == (
            Quorum(("@a", "@b"), 2),
            Quorum(("@c",)),
            Quorum(("@d", "@e")),
        )

    def test_groups_alone_are_enough(self) -> None:
        assert concluded([rule("a", action="hold")], Approval(each_of=(("@c",),))).quorums == (Quorum(("@c",)),)

    def test_an_empty_list_of_approvers_is_nobody(self) -> None:
        approval = Approval(approvers=(), each_of=(("@c",),))
        assert concluded([rule("a", action="hold")], approval).quorums == (Quorum(()), Quorum(("@c",)))

    @pytest.mark.parametrize("action", ["allow", "mask", "block"])
    def test_what_is_not_held_has_no_approvers(self, action: str) -> None:
        assert concluded([rule("a", action=action, approvers=("@a",))], Approval(approvers=("@b",))).quorums == ()

    def test_a_rule_without_a_reason_still_says_which_it_is(self) -> None:
        assert concluded([rule("a", action="block")], Approval()).reasons[0].text == "The rule a of the policy matches."

    @given(st.lists(st.tuples(st.sampled_from(list(ActionWord)), st.integers(0, 100)), max_size=5), st.data())
    def test_one_more_match_never_makes_a_decision_milder(
        self, matched: list[tuple[ActionWord, int]], data: st.DataObject
    ) -> None:
        all_rules = [rule(f"r{n}", action=action, risk=risk) for n, (action, risk) in enumerate(matched)]
        some = [item for item in all_rules if data.draw(st.booleans())]
        assert concluded(some, Approval()).action <= concluded(all_rules, Approval()).action


class TestDecide:
    def test_nothing_matches(self) -> None:
        assert Evaluator(rules("id: a, on: [prompt], text: {regex: [x]}")).decide(prompt("y")) == ALLOWED

    def test_reasons_come_in_the_order_of_the_policy(self) -> None:
        policy = rules(
            "id: b, on: [prompt], text: {regex: [o]}, risk: 1",
            "id: a, on: [prompt], text: {regex: [w]}, risk: 1",
            more=CONNECTIONS,
        )
        assert Evaluator(policy).decide(prompt("own", "one")).rules == ("b", "a", "own")

    def test_rules_of_a_connection_are_for_it_alone(self) -> None:
        evaluator = Evaluator(loaded(CONNECTIONS))
        assert [evaluator.decide(prompt("own", name)).risk for name in ("one", "two", "")] == [50, 0, 0]

    def test_a_rule_is_for_its_kinds_alone(self) -> None:
        evaluator = Evaluator(rules("id: a, on: [prompt, tool_result], text: {regex: [x]}, action: block"))
        assert evaluator.decide(prompt("x")).action is Action.BLOCK
        assert evaluator.decide(Result(ResultKind.TOOL_RESULT, {"texts": ["x"]})).action is Action.BLOCK
        assert evaluator.decide(Operation(OperationKind.INSTRUCTIONS, {"texts": ["x"]})).action is Action.ALLOW

    def test_a_kind_that_is_named_twice_counts_once(self) -> None:
        policy = rules("id: a, on: [prompt, prompt], text: {regex: [x]}, risk: 40")
        assert Evaluator(policy).decide(prompt("x")).risk == 40

    @pytest.mark.parametrize("connection", ["three", "One", "one ", "\ud800"])
    def test_an_undeclared_connection_is_blocked(self, connection: str) -> None:
        decision = Evaluator(loaded(CONNECTIONS)).decide(prompt("hello", connection))
        assert (decision.action, decision.rules) == (Action.BLOCK, ("ciguard:undeclared-connection",))
        assert "it declares: one, two" in decision.reasons[0].text


def test_watches_where_a_rule_applies() -> None:
    evaluator = Evaluator(rules("id: a, on: [sql], text: {regex: [x]}", more=CONNECTIONS))
    kinds = (OperationKind.SQL, OperationKind.PROMPT, ResultKind.ROWS)
    assert [[evaluator.watches(kind, name) for kind in kinds] for name in ("", "one", "two", "gone")] == [
        [True, False, False],
        [True, True, False],
        [True, False, False],
        [True, True, True],
    ]


class TestMaskSpans:
    POLICY = rules(
        "id: digits, on: [prompt], text: {regex: ['[0-9]{3,}']}, action: mask",
        "id: words, on: [prompt], text: {keywords: [geheim, пароль], regex: ['x[0-9]+']}, action: mask",
        "id: risky, on: [prompt], text: {regex: [a]}, risk: 10",
        more="connections: {c: {type: openai, credential: {env: A}, "
        "rules: [{id: own, on: [prompt], text: {regex: [b+]}, action: mask}]}}",
    )

    @pytest.mark.parametrize(
        ("text", "connection", "spans"),
        [
            ("nothing", "", []),
            ("é12345é", "", [(1, 6, "digits")]),
            ("123 geheim 456", "", [(0, 3, "digits"), (4, 10, "words"), (11, 14, "digits")]),
            ("Пароль: пароль", "", [(0, 6, "words"), (8, 14, "words")]),
            ("x1234", "", [(0, 5, "words")]),
            ("\ud800 123 \U0001f600 456", "", [(2, 5, "digits"), (8, 11, "digits")]),
            ("bbb 123", "", [(4, 7, "digits")]),
            ("bbb 123", "c", [(0, 3, "own"), (4, 7, "digits")]),
            ("bbb 123", "undeclared", []),
        ],
    )
    def test_spans(self, text: str, connection: str, spans: list[tuple[int, int, str]]) -> None:
        assert Evaluator(self.POLICY).mask_spans(text, OperationKind.PROMPT, connection) == spans

    def test_other_kinds_are_left_alone(self) -> None:
        assert Evaluator(self.POLICY).mask_spans("123", OperationKind.TOOL_CALL, "") == []

    @given(st.text(alphabet="a1x2b é\ud800😀geheim", max_size=40))
    def test_spans_are_sorted_apart_and_not_empty_and_mask_what_decides(self, text: str) -> None:
        evaluator = Evaluator(self.POLICY)
        spans = evaluator.mask_spans(text, OperationKind.PROMPT, "c")
        edges = [edge for start, end, _ in spans for edge in (start, end)]
        assert edges == sorted(edges)
        assert all(0 <= start < end <= len(text) for start, end, _ in spans)
        masked = {"digits", "words", "own"} & set(evaluator.decide(prompt(text, "c")).rules)
        assert bool(spans) == bool(masked)


@pytest.mark.parametrize(
    ("models", "model", "allowed"),
    [
        ("", "anything", True),
        (", models: ['claude-*']", "claude-sonnet-4", True),
        (", models: ['claude-*']", "Claude-sonnet-4", False),
        (", models: ['claude-*', gpt-5]", "gpt-5", True),
        (", models: ['claude-*', gpt-5]", "gpt-5-mini", False),
        (", models: ['claude-*']", "", False),
    ],
)
def test_model_allowed(models: str, model: str, allowed: bool) -> None:
    policy = loaded(f"connections: {{c: {{type: openai, credential: {{env: A}}{models}}}}}")
    assert model_allowed(policy.connections["c"], model) is allowed
