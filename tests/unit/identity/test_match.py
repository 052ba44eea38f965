from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ciguard.identity.match import Layers, Mismatch, allowed, closest, explain

CLAIMS = {
    "repository": "acme/shop",
    "event_name": "push",
    "ref": "refs/heads/fix/cart",
    "runner_environment": "self-hosted",
}


@pytest.mark.parametrize(
    ("layers", "expected"),
    [
        ([], False),
        ([[]], False),
        ([[{}]], False),
        ([[{"repository": []}]], False),
        ([[{"repository": ["acme/shop"]}]], True),
        ([[{"repository": ["acme/other", "acme/shop"]}]], True),
        ([[{"repository": ["acme/sho"]}]], False),
        ([[{"repository": ["Acme/Shop"]}]], False),
        ([[{"repository": ["acme/*"]}]], True),
        ([[{"repository": ["*/shop"]}]], True),
        ([[{"repository": ["*"]}]], True),
        ([[{"repository": ["acme/s?op"]}]], False),
        ([[{"repository": ["acme/sho[p]"]}]], False),
        ([[{"ref": ["refs/heads/*"]}]], True),
        ([[{"environment": ["*"]}]], False),
        ([[{"repository": ["acme/shop"], "event_name": ["pull_request"]}]], False),
        ([[{"repository": ["acme/shop"], "event_name": ["pull_request", "push"]}]], True),
        ([[{"repository": ["acme/other"]}, {"event_name": ["push"]}]], True),
        ([[{"repository": ["acme/shop"]}], [{"event_name": ["push"]}]], True),
        ([[{"repository": ["acme/shop"]}], [{"event_name": ["schedule"]}]], False),
        ([[{"repository": ["acme/shop"]}], []], False),
    ],
)
def test_who_is_allowed(layers: Layers, expected: bool) -> None:
    assert allowed(CLAIMS, layers) is expected
    assert (closest(CLAIMS, layers) is None) is expected


entries = st.dictionaries(
    st.sampled_from(["a", "b", "c"]), st.lists(st.sampled_from(["x", "y", "x*", "*"]), max_size=2)
)
layers = st.lists(st.lists(entries, max_size=3), max_size=3)
claims = st.dictionaries(st.sampled_from(["a", "b", "c"]), st.sampled_from(["x", "y", "xy"]))


@given(claims, layers)
def test_the_explanation_agrees_with_the_answer(claims: dict[str, str], layers: Layers) -> None:
    mismatch = closest(claims, layers)
    assert allowed(claims, layers) is (mismatch is None)
    if mismatch is not None:
        assert explain(claims, mismatch)


@given(claims, layers, entries)
def test_a_further_layer_never_allows_more(claims: dict[str, str], layers: Layers, entry: dict[str, list[str]]) -> None:
    if allowed(claims, [*layers, [entry]]) and layers:
        assert allowed(claims, layers)


def test_the_closest_entry_is_the_one_with_the_fewest_failures() -> None:
    layers: Layers = [
        [{"repository": ["acme/shop"]}],
        [
            {},
            {"repository": ["acme/other"], "event_name": ["schedule"]},
            {"repository": ["acme/shop"], "event_name": ["schedule", "pull_request"], "environment": ["prod"]},
            {"repository": ["acme/shop"], "event_name": ["schedule", "pull_request"]},
        ],
    ]
    mismatch = closest(CLAIMS, layers)
    assert mismatch == Mismatch(layer=2, entry=4, failed={"event_name": ["schedule", "pull_request"]})
    assert explain(CLAIMS, mismatch) == "closest is entry 4: event_name is 'push', wanted 'schedule' or 'pull_request'"


def test_the_explanation_is_inert() -> None:
    hostile = {"ref": "refs/heads/x\n::error::\x1b[2J\u202e" + "y" * 1000}
    mismatch = closest(hostile, [[{"ref": ["main"], "environment": ["prod"]}]])
    assert mismatch is not None
    text = explain(hostile, mismatch)
    assert text.isprintable()
    assert len(text) < 400
    assert "environment is not in the token, wanted 'prod'" in text


@pytest.mark.parametrize("nobody", [[], [[]], [[{}]]])
def test_without_entries_the_explanation_says_so(nobody: Layers) -> None:
    mismatch = closest(CLAIMS, nobody)
    assert mismatch is not None
    assert explain(CLAIMS, mismatch) == "the policy's identity.allow has no entry"
