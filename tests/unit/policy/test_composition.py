from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ciguard.decision import Quorum
from ciguard.inspect.personal_data import NameKind
from ciguard.policy.evaluation import quorums
from ciguard.policy.models import Policy
from ciguard.policy.sections.isolation import IsolationLevel
from tests.unit.policy.sources import loaded, place, refused

CONNECTION = "connections: {c: {type: openai, credential: {env: KEY}"
RULE = "{id: %s, on: [sql], text: {regex: [x]}}"

# The parent's text, the child's second line and more, and where the child loosens: line, column, a part of the cause.
LOOSER = [
    ("approval: {hold_at: 50}", "approval: {hold_at: 60}", 3, 21, "60 is higher than the 50"),
    ("approval: {block_at: 80}", "approval:\n  block_at: 101", 4, 13, "101 is higher than the 80"),
    ("approval: {timeout: 90s}", "approval: {timeout: 2m}", 3, 21, "2m is longer than the 90s"),
    ("approval: {approvers: ['@a']}", "approval: {approvers: ['@a', '@b']}", 3, 30, "approver @b is not within"),
    ("approval: {approvers: []}", "approval: {approvers: ['@a']}", 3, 24, "allows: none"),
    ("approval: {count: 2}", "approval: {count: 1}", 3, 19, "1 is less than the 2"),
    ("approval: {self_approval: false}", "approval: {self_approval: true}", 3, 27, "True is looser than the False"),
    (
        "approval: {without_pull_request: block}",
        "approval: {without_pull_request: issue}",
        3,
        34,
        "issue is looser than the block",
    ),
    ("approval: {most_open: 2}", "approval: {most_open: 3}", 3, 23, "3 is higher than the 2"),
    ("approval: {most: 2}", "approval: {most: 3}", 3, 18, "3 is higher than the 2"),
    ("approval: {scope: once}", "approval: {scope: session}", 3, 19, "session is looser than the once"),
    ("approval: {mode: wait}", "approval: {mode: resume}", 3, 18, "resume differs from the wait"),
    ("approval: {via: comment}", "approval: {via: environment, environment: e}", 3, 17, "environment differs from the"),
    ("approval: {approvers: ['@a']}", "approval: {via: environment, environment: e}", 3, 11, "are not asked"),
    ("approval: {approvers: []}", "approval: {via: environment, environment: e}", 3, 11, "are not asked"),
    ("approval: {each_of: [['@a']]}", "approval: {via: environment, environment: e}", 3, 11, "are not asked"),
    (
        f"rules: [{RULE % 'r'[:1]}]".replace("}]", ", approvers: ['@a']}]"),
        "approval: {via: environment, environment: e}",
        3,
        11,
        "are not asked",
    ),
    ("approval: {notify: {url: {env: A}}}", "approval: {notify: {url: {env: B}}}", 3, 32, "B differs from the A"),
    ("limits: {refusals_in_a_row: 5}", "limits: {refusals_in_a_row: 6}", 3, 29, "6 is higher than the 5"),
    ("isolation: {require: landlock}", "isolation: {require: user}", 3, 22, "user is weaker than the landlock"),
    ("isolation: {require: none}", "isolation: {require: none, prefer: none}", None, None, ""),
    ("isolation: {prefer: auto}", "isolation: {require: none, prefer: user}", 3, 36, "user is weaker than the auto"),
    ("egress: {allow: ['a.example']}", "egress: {allow: ['b.example']}", 3, 18, "host b.example is not within"),
    ("egress: {allow: ['a.example']}", "egress: {allow: ['a.example:80']}", 3, 18, "host a.example:80 is not within"),
    (
        "egress: {allow: [{host: a.example, inspect: true}]}",
        "egress: {allow: [b.example, a.example]}",
        3,
        18,
        "allows: a.example {'inspect': True}",
    ),
    ("egress: {allow: []}", "egress: {allow: [a.example]}", 3, 18, "allows: none"),
    ("env: [A]", "env: [A, B]", 3, 10, "variable B is not within"),
    ("env: []", "env: [B]", 3, 7, "variable B is not within"),
    ("identity: {audience: one}", "identity: {audience: two}", 3, 22, "two differs from the one"),
    ("identity: {allow: [{a: b}]}", "identity: {audience: two}", 3, 22, "two differs from the ciguard"),
    (
        "identity: {issuers: ['https://a.example']}",
        "identity: {issuers: ['https://b.example']}",
        3,
        22,
        "issuer https://b.example is not within",
    ),
    (f"{CONNECTION}}}}}", CONNECTION.replace("c:", "d:", 1) + "}}", 3, 18, "the connection d is not among"),
    (f"{CONNECTION}}}}}", CONNECTION.replace("openai", "gemini") + "}}", 3, 25, "gemini differs from the openai"),
    (f"{CONNECTION}}}}}", CONNECTION.replace("KEY", "OTHER") + "}}", 3, 51, "OTHER differs from the KEY"),
    (f"{CONNECTION}}}}}", CONNECTION + ", upstream: 'https://x.example'}}", 3, 67, "https://x.example differs from"),
    (f"{CONNECTION}, models: [a*]}}}}", CONNECTION + ", models: [ab, 'b*']}}", 3, 70, "model b* is not within"),
    (f"{CONNECTION}, models: [a-*]}}}}", CONNECTION + ", models: ['a*']}}", 3, 66, "model a* is not within"),
    (f"{CONNECTION}, limits: {{requests: 5}}}}}}", CONNECTION + ", limits: {requests: 6}}}", 3, 76, "6 is higher than"),
    ("masking: {names: {model: a}}", "masking: {names: {model: b}}", 3, 26, "b differs from the a"),
    ("masking: {names: {model: a}}", "masking: {names: {model: a, allow: [Ada]}}", 3, 37, "word Ada is not within"),
    ("connections: {}", CONNECTION + "}}", 3, 18, "among those of what this policy extends: none"),
    (f"rules: [{RULE % 'r'}]", f"rules: [{RULE % 's'}, {RULE % 'r'}]", 3, 54, "rule r is already in what"),
    (f"rules: [{RULE % 'r'}]", CONNECTION + f", rules: [{RULE % 'r'}]}}}}", 3, 70, "rule r is already in what"),
    ("env: [KEY]", f"{CONNECTION}}}}}", 3, 45, "KEY is the credential of the connection c"),
    (f"{CONNECTION}}}}}", "env: [KEY]", 3, 7, "KEY is the credential of the connection c"),
]


