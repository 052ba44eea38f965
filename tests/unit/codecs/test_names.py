"""Names in answers: masked in texts and in arguments, streamed like whole, and in nothing that is no content."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ciguard.codecs.codec import TextRelease
from ciguard.codecs.error import WireError
from ciguard.codecs.passage import Passage, masked_text
from ciguard.inspect import names as module
from ciguard.inspect.known_value import KnownValue
from ciguard.inspect.masking import Masker
from ciguard.inspect.names import Name, Names
from ciguard.inspect.personal_data import NameKind
from ciguard.inspect.placeholder import PLACEHOLDER, Placeholders
from ciguard.testing.model import Block, Call, Text, Thinking
from tests.unit.codecs import driving
from tests.unit.codecs.driving import APIS, KNOWN, SECRET, Api, allow_all, streamed, view, whole

NAME = "Ada Lovelace"
PLACEHOLDERS = Placeholders(b"k" * 32)
PERSON = PLACEHOLDERS.placeholder("person", NAME)


def recognise(text: str) -> Sequence[Name]:
    """Finds a name, whatever is behind it, only where the text says so before: as models do, it needs context."""
    if "Bash" in text or "claude" in text:
        return [Name(0, len(text), NameKind.PERSON)]
    return [Name(one.start(), one.end(), NameKind.PERSON) for one in re.finditer(r"Ada Lovelace\S*", text)]


MASKER = Masker([KnownValue("known", KNOWN)], PLACEHOLDERS, names=Names(recognise, ["nobody"], PLACEHOLDERS))
apis = pytest.mark.parametrize("api", APIS, ids=lambda api: api.name)


@pytest.fixture(autouse=True)
def _with_names(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(driving, "masker", lambda: MASKER)


def _carriers(cut: tuple[str, ...]) -> dict[str, list[Block]]:
    text = "".join(cut)
    escaped = '{"who": "' + "".join(f"\\u{ord(one):04x}" for one in text) + '"}'
    return {
        "text": [Text(text, cut)],
        "thinking": [Thinking(text, cut), Text("Done.")],
        "arguments": [Call("Bash", {"who": text}, ('{"who": "', *cut, '"}'))],
        "escaped arguments": [
            Call("Bash", {"who": text}, tuple(escaped[at : at + 3] for at in range(0, len(escaped), 3)))
        ],
    }


@apis
@pytest.mark.parametrize("carrier", ["text", "thinking", "arguments", "escaped arguments"])
@pytest.mark.parametrize("release", TextRelease)
def test_a_name_is_masked_however_it_is_cut(api: Api, carrier: str, release: TextRelease) -> None:
    text = f"before {NAME} behind"
    expected = whole(api, [_carriers((text,))[carrier]], allow_all)
    for cut in [*((text[:at], text[at:]) for at in range(1, len(text))), tuple(text)]:
        outcome = streamed(api, [_carriers(cut)[carrier]], allow_all, release)
        seen = view(api, outcome, stream=True)
        assert seen == view(api, expected, stream=False)
        assert "Lovelace" not in outcome.raw.decode()
        assert [item.kinds for item in outcome.settled] == [item.kinds for item in expected.settled]
        # Chat Completions shows no thoughts.
        assert (f"before {PERSON} behind" in json.dumps(seen)) is not (api.name == "chat" and carrier == "thinking")


@apis
def test_what_a_protocol_says_is_no_name(api: Api) -> None:
    blocks: list[Block] = [Text("Nobody."), Call("Bash", {"command": "ls"})]
    outcome = streamed(api, [blocks], allow_all)
    assert [(item.name, item.kinds) for item in outcome.calls] == [("Bash", ())]
    assert not PLACEHOLDER.search(outcome.raw.decode())


@apis
def test_a_paragraph_goes_on_before_the_text_ends(api: Api) -> None:
    paragraph = f"{NAME} wrote " + "much " * 50 + "\n\n"
    text = paragraph + "And more."
    upstream = driving.Upstream(api, [[Text(text, (paragraph, "And more."))]], 1)
    stream = api.codec.stream(MASKER, TextRelease.AS_IT_COMES)
    raw = upstream.ask(api.request(stream=True), stream=True)
    for item in stream.feed(raw[: raw.index(b"And more.")]):
        allow_all(item)
    assert PERSON in stream.take().decode()


fragments = st.sampled_from([NAME, NAME[:5], NAME[5:], SECRET, SECRET[:20], KNOWN, " ", "\n\n", "x" * 190, "a"])
texts = st.lists(fragments, max_size=6).map("".join)


@given(blocks=st.lists(st.lists(texts, min_size=1, max_size=4), min_size=1, max_size=3), data=st.data())
def test_what_is_decided_of_a_passage_does_not_change(blocks: list[list[str]], data: st.DataObject) -> None:
    passage = Passage("text", MASKER)
    sent, released = "", 0
    for number, pieces in enumerate(blocks):
        for piece in pieces:
            passage.feed(number, piece)
            assert passage.decided <= passage.length
            upto = data.draw(st.integers(min(released, passage.decided), passage.decided))
            if upto > released:
                sent += passage.edited(released, passage.original[released:upto])
                released = upto
    passage.finish()
    assert sent + passage.edited(released, passage.original[released:]) == passage.masked


@given(pieces=st.lists(texts, max_size=6))
def test_secrets_and_names_that_overlap_are_the_same_for_every_cut(pieces: list[str]) -> None:
    passage = Passage("text", MASKER)
    for piece in pieces:
        passage.feed(0, piece)
    passage.finish()
    text = "".join(pieces)
    assert _masked(text) == (passage.masked, passage.kinds)
    assert NAME not in passage.masked
    for found in MASKER.find(text):
        shown = passage.edited(found.start, text[found.start : found.end])
        assert not shown or PLACEHOLDER.fullmatch(shown)


def _masked(text: str) -> tuple[str, tuple[str, ...]]:
    found = masked_text(text, MASKER)
    return found.text, found.kinds


def test_of_a_secret_and_a_name_the_first_goes_then_the_longer_then_the_secret() -> None:
    known = Masker([KnownValue("known", "Ada Lovelace")], PLACEHOLDERS, names=Names(recognise, [], PLACEHOLDERS))
    assert masked_text("Ada Lovelace", known).kinds == ("known",)
    assert masked_text("of Ada Lovelace-Byron", known).kinds == ("person",)
    assert masked_text("Ada Lovelace,Ada Lovelace", known).kinds == ("person",)


def test_the_secret_goes_before_the_name_although_it_is_known_later() -> None:
    known = [KnownValue("known", "Ada Lovelace"), KnownValue("longer", "Ada Lovelace\n\nCountess of Lovelace")]
    longer = Masker(known, PLACEHOLDERS, names=Names(recognise, [], PLACEHOLDERS))
    passage = Passage("text", longer)
    passage.feed(0, "x" * 200 + " Ada Lovelace\n\n")
    assert passage.decided == 201
    passage.feed(0, "Duchess")
    passage.finish()
    assert passage.kinds == masked_text(passage.original, longer).kinds == ("known",)


def test_a_text_that_comes_only_at_its_end_is_masked() -> None:
    api = driving.RESPONSES
    raw = driving.Upstream(api, [[Text(f"before {NAME}", (f"before {NAME}",))]]).ask(
        api.request(stream=True), stream=True
    )
    without = b"".join(event + b"\n\n" for event in raw.split(b"\n\n") if event and b"output_text.delta" not in event)
    assert without != raw
    assert b"Lovelace" in without
    outcome = driving.feed(api.codec, [without], allow_all)
    assert "Lovelace" not in outcome.raw.decode()
    assert PERSON in outcome.raw.decode()


@apis
def test_an_answer_that_is_too_long_to_read_is_refused(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_READ", 300)
    long = "A" * 301
    for block in (Text(long), Call("Bash", {"who": long})):
        with pytest.raises(WireError, match="names are masked"):
            streamed(api, [[block]], allow_all)
        with pytest.raises(WireError, match="names are masked"):
            whole(api, [[block]], allow_all)


def test_arguments_that_cannot_be_read_are_masked_for_the_record() -> None:
    broken = '{"who": "Ada Lovelace'
    outcome = streamed(APIS[0], [[Call("Bash", {}, (broken,))]])
    assert [item.input for item in outcome.calls] == ['{"who": "' + PERSON]
