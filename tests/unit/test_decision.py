from __future__ import annotations

from ciguard.decision import ALLOWED, Action, Decision, Reason


def test_actions_are_ordered_by_severity() -> None:
    assert sorted(Action) == [Action.ALLOW, Action.MASK, Action.HOLD, Action.BLOCK]
    assert max(Action.MASK, Action.HOLD) is Action.HOLD


def test_actions_have_the_words_of_policies() -> None:
    assert [action.word for action in Action] == ["allow", "mask", "hold", "block"]


def test_a_decision_names_its_rules_in_order() -> None:
    assert Decision(Action.BLOCK, 95, (Reason("b", "x", 40), Reason("a", "y", 55))).rules == ("b", "a")
    assert ALLOWED.rules == ()
