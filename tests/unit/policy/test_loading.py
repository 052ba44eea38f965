from __future__ import annotations

import os
from pathlib import Path

import pytest

from ciguard.errors import PolicyError
from ciguard.policy.loading import FileSource, PolicySource, load_policy, load_with_examples
from tests.unit.policy.sources import Texts, loaded, place, refused


@pytest.fixture
def folder(tmp_path: Path) -> FileSource:
    return FileSource(tmp_path)


def failure(source: PolicySource, path: str = "p.yml") -> PolicyError:
    with pytest.raises(PolicyError) as caught:
        load_policy(source, path)
    return caught.value


def test_a_missing_file_shows_a_policy_to_begin_with(folder: FileSource) -> None:
    error = failure(folder, ".ciguard.yml")
    assert error.cause == ".ciguard.yml: there is no policy file"
    _, _, minimal = error.remedy.partition("begin with this policy:\n")
    (folder.folder / ".ciguard.yml").write_text(minimal)
    assert load_policy(folder, ".ciguard.yml").connections["claude"].credential.env == "ANTHROPIC_API_KEY"


def test_an_empty_file_shows_it_too(folder: FileSource) -> None:
    (folder.folder / "p.yml").write_text("# later\n")
    error = failure(folder)
    assert "the policy is empty" in error.cause
    assert "extends: [ciguard:standard]" in error.remedy


def test_a_folder_in_the_place_of_the_file(folder: FileSource) -> None:
    (folder.folder / "p.yml").mkdir()
    assert "p.yml: the file cannot be read: Is a directory" in failure(folder).cause


def test_an_unreadable_file() -> None:
    class Locked(Texts):
        def read(self, path: str) -> str:
            raise PermissionError(13, os.strerror(13), path)

    assert failure(Locked({})).cause == "p.yml: the file cannot be read: Permission denied"


@pytest.mark.parametrize("content", [b"\xff\xfeversion: 1", b"version: \xc3", b"\x80"])
def test_a_file_that_is_not_utf8(folder: FileSource, content: bytes) -> None:
    (folder.folder / "p.yml").write_bytes(content)
    assert "is not UTF-8" in failure(folder).cause


def test_a_file_that_never_ends() -> None:
    assert "larger than 1 MiB" in failure(FileSource(Path("/dev")), "zero").cause


@pytest.mark.parametrize("version", ["2", "999"])
def test_a_newer_version_says_to_upgrade_whatever_else_is_in_it(version: str) -> None:
    error = failure(Texts({"p.yml": f"novelty: [x]\nversion: {version}\n"}))
    assert place(error) == ("p.yml", 2, 10)
    assert f"version {version} of the policy format is newer than this ciguard" in error.cause
    assert "upgrade ciguard" in error.remedy


@pytest.mark.parametrize(
    "text", ["rules: []", "version: '1'", "version: 0", "version: true", "version: 1.0", "version:"]
)
def test_a_version_that_is_none(text: str) -> None:
    error = failure(Texts({"p.yml": text}))
    assert error.line == 1
    assert "version" in f"{error.cause} {error.remedy}"


class TestExtends:
    def test_presets(self) -> None:
        assert loaded("extends: [ciguard:strict]").approval.hold_at == 40

    def test_files_relative_to_the_file_that_extends_them(self) -> None:
        files = {
            "org/base.yml": "version: 1\nextends: [more/deep.yml]",
            "org/more/deep.yml": "version: 1\nsecrets: [A]",
        }
        assert loaded("extends: [org/base.yml]", files).secrets == ("A",)

    def test_the_same_policy_over_two_ways_counts_once(self) -> None:
        files = {
            "a.yml": "version: 1\nextends: [c.yml]",
            "b.yml": "version: 1\nextends: [./c.yml]",
            "c.yml": "version: 1\nrules: [{id: r, on: [sql], text: {regex: [x]}}]\nidentity: {allow: [{a: b}]}",
        }
        policy = loaded("extends: [a.yml, b.yml, c.yml]", files)
        assert [rule.id for rule in policy.rules] == ["r"]
        assert policy.identity.allow_layers == (({"a": ("b",)},),)

    @pytest.mark.parametrize(
        ("entry", "cause"),
        [
            ("ciguard:nothing", "there is no preset 'ciguard:nothing'"),
            ("ciguard:../standard", "there is no preset"),
            ("gone.yml", "there is no policy gone.yml"),
            ("../p.yml", "neither a preset nor a file below"),
            ("a/../../p.yml", "neither a preset nor a file below"),
            ("/etc/policy.yml", "neither a preset nor a file below"),
            ("C:\\\\policy.yml", "neither a preset nor a file below"),
            ("a\\\\b.yml", "neither a preset nor a file below"),
            ("other:standard", "neither a preset nor a file below"),
            ("a\\0.yml", "neither a preset nor a file below"),
            ("", "neither a preset nor a file below"),
            ("p.yml", "extends this policy in turn"),
            ("./p.yml", "extends this policy in turn"),
        ],
    )
    def test_what_cannot_be_extended_is_named_at_its_place(self, entry: str, cause: str) -> None:
        error = refused(f'extends: [ciguard:observe, "{entry}"]')
        assert place(error) == ("p.yml", 2, 28)
        assert cause in error.cause
        assert error.remedy

    def test_a_circle_over_several_files(self) -> None:
        files = {"a.yml": "version: 1\nextends:\n  - b.yml\n", "b.yml": "version: 1\nextends: [a.yml]"}
        error = refused("extends: [a.yml]", files)
        assert place(error) == ("b.yml", 2, 11)
        assert "a.yml extends this policy in turn" in error.cause

    def test_an_error_is_told_in_the_file_where_it_is(self) -> None:
        assert place(refused("extends: [a.yml]", {"a.yml": "version: 1\nrule: []"})) == ("a.yml", 2, 1)

    def test_a_missing_file_is_told_where_it_is_named(self) -> None:
        assert place(refused("extends: [a.yml]", {"a.yml": "version: 1\nextends: [b.yml]"})) == ("a.yml", 2, 11)

    def test_a_long_chain_is_refused(self) -> None:
        files = {f"{n}.yml": f"version: 1\nextends: [{n + 1}.yml]" for n in range(100)}
        assert "too many policies extend one another" in refused("extends: [0.yml]", files).cause

    def test_an_unknown_preset_as_the_policy_itself(self) -> None:
        assert "there is no such preset" in failure(Texts({}), "ciguard:none").cause


def test_examples_of_every_document_come_with_their_lines() -> None:
    example = "{operation: {sql: {statement: x}}, expect: allow}"
    source = Texts(
        {
            "p.yml": f"version: 1\nextends: [a.yml, ciguard:strict]\ntests:\n  - {example}\n  - {example}\n",
            "a.yml": f"version: 1\ntests: [{example}]",
        }
    )
    policy, documents = load_with_examples(source, "p.yml")
    assert [(document.label, document.inherited) for document in documents] == [
        ("a.yml", True),
        ("ciguard:observe", True),
        ("ciguard:standard", True),
        ("ciguard:strict", True),
        ("p.yml", False),
    ]
    assert [line for line, _ in documents[0].examples] == [2]
    assert [line for line, _ in documents[-1].examples] == [4, 5]
    assert len(documents[2].examples) > 100
    assert len(policy.tests) == 2
