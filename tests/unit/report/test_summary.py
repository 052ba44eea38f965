from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from markupsafe import Markup

from ciguard.operation import Json
from ciguard.report.markdown import _only_inert
from ciguard.report.summary import MAX_BYTES, render
from ciguard.session.event import AgentExited, SessionStopped
from ciguard.session.reading import open_session
from tests.unit.session import sample

_SPAN = re.compile(r"(?<!`)(`+)(?!`)(.*?)(?<!`)\1(?!`)")


def without_code(markdown: str) -> str:
    """``markdown`` without what stands in code spans, line by line, as CommonMark pairs their fences."""
    lines = markdown.split("\n")
    # A span closes on its own line, so no line of content can open a fenced block (its info string has no backtick).
    assert [line for line in lines if re.match(r"\s*```[^`]*$", line)] == ["```sh", "```"]
    return "\n".join(_SPAN.sub("CODE", line) for line in lines)


def hostile_session(directory: Path, text: str) -> str:
    """The summary of a session in which every string that can come from outside is ``text``."""
    started: dict[str, Any] = {
        **sample.STARTED,
        "session": text,
        "policy": {**sample.STARTED["policy"], "source": text},  # type: ignore[dict-item]
        "identity": {
            "issuer": f"_{text}",
            "claims": {"repository": text, "ref": text},
            "token_digest": "sha256:" + "1" * 64,
        },
        "isolation": {"level": text, "limits": [text, text]},
    }
    recorder = sample.start(directory, started)
    first = sample.request(recorder, None, 0, text)
    sample.operation(recorder, "prompt", first, {"texts": [text]})
    call: Json = {"name": text, "input": {text: text}, "id": text}
    decided = sample.decision("block", 95, (text, text, 95), (text, text, 0))
    sample.operation(recorder, "tool_call", first, call, decided=decided, effect="withheld", masked={text: 1})
    recorder.record(SessionStopped(reason=text))
    recorder.record(AgentExited(status=1, signal=text))
    recorder.finish(text)
    return render(open_session(directory))


def test_a_summary_says_what_happened_and_how_to_verify(tmp_path: Path) -> None:
    session = open_session(sample.record(tmp_path / "session"))
    page = render(session)
    for words in (
        "## ciguard: succeeded\n",
        "**Asked:** `Fix the failing test.`",
        "| 4 | 1 | 2 | 2 | 1 | 1 |",
        "- **blocked** `tool_call` `Bash: rm -rf /` (risk 95)\n  - rule `no-destruction`: Removes what cannot be",
        "- **held, withheld** `tool_call` `Bash: psql -c 'DROP TABLE users'` (risk 60)",
        "- `aws-access-key`: 2",
        "- **Isolation:** `landlock`; it does not cover:\n  - reads of world-readable files\n",
        "- **Identity:** verified, issued by `https://issuer.example.com`\n  - `repository`: `acme/shop`\n",
        f"- **Log head:** `{session.position.head}` (14 events)",
        "ciguard session verify --announced ",
        "Calls to the guard that were refused: 1",
    ):
        assert words in page
    assert "\n\n\n" not in page
    assert "incomplete" not in page


def test_a_session_with_nothing_to_tell_is_short(tmp_path: Path) -> None:
    isolation: Json = {"level": "none", "limits": []}
    recorder = sample.start(tmp_path / "session", {**sample.STARTED, "identity": None, "isolation": isolation})
    sample.end(recorder)
    page = render(open_session(tmp_path / "session"))
    assert "**Asked:** nothing" in page
    assert "- **Isolation:** `none`\n- **Identity:** unverified." in page
    assert "### Blocked" not in page
    assert "### Masked" not in page
    assert "\n\n\n" not in page


