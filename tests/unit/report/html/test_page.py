from __future__ import annotations

import base64
import hashlib
import html
import re
from pathlib import Path

from ciguard.operation import Json
from ciguard.report.html.page import render
from ciguard.session.reading import open_session
from ciguard.session.verification import verify
from tests.unit.session import sample


def page(directory: Path) -> str:
    return render(open_session(directory), verify(directory))


def test_the_page_says_what_the_summary_says(tmp_path: Path) -> None:
    text = page(sample.record(tmp_path / "session"))
    for fact in ("succeeded", "Fix the failing test.", "0b7f", "landlock", "https://issuer.example.com", "acme/shop"):
        assert fact in text
    assert "<b>4</b> operations" in text
    assert "<b>1</b> blocked" in text
    assert "<b>20</b> tokens in" in text
    assert "version: 1" in text


def test_the_page_allows_exactly_its_own_style_and_script(tmp_path: Path) -> None:
    text = page(sample.record(tmp_path / "session"))
    (policy,) = re.findall(r'Content-Security-Policy" content="([^"]*)"', text)
    directives = dict(part.strip().split(" ", 1) for part in html.unescape(policy).split(";"))
    for tag, directive in (("style", "style-src"), ("script", "script-src")):
        (inside,) = re.findall(rf"<{tag}>(.*?)</{tag}>", text, re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(inside.encode()).digest()).decode()
        assert directives[directive] == f"'sha256-{digest}'"
    assert directives["default-src"] == "'none'"
    assert directives["base-uri"] == "'none'"
    assert directives["form-action"] == "'none'"
    assert directives["require-trusted-types-for"] == "'script'"
    assert set(directives) == {
        "default-src",
        "style-src",
        "script-src",
        "base-uri",
        "form-action",
        "require-trusted-types-for",
        "trusted-types",
    }


def test_nothing_in_the_page_leads_out_of_it(tmp_path: Path) -> None:
    text = page(sample.record(tmp_path / "session"))
    assert not re.search(r"\s(?:src|srcset|action|data|style|on\w+)\s*=", text.split("<body>")[1].split("<script>")[0])
    assert set(re.findall(r'href="(.)', text)) <= {"#"}


def test_verification_stands_at_the_top(tmp_path: Path) -> None:
    directory = sample.record(tmp_path / "session")
    assert "nobody who is known here vouches for it" in page(directory)
    (directory / "policy.yml").write_text("version: 1\nrules: []\n")
    assert "Step 5 failed: do not rely on this session." in page(directory)


def test_a_session_that_was_cut_off_says_so(tmp_path: Path) -> None:
    recorder = sample.start(tmp_path / "session")
    recorder.close()
    text = page(tmp_path / "session")
    assert "This session is incomplete." in text
    assert "the end is missing" in text


def test_a_damaged_log_says_so(tmp_path: Path) -> None:
    directory = sample.record(tmp_path / "session")
    log = directory / "events.jsonl"
    log.write_bytes(log.read_bytes().replace(b"no session token", b"no session taken"))
    assert "The log is damaged: line " in page(directory)


def test_an_approval_stands_with_its_evidence(tmp_path: Path) -> None:
    recorder = sample.start(tmp_path / "session")
    call: Json = {"name": "Bash", "input": {"command": "psql -c 'DROP TABLE users'"}, "id": "c"}
    sample.ask(recorder, "3f9a2c", call, quorums=[{"count": 2, "approvers": ["@acme/dba", "@bob"]}])
    sample.rule(
        recorder,
        "3f9a2c",
        "released",
        "approved by bob",
        comment=99,
        waited_ms=125_300,
        evidence=[sample.BOB],
        discounted=1,
    )
    sample.end(recorder)
    text = page(tmp_path / "session")
    for fact in ("DROP TABLE users", "2 of @acme/dba, @bob", "acme/shop#7", "bob", "1002", "a" * 64, "125.3 s"):
        assert fact in text
    assert "1 comments" in text
