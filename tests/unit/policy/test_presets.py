from __future__ import annotations

from dataclasses import replace
from functools import cache
from itertools import pairwise

import pytest

from ciguard.decision import Action
from ciguard.inspect.shell.analysis import analyse_program
from ciguard.inspect.shell.invocation import invocation
from ciguard.inspect.text_rules import TextRule, encoded
from ciguard.operation import Json, Operation, OperationKind
from ciguard.policy import preset_files
from ciguard.policy.egress import EGRESS
from ciguard.policy.evaluation import Evaluator
from ciguard.policy.examples import Outcome, Trial, subject_of, tried
from ciguard.policy.loading import Examples, load_policy, load_with_examples
from ciguard.policy.matching import Matcher, Subject, Watch
from ciguard.policy.models import Policy
from ciguard.policy.rules import ActionWord, Rule, Section
from ciguard.policy.shapes import KINDS
from scripts.policy_files import DOCS, documentation, keys_reference
from tests.unit.policy.sources import Texts

NAMES = ("ciguard:observe", "ciguard:standard", "ciguard:strict")


@cache
def preset(name: str) -> Policy:
    return load_policy(Texts({}), name)


@cache
def documents() -> list[Examples]:
    return load_with_examples(Texts({}), "ciguard:strict")[1]


@cache
def own_trials(name: str) -> list[Trial]:
    """The examples of the preset under that preset itself."""
    own = [replace(document, inherited=False) for document in documents() if document.label == name]
    return tried(preset(name), own)


@cache
def texts_of_examples(rule: str) -> list[bytes]:
    """Every text of the examples that name ``rule``."""
    examples = [trial.example for name in NAMES for trial in own_trials(name) if rule in trial.example.rules]
    return [text for example in examples for text in Subject(subject_of(example.operation, "")).encoded]


def call(name: str, value: Json) -> Operation:
    return Operation(OperationKind.TOOL_CALL, {"name": name, "input": value, "id": "toolu_1"})


ALL_RULES = preset("ciguard:strict").rules
PATTERNS = [(rule.id, regex) for rule in ALL_RULES if rule.text for regex in rule.text.regex]
every_rule = pytest.mark.parametrize("rule", ALL_RULES, ids=[rule.id for rule in ALL_RULES])
every_preset = pytest.mark.parametrize("name", NAMES)


def test_the_presets_by_name() -> None:
    assert tuple(preset_files.names()) == NAMES


def test_what_is_read_ahead_is_what_was_reviewed() -> None:
    """Failing? Run scripts/policy_files.py."""
    assert preset_files.READ_AHEAD.read_text(encoding="utf-8") == preset_files.read_ahead_text()


@every_preset
def test_the_examples_of_a_preset_come_out_as_they_say(name: str) -> None:
    trials = own_trials(name)
    assert len(trials) >= 5
    assert [(trial.line, trial.decision.rules) for trial in trials if trial.outcome is not Outcome.PASSED] == []


@every_preset
def test_examples_find_the_rules_that_they_name_and_no_others(name: str) -> None:
    """So an example that names no rule is ordinary work of which nothing is even recorded as a finding."""
    found = [(trial.line, {*trial.decision.rules} - {"ciguard:risk", EGRESS}) for trial in own_trials(name)]
    assert found == [(trial.line, {*trial.example.rules}) for trial in own_trials(name)]
    assert any(not rules for _, rules in found)


@every_rule
def test_every_rule_says_why_and_what_to_do_instead(rule: Rule) -> None:
    why, separator, instead = rule.reason.partition(". ")
    assert separator
    assert instead.endswith(".")
    assert min(len(why), len(instead)) > 15
    assert "\n" not in rule.reason


@every_rule
def test_every_rule_is_found_by_an_example(rule: Rule) -> None:
    assert any(rule.id in trial.decision.rules for name in NAMES[1:] for trial in own_trials(name))


@pytest.mark.parametrize(("rule", "regex"), PATTERNS, ids=[f"{rule}-{n}" for n, (rule, _) in enumerate(PATTERNS)])
def test_every_pattern_is_found_by_an_example(rule: str, regex: str) -> None:
    assert TextRule((regex,)).found_in(texts_of_examples(rule)), regex


def test_rules_act_by_their_risk_so_that_thresholds_can_differ() -> None:
    assert {rule.action for rule in ALL_RULES} == {ActionWord.ALLOW}
    assert all(rule.risk > 0 for rule in ALL_RULES)


def test_each_preset_is_at_least_as_strict_as_the_one_before() -> None:
    by_preset = [tried(preset(name), documents()) for name in NAMES]
    for milder, stricter in pairwise(by_preset):
        assert all(a.decision.action <= b.decision.action for a, b in zip(milder, stricter, strict=True))
    # The presets name no host, so nothing is reached, whatever their rules say.
    assert {trial.decision.action for trial in by_preset[0] if EGRESS not in trial.decision.rules} == {Action.ALLOW}
    assert {trial.decision.action for trial in by_preset[1]} == {Action.ALLOW, Action.HOLD, Action.BLOCK}


def test_rules_about_commands_leave_texts_alone() -> None:
    """What an agent writes into files and plans may speak of anything."""
    evaluator = Evaluator(preset("ciguard:strict"))
    noticed = []
    for document in documents():
        for line, example in document.examples:
            match example.operation:
                case {"tool_call": {"name": "Bash", "input": {"command": str(command)}}}:
                    content = f"# What not to do\n\n{command}\n"
                    decision = evaluator.decide(call("Write", {"file_path": "docs/security.md", "content": content}))
                    noticed += [(line, reason.rule) for reason in decision.reasons]
    assert noticed == []


