from __future__ import annotations

import io
import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ciguard.cli import main
from ciguard.errors import UsageError
from ciguard.session.originals import encryption
from ciguard.testing.issuer import Answer, Issuer

POLICY = """\
version: 1
connections:
  claude: {type: anthropic, credential: {env: ANTHROPIC_API_KEY}}
rules:
  - {id: held, on: [prompt], text: {keywords: [wait]}, action: hold, risk: 10, reason: Wait first.}
  - {id: risky, on: [prompt], text: {keywords: [danger]}, risk: 65}
tests:
  - {operation: {prompt: {texts: [wait]}}, expect: hold, rules: [held]}
"""


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / ".ciguard.yml").write_text(POLICY)
    return tmp_path


def prompt(text: str, **more: str) -> str:
    return json.dumps({"prompt": {"texts": [text]}, **more})


class TestCheck:
    @pytest.mark.parametrize("arguments", [[], [".ciguard.yml"]])
    def test_a_valid_policy(self, arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
        assert main(["policy", "check", *arguments]) == 0
        out = capsys.readouterr().out
        assert out.startswith("ok: .ciguard.yml: 2 rules, 1 connection, 1 example; sha256:")

    def test_as_json(self, capsys: pytest.CaptureFixture[str]) -> None:
        assert main(["policy", "check", "--json"]) == 0
        facts = json.loads(capsys.readouterr().out)
        assert facts.pop("digest").startswith("sha256:")
        assert facts == {"ok": True, "file": ".ciguard.yml", "rules": 2, "connections": ["claude"], "examples": 1}

    def test_an_error_has_file_line_column_and_remedy(self, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        (folder / "bad.yml").write_text("version: 1\napproval:\n  hold: 3\n")
        assert main(["policy", "check", "bad.yml"]) == 78
        captured = capsys.readouterr()
        assert captured.out == ""
        assert captured.err == "error: bad.yml:3:3: unknown key 'hold'\nhelp: did you mean hold_at?\n"

    def test_an_error_as_json(self, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        (folder / "bad.yml").write_text("version: 1\napproval:\n  hold: 3\n")
        assert main(["policy", "check", "--json", "bad.yml"]) == 78
        assert json.loads(capsys.readouterr().out) == {
            "ok": False,
            "error": "bad.yml:3:3: unknown key 'hold'",
            "help": "did you mean hold_at?",
            "file": "bad.yml",
            "line": 3,
            "column": 3,
        }

    def test_a_missing_policy(self, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        (folder / ".ciguard.yml").unlink()
        assert main(["policy", "check"]) == 78
        assert "help: write .ciguard.yml; begin with this policy:\n    version: 1" in capsys.readouterr().err

    def test_extends_are_read_beside_the_file(self, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        (folder / "sub").mkdir()
        (folder / "sub" / "child.yml").write_text("version: 1\nextends: [base.yml]\n")
        (folder / "sub" / "base.yml").write_text("version: 1\nsecrets: [A]\n")
        assert main(["policy", "check", str(folder / "sub" / "child.yml")]) == 0
        assert "0 rules" in capsys.readouterr().out


class TestTest:
    def test_all_pass(self, capsys: pytest.CaptureFixture[str]) -> None:
        assert main(["policy", "test"]) == 0
        assert capsys.readouterr().out == ".ciguard.yml: 1 example: 1 passed\n"

    def test_failures_say_expected_got_and_why(self, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        lines = "  - {operation: {prompt: {texts: [wait, danger]}}, expect: allow, rules: [other]}\n"
        (folder / ".ciguard.yml").write_text(POLICY + lines)
        assert main(["policy", "test"]) == 1
        assert capsys.readouterr().out.splitlines() == [
            'FAILED .ciguard.yml:9: prompt {"texts": ["wait", "danger"]}',
            "       expected allow by other, got hold (risk 75)",
            "       because held: Wait first.",
            "       because risky: The rule risky of the policy matches.",
            ".ciguard.yml: 2 examples: 1 passed, 1 failed",
        ]

    def test_examples_of_what_is_extended_run_too(self, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        (folder / "child.yml").write_text("version: 1\nextends: [.ciguard.yml, 'ciguard:observe']\n")
        assert main(["policy", "test", "child.yml"]) == 0
        out = capsys.readouterr().out.splitlines()
        assert out[0] == ".ciguard.yml: 1 example: 1 passed"
        assert out[1].startswith("ciguard:observe: 5 examples: ")
        assert out[2] == "child.yml: 0 examples"

    def test_as_json(self, capsys: pytest.CaptureFixture[str]) -> None:
        assert main(["policy", "test", "--json"]) == 0
        assert json.loads(capsys.readouterr().out) == {
            "ok": True,
            "examples": [
                {
                    "file": ".ciguard.yml",
                    "line": 8,
                    "operation": {"prompt": {"texts": ["wait"]}},
                    "connection": "",
                    "expected": "hold",
                    "expected_rules": ["held"],
                    "decision": "hold",
                    "risk": 10,
                    "rules": ["held"],
                    "outcome": "passed",
                }
            ],
        }

    @pytest.mark.parametrize("name", ["ciguard:observe", "ciguard:standard", "ciguard:strict"])
    def test_a_preset_by_its_name(self, name: str, capsys: pytest.CaptureFixture[str]) -> None:
        assert main(["policy", "test", name]) == 0
        assert capsys.readouterr().out.splitlines()[-1].endswith(" passed")

    def test_long_operations_are_cut(self, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        (folder / ".ciguard.yml").write_text(
            POLICY.replace("[wait]}}, expect: hold", f"[{'x' * 999}]}}}}, expect: hold")
        )
        assert main(["policy", "test"]) == 1
        assert max(map(len, capsys.readouterr().out.splitlines())) < 200


class TestExplain:
    def explained(self, text: str, monkeypatch: pytest.MonkeyPatch, *options: str) -> int:
        monkeypatch.setattr("sys.stdin", io.StringIO(text))
        return main(["policy", "explain", *options, ".ciguard.yml", "-"])

    def test_rules_arithmetic_thresholds_and_decision(
        self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert self.explained(prompt("wait, danger", connection="claude"), monkeypatch) == 0
        assert capsys.readouterr().out.splitlines() == [
            "matched    held (hold, risk 10)",
            "           Wait first.",
            "matched    risky (allow, risk 65)",
            "           The rule risky of the policy matches.",
            "risk       10 + 65 = 75",
            "thresholds hold at 60, block at 90",
            "decision   hold",
            "approvers  nobody: a hold is a block then",
        ]

    def test_nothing_matches(self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        assert self.explained(prompt("hello"), monkeypatch) == 0
        assert capsys.readouterr().out.splitlines()[0] == "matched    no rule"

    def test_an_undeclared_connection(
        self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert self.explained(prompt("hello", connection="x\ud800"), monkeypatch) == 0
        out = capsys.readouterr().out
        assert "matched    ciguard:undeclared-connection (block, risk 0)" in out
        assert "decision   block" in out

    def test_as_json_from_a_file(self, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        (folder / "operation.json").write_text(prompt("danger"))
        assert main(["policy", "explain", ".ciguard.yml", "operation.json", "--json"]) == 0
        assert json.loads(capsys.readouterr().out) == {
            "matched": [
                {
                    "rule": "risky",
                    "action": "allow",
                    "risk": 65,
                    "text": "The rule risky of the policy matches.",
                    "found": [],
                }
            ],
            "risk": 65,
            "arithmetic": "65",
            "hold_at": 60,
            "block_at": 90,
            "decision": "hold",
            "approvers": [{"count": 1, "of": []}],
        }

    @pytest.mark.parametrize(
        "text",
        [
            "",
            "{",
            "[" * 100_000,
            "[]",
            "{}",
            "null",
            '{"prompt": "x"}',
            '{"prompt": {}, "sql": {}}',
            '{"prompt": {}, "connection": 1}',
            '{"shell": {}}',
            '{"connection": "claude"}',
            "\ud800",
        ],
    )
    def test_what_is_no_operation(
        self, text: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert self.explained(text, monkeypatch) == 64
        err = capsys.readouterr().err
        assert err.startswith("error: - ")
        assert "\nhelp: " in err

    @pytest.mark.parametrize("content", [None, b"\xff"])
    def test_a_file_that_cannot_be_read(
        self, content: bytes | None, folder: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        if content:
            (folder / "x.json").write_bytes(content)
        assert main(["policy", "explain", ".ciguard.yml", "x.json"]) == 64
        assert capsys.readouterr().err.startswith("error: x.json ")


def test_the_schema_is_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["policy", "schema"]) == 0
    assert json.loads(capsys.readouterr().out)["title"] == "ciguard policy"


@pytest.mark.parametrize("command", [[], ["check"], ["test"], ["explain"], ["schema"]])
def test_help_has_an_example(command: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["policy", *command, "--help"])
    assert caught.value.code == 0
    assert "example: " in capsys.readouterr().out


@pytest.mark.parametrize("arguments", [[], ["chek"], ["check", "a", "b"], ["explain", "a"], ["schema", "--json"]])
def test_a_mistake_in_the_command_line(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["policy", *arguments]) == 64
    assert capsys.readouterr().err.startswith("error: ")


class TestRecipients:
    """A policy pins keys: an account among its recipients is an error that says which."""

    ED = "ssh-ed25519 " + "AAAAC3NzaC1lZDI1NTE5AAAAIHsKLqeplhpW+uObz5dvMgjz1OxfM/XXUB+VHtZ6isGN"
    RSA = "ssh-rsa AAAAB3NzaC1yc2EAAAADAQABAAAB"

    @pytest.fixture
    def account(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str, int], None]]:
        """Gives alice's account its keys."""
        (folder / ".ciguard.yml").write_text("version: 1\naudit: {recipients: ['github:alice']}\n")
        with Issuer() as forge:
            monkeypatch.setenv("GITHUB_SERVER_URL", forge.url)

            def serve(keys: str, status: int = 200) -> None:
                forge.routes["/alice.keys"] = lambda _: Answer(keys.encode(), status)

            yield serve

    def test_its_usable_keys_are_printed_as_lines_to_write(
        self, account: Callable[..., None], folder: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        hostile = f'ssh-ed25519 AAAA" evil\n{self.ED} \x1b[2J\n'
        account(f"{self.ED}\necdsa-sha2-nistp256 AAAA\n{self.RSA}\n{hostile}")
        assert main(["policy", "check"]) == 78
        captured = capsys.readouterr()
        assert captured.out == ""
        cause, _, *lines = captured.err.splitlines()
        assert cause == (
            "error: .ciguard.yml: a policy pins keys, and github:alice is an account, whose keys can change"
        )
        assert lines == [f'    - "{self.ED} github:alice"', f'    - "{self.RSA} github:alice"']
        written = "\n".join(["version: 1", "audit:", "  recipients:", lines[0], ""])
        (folder / ".ciguard.yml").write_text(written)
        assert main(["policy", "check"]) == 0

    @pytest.mark.parametrize(
        ("keys", "status", "words"),
        [
            ("ecdsa-sha2-nistp256 AAAA\n", 200, "has none of the types ssh-ed25519 and ssh-rsa"),
            ("", 200, "has none of the types"),
            ("Not Found", 404, "cannot be had: the keys of the account alice could not be had from"),
            ("", 302, "a redirect, which is not followed"),
        ],
    )
    def test_what_cannot_be_had_is_said(
        self, account: Callable[..., None], capsys: pytest.CaptureFixture[str], keys: str, status: int, words: str
    ) -> None:
        account(keys, status)
        assert main(["policy", "check"]) == 78
        assert words in capsys.readouterr().err

    def test_without_a_network_it_says_what_to_write(
        self, account: object, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        monkeypatch.setenv("GITHUB_SERVER_URL", "http://127.0.0.1:9")
        assert main(["policy", "check"]) == 78
        assert "write the account's keys from http://127.0.0.1:9/alice.keys instead of it" in capsys.readouterr().err

    def test_a_session_never_starts_with_an_account(self) -> None:
        with pytest.raises(UsageError, match="a policy pins keys"):
            encryption([self.ED, "github:alice"])
