from __future__ import annotations

import re
from html.parser import HTMLParser

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from ciguard.operation import Json
from ciguard.report.html.passage import block, call, inline, prose
from ciguard.report.inert import visible

MASKED = "[ciguard-masked:github-token:0123456789ab]"


class Read(HTMLParser):
    """What a browser would read: tags, attributes, text."""

    def __init__(self, markup: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: set[str] = set()
        self.attributes: set[str] = set()
        self.text = ""
        # Plain text to the parser, which would go on with what it is given: Markup escapes what is added to it.
        self.feed(markup.encode().decode())
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes |= {name for name, _ in attrs}

    def handle_data(self, data: str) -> None:
        self.text += data


def whole(text: str) -> str:
    return text


OURS = {"pre", "mark", "s", "span", "dl", "dt", "dd"}
MARKUP = st.text(st.sampled_from("<>\"'&;/= abonclickscript`@-+\n:[]\u202e"), max_size=120) | st.text(max_size=80)


@given(MARKUP)
@example("<b onclick=x>")
@example("'\"><script>")
def test_no_text_becomes_markup(text: str) -> None:
    for made in (
        inline(text),
        inline(f"{text}{MASKED}{text}"),
        block(text, "code"),
        prose(text),
        call({"a": text, text: "b"}, whole),
    ):
        read = Read(made)
        assert read.tags <= OURS
        assert read.attributes <= {"class", "title"}


@given(MARKUP)
def test_no_text_is_left_out(text: str) -> None:
    assert Read(inline(text)).text == visible(text)
    assert words(block(text)) == re.sub(r"\s", "", visible(text))


def words(markup: str) -> str:
    return re.sub(r"\s", "", Read(markup).text)


def test_a_placeholder_is_a_badge_and_still_itself() -> None:
    made = inline(f"key <{MASKED}>")
    assert 'title="masked: github-token"' in made
    assert Read(made).text == f"key <{MASKED}>"


def test_fenced_code_stands_apart() -> None:
    made = prose("Do this:\n\n```sh\nls <x>\n```\nThen stop.")
    assert '<pre class="prose">Do this:</pre><pre class="code">```sh\nls &lt;x&gt;</pre><pre class="prose">Then' in made


@pytest.mark.parametrize("text", ["```\nnever closed", "````\na\n```\nb\n````", "a ``` b", "```sh\nx\n``` y\nz"])
def test_fences_hide_nothing(text: str) -> None:
    assert set(re.findall("[a-z]+", text)) <= set(re.findall("[a-z]+", Read(prose(text)).text))


@given(MARKUP)
def test_prose_shows_everything_but_fences(text: str) -> None:
    assert words(prose(text)).replace("`", "") == re.sub(r"[\s`]", "", visible(text))


def test_a_change_has_its_lines_coloured() -> None:
    made = block("diff --git a/x b/x\n@@ -1 +1 @@\n-old\n+new\n same")
    assert '<span class="removed">-old</span>' in made
    assert '<span class="added">+new</span>' in made
    assert '<span class="same"> same</span>' in made
    assert '<span class="place">@@' in made


EDITS: list[tuple[Json, list[str]]] = [
    ({"file_path": "a.py", "old_string": "x\ny", "new_string": "x\nz"}, ["-y", "+z", "a.py", " x"]),
    ({"edits": [{"old_string": "a", "new_string": "b"}, {"old_string": "c", "new_string": "d"}]}, ["-a", "+b", "-c"]),
    ({"edits": [{"old_string": "a", "new_string": "b", "where": "far"}]}, ["far"]),
    ({"edits": [{"old_string": "a", "new_string": "b"}, "odd"]}, ["odd"]),
    ({"old_string": "a", "new_string": "b", "edits": [{"more": 1}]}, ["more", "-a", "+b"]),
    ({"old_string": "same", "new_string": "same"}, ["-same", "+same"]),
    ({"command": "ls", "timeout": 5}, ["command", "ls", "timeout", "5"]),
    ({}, []),
    ("text", ["text"]),
    (["a", 1], ["a", "1"]),
]


@pytest.mark.parametrize(("given", "shown"), EDITS)
def test_a_call_shows_all_that_it_was_given(given: Json, shown: list[str]) -> None:
    text = Read(call(given, whole)).text
    for part in shown:
        assert part in text


def test_lines_far_from_a_change_are_there_too() -> None:
    lines = [f"line {number};" for number in range(50)]
    given: Json = {"old_string": "\n".join(lines), "new_string": "\n".join([*lines, "more"])}
    text = Read(call(given, whole)).text
    assert all(line in text for line in lines)


def test_long_texts_are_folded() -> None:
    assert "folded" in block("x\n" * 20)
    assert "folded" in block("x" * 5000)
    assert "folded" not in block("x\n" * 5)


def test_a_cut_is_made_before_anything_is_shown() -> None:
    assert Read(call({"old_string": "abcdef", "new_string": "g"}, lambda text: text[:3])).text.split() == ["-abc", "+g"]