@pytest.mark.parametrize("words", ["rm -rf /", "git push --force", "cat /root/.ssh/id_rsa", "dropdb shop"])
def test_an_argument_list_is_decided_like_the_line(words: str) -> None:
    evaluator = Evaluator(preset("ciguard:standard"))
    argv: Json = [*words.split()]
    line = evaluator.decide(call("Bash", {"command": words}))
    assert line.reasons
    assert evaluator.decide(call("shell", {"command": argv})) == line
    assert evaluator.decide(Operation(OperationKind.COMMAND, {"argv": argv})) == line


@every_rule
def test_hostile_texts_are_matched_in_one_pass(rule: Rule) -> None:
    """A backtracking engine would not come back from these."""
    if rule.text is None:
        assert rule.sql or rule.command or rule.files or rule.git or rule.kubernetes
        return
    pattern = TextRule(rule.text.regex, rule.text.keywords)
    for piece in ("a ", "rm -", "curl x |", "/../", "git push ", "'\"", "\\\n", "-- ", "$( "):
        pattern.found_in([encoded(piece * 20_000)])
    assert not pattern.found_in([b""])


@pytest.mark.parametrize("piece", ["a ", "rm -", "curl x |", "/../", "git push ", "'\"", "\\\n", "-- ", "$( ", "*/"])
def test_hostile_scripts_are_decided_in_bounded_work(piece: str) -> None:
    """Every rule looks at the same analysis, which has bounds."""
    decision = Evaluator(preset("ciguard:strict")).decide(call("Bash", {"command": piece * 5_000}))
    assert decision.action in set(Action)


@every_rule
def test_every_command_that_a_rule_names_is_found(rule: Rule) -> None:
    """A pattern with every ``|`` taken the first way, and ``*`` as some word, is a command that it matches."""
    for pattern in rule.command.run if rule.command else ():
        words = [word.replace("**", "x").replace("*", "x") for word in pattern.split()]
        chosen = [(head + equals + tail.split("|")[0]) for head, equals, tail in map(_parts, words)]
        script = analyse_program(chosen)
        assert any(invocation(pattern).matches(command) for command in script.commands), (pattern, chosen)


def _parts(word: str) -> tuple[str, str, str]:
    head, equals, tail = word.partition("=") if word.startswith("-") else ("", "", word)
    return head.split("|")[0], equals, tail


class TestDocumentation:
    TEXT = DOCS.read_text(encoding="utf-8")

    def test_it_is_up_to_date(self) -> None:
        """Failing? Run scripts/policy_files.py."""
        assert documentation(self.TEXT) == self.TEXT

    def test_it_has_a_card_for_every_rule(self) -> None:
        cards = [line.removeprefix("#### ") for line in self.TEXT.splitlines() if line.startswith("#### ")]
        assert cards == [rule.id for rule in ALL_RULES]

    def test_it_has_every_key(self) -> None:
        keys = {
            field.alias or name for section in Section.__subclasses__() for name, field in section.model_fields.items()
        }
        listed = {line.split("`")[1].rpartition(".")[2] for line in keys_reference().splitlines()[2:]}
        assert listed == keys

    def test_its_policies_are_policies(self) -> None:
        blocks = [part.partition("```")[0] for part in self.TEXT.split("```yaml\n")[1:]]
        assert len(blocks) >= 5
        for block in blocks:
            text = block if block.startswith("version:") else f"version: 1\n{block}"
            assert load_policy(Texts({"p.yml": text, "policies/acme.yml": "version: 1"}), "p.yml").text

    def test_its_examples_hold_under_the_standard_preset(self) -> None:
        blocks = [part.partition("```")[0] for part in self.TEXT.split("```yaml\n")]
        tests = next(block for block in blocks if block.startswith("tests:"))
        base = (
            "version: 1\nextends: [ciguard:standard]\nconnections: {claude: {type: anthropic, credential: {env: A}}}\n"
        )
        policy, examples = load_with_examples(Texts({"p.yml": base + tests}), "p.yml")
        assert {trial.outcome for trial in tried(policy, examples[-1:])} == {Outcome.PASSED}

    def test_the_output_that_it_shows_is_what_comes_out(self) -> None:
        block = self.TEXT.split("```yaml\n")[1].partition("```")[0]
        policy = load_policy(Texts({"p.yml": block}), "p.yml")
        assert f"ok: .ciguard.yml: {len(policy.rules)} rules, 1 connection, 0 examples; sha256:" in self.TEXT
        count = len(own_trials("ciguard:standard"))
        assert f"ciguard:standard: {count} examples: {count} passed" in self.TEXT


def test_rules_asked_at_once_say_what_they_say_one_by_one() -> None:
    """What is remembered and ruled out for all rules together changes no decision."""
    matchers: dict[str, list[Matcher]] = {}
    for rule in preset("ciguard:strict").rules:
        for kind in rule.on:
            matchers.setdefault(kind, []).append(Matcher(rule))
    watches = {kind: Watch(matchers.get(kind, [])) for kind in KINDS}
    matched = 0
    for example in [example for document in documents() for _, example in document.examples]:
        subject = subject_of(example.operation, "")
        expected = [one.rule.id for one in matchers.get(subject.kind, []) if one.matches(Subject(subject))]
        for _ in range(2):
            assert [rule.id for rule in watches[subject.kind].matched(subject)] == expected
        matched += len(expected)
    assert matched > 100
