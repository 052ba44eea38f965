from __future__ import annotations

import re

from ciguard.inspect.candidate import COMMON
from ciguard.inspect.checks import CHECKS
from ciguard.inspect.rule_files import BEGINNINGS, LOADED, load_candidates, load_rules
from ciguard.inspect.rule_matcher import RuleMatcher, candidates_of
from ciguard.inspect.secret_rule import check_rule
from scripts.rule_files import AREAS, DOCS, FOLDER, documentation, formats, loaded_text, rules

FORMATS = formats()


def test_what_is_loaded_is_what_the_files_say() -> None:
    """Failing? Run scripts/rule_files.py."""
    assert LOADED.read_text(encoding="utf-8") == loaded_text()
    assert load_rules() == tuple(rules())
    assert BEGINNINGS.read_bytes() == RuleMatcher(load_rules(), CHECKS).beginnings
    assert [tuple(one) for one in load_candidates()] == candidates_of(load_rules())


def test_words_that_many_rules_share_are_kept_once() -> None:
    stops = [rule.stops for rule in load_rules()]
    assert len({id(one) for one in stops}) == len(set(stops)) < len(stops)


def test_the_documentation_lists_every_format() -> None:
    """Failing? Run scripts/rule_files.py."""
    text = DOCS.read_text(encoding="utf-8")
    assert text == documentation(text)
    for one in FORMATS:
        assert f"| {one.provider} | `{one.rule.kind}` | {one.about} |" in text


def test_the_documentation_explains_every_check() -> None:
    explained = re.findall(r"^\| `([a-z0-9-]+)` \| ", DOCS.read_text(encoding="utf-8"), re.MULTILINE)
    assert explained == sorted(CHECKS, key=explained.index)
    assert {one.rule.check for one in FORMATS} - {""} == {*CHECKS}


def test_every_file_is_an_area() -> None:
    assert {file.stem for file in FOLDER.glob("*.toml")} == {*AREAS, "stops"}


def test_the_formats_that_matter_are_many() -> None:
    assert len({one.rule.kind for one in FORMATS}) >= 220


def test_a_rule_is_one_that_the_engine_can_apply() -> None:
    for rule in load_rules():
        check_rule(rule)
        assert re.fullmatch("[a-z0-9]+(-[a-z0-9]+)*", rule.kind)
        assert rule.literals, rule.kind
        # A literal that stands everywhere makes every text a candidate, unless the engine knows it as common.
        assert {*rule.literals} & COMMON or all(len(literal) > 2 or not literal.isalnum() for literal in rule.literals)
        assert all(stop == stop.lower() for stop in rule.stops), rule.kind
        assert rule.check in {"", *CHECKS}, rule.kind
        assert rule.check or rule.entropy, rule.kind


def test_every_format_has_examples_and_lookalikes_of_its_own() -> None:
    for one in FORMATS:
        assert len(one.examples) >= 2, one.rule.kind
        assert one.lookalikes, one.rule.kind
    texts = [example.text for one in FORMATS for example in one.examples]
    assert len({*texts}) == len(texts)


def test_no_token_stands_whole_in_the_files() -> None:
    """Forges refuse a push of what looks like a token, so examples are written in pieces."""
    for area in AREAS:
        text = (FOLDER / f"{area}.toml").read_text(encoding="utf-8")
        whole = [example.secret for one in FORMATS for example in one.examples if example.secret in text]
        assert whole == []