def test_an_incomplete_and_damaged_session_says_so(tmp_path: Path) -> None:
    recorder = sample.start(tmp_path / "session")
    recorder.close()
    with (tmp_path / "session" / "events.jsonl").open("ab") as log:
        log.write(b"{}\n")
    page = render(open_session(tmp_path / "session"))
    assert "## ciguard: incomplete: the guard was cut off before it finished\n" in page
    assert "> **This session is incomplete.**" in page
    assert "> **The log is damaged:** `line 3 (event 2): seq is not an integer`" in page


@pytest.mark.parametrize(
    "text",
    [
        "@evil see #1 and GH-1",
        "evil <img src=x onerror=alert(1)><script>evil</script>",
        "![evil](https://evil.example.com/x.png) [evil](https://evil.example.com)",
        "https://evil.example.com www.evil.example.com evil@example.com",
        "evil | evil\n|--|--|\n\n# evil\n- evil\n> evil\n---\n",
        "` `` ``` evil ``` `` `",
        "```\nevil\n```\n@evil",
        "evil\\` @evil \\",
        "<!-- evil -->&lt;evil&gt;",
        "$`evil`$ $$evil$$ :evil:",
    ],
)
def test_hostile_content_stands_in_code_only(tmp_path: Path, text: str) -> None:
    rest = without_code(hostile_session(tmp_path / "session", text))
    assert "evil" not in rest
    assert not re.search(r"[<@\[\]#]", rest.replace("## ciguard", "").replace("### ", ""))


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(st.text(st.sampled_from("`*_~[]()<>!#@|\\$&:/.\n\r\t-+= aZ0\u200b\u202e\x1b\ud800"), min_size=1))
def test_content_never_changes_the_page_around_it(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    # The underscores keep every text from being empty or plain words, which the page prints otherwise.
    folder = tmp_path_factory.mktemp("summaries")
    expected = without_code(hostile_session(folder / "expected", "_x_"))
    actual = without_code(hostile_session(folder / "actual", f"_{text}_"))
    assert _counted(actual) == _counted(expected)


def _counted(page: str) -> str:
    return re.sub(r"\d+", "N", page)


def test_characters_that_nobody_sees_are_shown(tmp_path: Path) -> None:
    page = hostile_session(tmp_path / "session", "a\u202e\u200b\x1b[31m\U000e0041\ud800b")
    assert "`a\\u{202e}\\u{200b}\\x1b[31m\\u{e0041}\\u{d800}b`" in page
    assert all(character.isprintable() or character == "\n" for character in page)


@pytest.mark.parametrize("text", ["\U0001f600" * 3000, "\U000e0041" * 3000, "x" * 10_000])
def test_a_summary_is_never_too_long(tmp_path: Path, text: str) -> None:
    started: dict[str, Any] = {
        **sample.STARTED,
        "session": text,
        "isolation": {"level": text, "limits": [text] * 50},
        "identity": {
            "issuer": text,
            "claims": dict.fromkeys(("repository", "project_path", "event_name", "ref", "actor", "run_id"), text),
            "token_digest": "sha256:" + "1" * 64,
        },
    }
    recorder = sample.start(tmp_path / "session", started)
    first = sample.request(recorder, None, 0)
    sample.operation(recorder, "prompt", first, {"texts": [text]})
    decided = sample.decision("block", 95, *[(text, text, 95)] * 20)
    for number in range(60):
        call: Json = {"name": text, "input": {}, "id": str(number)}
        masked = {f"{kind}{text}": 1 for kind in range(50)}
        sample.operation(recorder, "tool_call", first, call, decided=decided, effect="withheld", masked=masked)
    recorder.finish(text)
    page = render(open_session(tmp_path / "session"))
    assert len(page.encode()) <= MAX_BYTES
    assert re.search(r"… and \d+ more, in the session's log", page)
    assert "### Verify it" in page


def test_a_string_that_is_not_inert_cannot_be_printed() -> None:
    assert _only_inert(Markup("x")) == "x"
    assert _only_inert(7) == 7
    with pytest.raises(TypeError, match="not inert"):
        _only_inert("x")