@pytest.mark.parametrize(("parent", "child", "line", "column", "cause"), LOOSER, ids=[row[1][:50] for row in LOOSER])
def test_loosening_is_an_error_at_its_line(
    parent: str, child: str, line: int | None, column: int | None, cause: str
) -> None:
    files = {"parent.yml": f"version: 1\n{parent}"}
    if line is None:
        assert loaded(f"extends: [parent.yml]\n{child}", files).isolation.prefer == "none"
        return
    error = refused(f"extends: [parent.yml]\n{child}", files)
    assert place(error) == ("p.yml", line, column)
    assert cause in error.cause
    assert error.remedy


def composed(child: str, **parents: str) -> Policy:
    files = {f"{name}.yml": f"version: 1\n{text}" for name, text in parents.items()}
    return loaded(f"extends: [{', '.join(files)}]\n{child}", files)


class TestTightening:
    def test_what_the_child_does_not_say_is_inherited(self) -> None:
        parent = (
            "identity: {audience: x, issuers: ['https://a.example']}\n"
            "connections: {c: {type: openai, credential: {env: KEY}, upstream: 'https://gw.example', "
            "models: [a], limits: {requests: 3}}}\n"
            "approval: {hold_at: 10, block_at: 20, approvers: ['@a'], timeout: 5m}\n"
            "isolation: {require: user, prefer: namespace}\n"
            "egress: {allow: [a.example]}\naudit: {recipients: ['ssh-ed25519 AAAA']}\n"
            f"limits: {{refusals_in_a_row: 3}}\nenv: [E]\nsecrets: [S]\nrules: [{RULE % 'r'}]\n"
        )
        assert composed("", parent=parent).text == loaded(parent).text

    def test_what_the_parent_does_not_say_is_free(self) -> None:
        policy = composed(
            "approval: {hold_at: 101, timeout: 3h}\nenv: [A]\negress: {allow: [a.example]}\nisolation: {require: none}",
            parent="rules: []",
        )
        assert (policy.approval.hold_at, policy.approval.timeout_seconds, policy.env) == (101, 10_800, ("A",))
        assert policy.isolation.require is IsolationLevel.NONE

    def test_names_stay_masked_with_fewer_exceptions_and_more_kinds(self) -> None:
        parent = "masking: {names: {model: a}}"
        for child in ("", "masking: {names: null}", "masking: {names: {model: a, kinds: [location]}}"):
            names = composed(child, parent=parent).masking.names
            assert names is not None
            assert names.kinds == tuple(NameKind)
        names = composed("masking: {names: {model: a, allow: [Claude]}}", parent=parent).masking.names
        assert names is not None
        assert names.allow == ("Claude",)

    def test_lower_narrower_stronger(self) -> None:
        policy = composed(
            "approval: {hold_at: 10, timeout: 60s}\nisolation: {require: namespace}\n"
            f"{CONNECTION}, models: [gpt-5-mini], limits: {{requests: 2, output_tokens: 5}}}}}}\n"
            "egress: {allow: ['x.a.example:443', b.example]}",
            parent="approval: {hold_at: 20, timeout: 2m}\nisolation: {require: user}\n"
            f"{CONNECTION}, models: ['gpt-*'], limits: {{requests: 3}}}}}}\n"
            "egress: {allow: ['*.a.example', b.example, c.example]}",
        )
        connection = policy.connections["c"]
        assert (policy.approval.hold_at, policy.approval.timeout) == (10, "60s")
        assert policy.isolation.require is IsolationLevel.NAMESPACE
        assert (connection.models, connection.limits.requests) == (("gpt-5-mini",), 2)
        assert connection.limits.output_tokens == 5
        assert [entry.host for entry in policy.egress.allow] == ["x.a.example:443", "b.example"]

    def test_more_people_and_further_groups_may_be_asked_for(self) -> None:
        policy = composed(
            "approval: {count: 2, each_of: [['@c']]}", parent="approval: {approvers: ['@a', '@b'], each_of: [['@d']]}"
        )
        approval = policy.approval
        assert (approval.approvers, approval.count, approval.each_of) == (("@a", "@b"), 2, (("@d",), ("@c",)))

    def test_leaving_all_approvers_out_does_not_leave_the_choice_to_a_new_group(self) -> None:
        policy = composed("approval: {approvers: [], each_of: [['@c']]}", parent="approval: {approvers: ['@a']}")
        assert Quorum(()) in quorums(policy.approval)

    def test_a_preference_weaker_than_the_composed_requirement_rises_with_it(self) -> None:
        policy = composed("isolation: {require: namespace}", parent="isolation: {require: user, prefer: landlock}")
        assert policy.isolation.prefer == "namespace"

    def test_null_states_nothing(self) -> None:
        policy = composed(f"{CONNECTION}, models: null}}}}", parent=f"{CONNECTION}, models: [a]}}}}")
        assert policy.connections["c"].models == ("a",)

    def test_rules_and_unions_add_up(self) -> None:
        policy = composed(
            f"rules: [{RULE % 's'}]\nsecrets: [B, A]\n{CONNECTION}, rules: [{RULE % 'v'}]}}}}",
            parent=f"rules: [{RULE % 'r'}]\nsecrets: [A]\n{CONNECTION}, rules: [{RULE % 'u'}]}}}}",
        )
        assert [rule.id for _, rule in policy.placed_rules()] == ["r", "s", "u", "v"]
        assert policy.secrets == ("A", "B")

    def test_every_list_of_who_may_start_is_kept(self) -> None:
        policy = composed("identity: {allow: [{b: c}, {d: [e, f]}]}", parent="identity: {allow: [{a: x}]}")
        assert policy.identity.allow == ()
        assert policy.identity.allow_layers == (({"a": ("x",)},), ({"b": ("c",)}, {"d": ("e", "f")}))

    def test_without_extends_the_list_is_one_layer(self) -> None:
        policy = loaded("identity: {allow: [{a: x}]}")
        assert (policy.identity.allow, policy.identity.allow_layers) == ((), (({"a": ("x",)},),))

    def test_the_composed_policy_has_its_own_examples_only(self) -> None:
        example = "tests: [{operation: {sql: {}}, expect: %s}]"
        policy = composed(example % "hold", parent=example % "allow")
        assert [test.expect for test in policy.tests] == ["hold"]


class TestSideBySide:
    def test_the_tightest_value_is_in_force_in_either_order(self) -> None:
        texts = {
            "a": "approval: {hold_at: 30, timeout: 2h, approvers: ['@x', '@y']}\negress: {allow: ['*.e.example']}\n"
            f"isolation: {{require: user}}\n{CONNECTION}, models: ['a*', c]}}}}",
            "b": "approval: {hold_at: 40, timeout: 5m, approvers: ['@y', '@z']}\negress: {allow: ['f.e.example:443']}\n"
            f"isolation: {{require: namespace}}\n{CONNECTION}, models: [ab, 'b*', c]}}}}",
        }
        for order in (texts, dict(reversed(texts.items()))):
            policy = composed("", **order)
            assert (policy.approval.hold_at, policy.approval.timeout, policy.approval.approvers) == (30, "5m", ("@y",))
            assert [entry.host for entry in policy.egress.allow] == ["f.e.example:443"]
            assert policy.isolation.require is IsolationLevel.NAMESPACE
            assert set(policy.connections["c"].models or ()) == {"ab", "c"}

    @pytest.mark.parametrize(
        ("left", "right", "cause"),
        [
            (f"rules: [{RULE % 'r'}]", "rules: [{id: r, on: [sql], text: {regex: [y]}}]", "both have a rule r"),
            (f"{CONNECTION}, models: [a]}}}}", f"{CONNECTION}, models: [b]}}}}", "no model is allowed by both"),
            (f"{CONNECTION}}}}}", CONNECTION.replace("c:", "d:", 1) + "}}", "the connection d is not among"),
            (f"{CONNECTION}}}}}", CONNECTION.replace("KEY", "K") + "}}", "K differs from the KEY"),
            ("identity: {audience: a}", "identity: {audience: b}", "b differs from the a"),
        ],
    )
    def test_contradictions_are_told_where_the_second_is_extended(self, left: str, right: str, cause: str) -> None:
        files = {"a.yml": f"version: 1\n{left}", "b.yml": f"version: 1\n{right}"}
        error = refused("extends: [a.yml, b.yml]", files)
        assert place(error) == ("p.yml", 2, 18)
        assert cause in error.cause

    def test_presets_go_together(self) -> None:
        assert (
            loaded("extends: [ciguard:observe, ciguard:strict, ciguard:standard]").text
            == loaded("extends: [ciguard:strict]").text
        )


LIMITS = st.none() | st.integers(1, 101)


def approval(hold: int | None) -> str:
    return "" if hold is None else f"approval: {{hold_at: {hold}}}"


@given(st.lists(LIMITS, min_size=1, max_size=5))
def test_a_chain_of_policies_only_ever_tightens(stated: list[int | None]) -> None:
    """``stated`` are the thresholds of a policy, of the one that it extends, and so on."""
    files = {f"{n}.yml": f"version: 1\nextends: [{n + 1}.yml]\n{approval(value)}" for n, value in enumerate(stated[1:])}
    files[f"{len(stated) - 1}.yml"] = "version: 1"
    text = f"extends: [0.yml]\n{approval(stated[0])}"
    bounds = [value for value in stated if value is not None]
    if bounds == sorted(bounds):
        assert loaded(text, files).approval.hold_at == min(bounds, default=60)
    else:
        assert "is higher than" in refused(text, files).cause
