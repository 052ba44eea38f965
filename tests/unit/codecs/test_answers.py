"""All four APIs alike: what an agent gets of an answer, streamed and at once."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Callable, Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ciguard.codecs.answer import SETTLE_ALL, CallItem, Item, Tally, TextItem, masked_items, masked_value
from ciguard.codecs.codec import Codec, TextRelease
from ciguard.codecs.document import dump, parse
from ciguard.codecs.error import WireError
from ciguard.inspect.known_value import KnownValue
from ciguard.inspect.masking import Masker
from ciguard.inspect.placeholder import Placeholders
from ciguard.operation import Json
from ciguard.testing.model import Block, Call, Text, Thinking
from scripts.rule_files import formats
from tests.unit.codecs.driving import (
    ANTHROPIC,
    APIS,
    CHAT,
    KNOWN,
    NOTE,
    RESPONSES,
    SECRET,
    Api,
    Outcome,
    Upstream,
    allow_all,
    bash,
    feed,
    masked,
    masker,
    pieces_of,
    refuse_bad,
    streamed,
    view,
    whole,
)

apis = pytest.mark.parametrize("api", APIS, ids=lambda api: api.name)
CLEAN: list[Block] = [
    Thinking("I think that — naïve 🦀 — this is fine."),
    Text("I look: ghp_ is a prefix, eyJ too, sk-."),
    bash("ls -l 'é'"),
    Call("Read", {"path": "/a", "deep": {"list": [1, 2.5, None, True, "x\n"]}}),
]


@apis
@pytest.mark.parametrize("release", TextRelease)
@pytest.mark.parametrize("size", [1, 2, 3, 5, 64, 1 << 20])
def test_what_is_not_touched_leaves_as_it_came(api: Api, release: TextRelease, size: int) -> None:
    raw = Upstream(api, [CLEAN]).ask(api.request(stream=True), stream=True)
    for sent in (raw, raw.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")):
        assert _without_pings(feed(api.codec, pieces_of(sent, size), allow_all, release).raw) == _without_pings(sent)


def _without_pings(raw: bytes) -> bytes:
    """A ping is a sign of life, which does not wait behind what is held."""
    for end in (b"\n", b"\r\n"):
        raw = raw.replace(b"event: ping" + end + b'data: {"type":"ping"}' + end + end, b"")
    return raw


@apis
def test_a_whole_answer_that_is_not_touched_stays_the_same(api: Api) -> None:
    raw = Upstream(api, [CLEAN]).ask(api.request(stream=False), stream=False)
    assert json.loads(whole(api, [CLEAN], allow_all).raw).keys() == json.loads(raw).keys()
    assert view(api, whole(api, [CLEAN], allow_all), stream=False) == view(
        api, streamed(api, [CLEAN], allow_all), stream=True
    )


def _carriers(secret: str, cut: tuple[str, ...]) -> dict[str, list[Block]]:
    text = "".join(cut)
    argued = json.dumps({"command": text})
    escaped = "".join(f"\\u{ord(char):04x}" if char.isalnum() else char for char in text)
    hidden = '{"command": "' + escaped + '"}'
    return {
        "text": [Text(text, cut)],
        "thinking": [Thinking(text, cut), Text("Done.")],
        "arguments": [Call("Bash", {"command": text}, ('{"command": "', *cut, '"}'))],
        "escaped arguments": [
            Call("Bash", {"command": text}, tuple(hidden[at : at + 3] for at in range(0, len(hidden), 3)))
        ],
        "whole arguments": [Call("Bash", {"command": text}, (argued,))],
    }


@apis
@pytest.mark.parametrize("carrier", ["text", "thinking", "arguments", "escaped arguments", "whole arguments"])
@pytest.mark.parametrize("release", TextRelease)
@pytest.mark.parametrize("secret", [SECRET, KNOWN], ids=["rule", "known"])
def test_a_secret_is_masked_however_it_is_cut(api: Api, carrier: str, release: TextRelease, secret: str) -> None:
    text = f"before {secret} behind"
    expected = whole(api, [_carriers(secret, (text,))[carrier]], allow_all)
    _assert_clean(expected.raw, secret)
    cuts = [(text[:at], text[at:]) for at in range(1, len(text))]
    for cut in [*cuts, tuple(text)]:
        outcome = streamed(api, [_carriers(secret, cut)[carrier]], allow_all, release)
        assert view(api, outcome, stream=True) == view(api, expected, stream=False)
        _assert_clean(outcome.raw, secret)
        assert [item.kinds for item in outcome.settled] == [item.kinds for item in expected.settled]
        # Chat Completions shows no thoughts.
        shown = not (api.name == "chat" and carrier == "thinking")
        assert (masked(secret) in json.dumps(view(api, outcome, stream=True))) is shown


KINDS = (
    *("anthropic-api-key", "aws-access-key-id", "azure-devops-token", "bearer-token", "github-token", "google-api-key"),
    *("jwt", "npm-token", "password", "private-key", "secret-value", "slack-token", "stripe-key", "url-password"),
)
FORMATS = {
    **{
        kind: next((one.examples[0].text, one.examples[0].secret) for one in formats() if one.rule.kind == kind)
        for kind in KINDS
    },
    "known in base64": (base64.b64encode(f"user:{KNOWN}!".encode()).decode(),) * 2,
    "known in hexadecimal": (KNOWN.encode().hex(),) * 2,
    "known reversed": (KNOWN[::-1],) * 2,
}
"""A text with a secret of each of many shapes, and the secret."""


@apis
@pytest.mark.parametrize(("example", "secret"), FORMATS.values(), ids=FORMATS)
def test_every_shape_of_secret_is_masked_in_text_and_arguments(api: Api, example: str, secret: str) -> None:
    text = f"before {example} behind"
    hidden = '{"command": "' + "".join(f"\\u{ord(one):04x}" for one in text) + '"}'
    plain = json.dumps({"command": text})

    def call(cut: tuple[str, ...]) -> Block:
        return Call("Bash", {"command": text}, cut)

    def prose(cut: tuple[str, ...]) -> Block:
        return Text(text, cut)

    makers: list[tuple[Callable[[tuple[str, ...]], Block], str]] = [(prose, text), (call, plain), (call, hidden)]
    for make, said in makers:
        expected = whole(api, [[make((said,))]], allow_all)
        for size in (1, 2, 5, 7, 50):
            cut = tuple(said[at : at + size] for at in range(0, len(said), size))
            outcome = streamed(api, [[make(cut)]], allow_all)
            assert view(api, outcome, stream=True) == view(api, expected, stream=False)
            for start in range(4, len(secret) - 12):
                assert json.dumps(secret[start : start + 8])[1:-1].encode() not in outcome.raw


def _assert_clean(raw: bytes, secret: str) -> None:
    """No 8 characters of the secret, whichever way JSON writes them."""
    text = raw.decode()
    plain = json.dumps(text)
    for start in range(len(secret) - 7):
        piece = secret[start : start + 8]
        assert piece not in text
        assert piece not in plain
        assert "".join(f"\\u{ord(char):04x}" if char.isalnum() else char for char in piece) not in text


BAD_CALL = bash("rm -rf /")
GOOD_CALL = bash("ls")
READ = Call("Read", {"path": "/tmp/x"})


@apis
@pytest.mark.parametrize(
    "blocks",
    [
        [BAD_CALL, GOOD_CALL, READ],
        [GOOD_CALL, BAD_CALL, READ],
        [Text("I look."), GOOD_CALL, READ, BAD_CALL],
        [Thinking("Hm."), BAD_CALL, BAD_CALL, READ],
    ],
)
@pytest.mark.parametrize("size", [1, 1 << 20])
def test_one_refused_among_allowed(api: Api, blocks: list[Block], size: int) -> None:
    expected = whole(api, [blocks])
    outcome = streamed(api, [blocks], size=size)
    for one, stream in ((outcome, True), (expected, False)):
        assert b"rm -rf" not in one.raw
        assert NOTE in json.dumps(view(api, one, stream=stream))
        calls = [value for kind, value in view(api, one, stream=stream) if kind == "call"]
        assert calls == [(call.name, call.input) for call in blocks if isinstance(call, Call) and call is not BAD_CALL]
        assert len(one.tally.refused) == blocks.count(BAD_CALL)
    assert view(api, outcome, stream=True) == view(api, expected, stream=False)


@apis
@pytest.mark.parametrize("release", TextRelease)
@pytest.mark.parametrize("more", [0, 1, 2])
def test_a_refused_answer_is_continued(api: Api, release: TextRelease, more: int) -> None:
    again: list[Block] = [Text("Again."), BAD_CALL, BAD_CALL]
    turns: list[list[Block]] = [
        [Thinking("Hm."), Text("First."), BAD_CALL],
        *([again] * more),
        [Text("Another way."), GOOD_CALL],
    ]
    expected = whole(api, turns)
    outcome = streamed(api, turns, release=release)
    seen = view(api, outcome, stream=True)
    assert seen == view(api, expected, stream=False)
    assert seen[-1] == ("call", ("Bash", {"command": "ls"}))
    assert json.dumps(seen).count(NOTE) == 1 + 2 * more
    assert b"rm -rf" not in outcome.raw
    for one in (outcome, expected):
        assert len(one.requests) == len(turns)
        assert one.requests[-1].count(NOTE.encode()) == 1 + 2 * more
        assert one.requests[-1].count(b"rm -rf") == 1 + 2 * more


@apis
def test_the_last_answer_after_refusals_ends_as_one_without_calls(api: Api) -> None:
    for one in (streamed(api, [[BAD_CALL], [BAD_CALL]]), whole(api, [[BAD_CALL], [BAD_CALL]])):
        assert b'"tool_use"' not in one.raw
        assert b'"tool_calls"' not in one.raw
        assert b'"functionCall"' not in one.raw
        assert b'"function_call"' not in one.raw


@apis
def test_the_model_sees_its_own_words_in_the_continuation(api: Api) -> None:
    """What is masked for the agent is not masked for the model that said it: thoughts are signed."""
    turns: list[list[Block]] = [[Thinking(f"It is {SECRET}."), Text(f"Look: {KNOWN}"), BAD_CALL], [Text("Well.")]]
    for one in (streamed(api, turns), whole(api, turns)):
        assert KNOWN.encode() in one.requests[1]
        assert SECRET.encode() not in one.raw


@apis
def test_an_undecided_call_stops_the_answer(api: Api) -> None:
    def leave(item: Item) -> None:
        del item

    with pytest.raises(WireError):
        streamed(api, [[GOOD_CALL]], leave)
    with pytest.raises(WireError):
        whole(api, [[GOOD_CALL]], leave)


@pytest.mark.parametrize("api", APIS[:3], ids=lambda api: api.name)
@pytest.mark.parametrize(
    "arguments",
    ['{"command": "ls"', '{"command": "ls", "command": "id"}', "no-json", "[1", '{"a": NaN}', "{} {}", '{"a": 1e999}'],
)
def test_arguments_that_cannot_be_read_never_leave(api: Api, arguments: str) -> None:
    blocks = [Call("Bash", {}, (arguments,)), READ]
    outcome = streamed(api, [blocks])
    assert outcome.calls[0].problem
    assert json.dumps(arguments)[1:-1].encode() not in outcome.raw
    with pytest.raises(WireError):
        streamed(api, [blocks], allow_all)
    again = streamed(api, [[blocks[0]], [Text("Well.")]])
    assert "Well." in json.dumps(view(api, again, stream=True))


@apis
def test_a_withheld_text_is_replaced_everywhere(api: Api) -> None:
    def decide(item: Item) -> None:
        if isinstance(item, TextItem) and "plan" in item.text:
            item.replace("[withheld]")
        elif isinstance(item, CallItem):
            item.allow()

    turn: list[Block] = [Thinking("A plan."), Text("The plan is this."), GOOD_CALL]
    expected = whole(api, [turn], decide)
    outcome = streamed(api, [turn], decide, TextRelease.WHEN_COMPLETE)
    assert view(api, outcome, stream=True) == view(api, expected, stream=False)
    assert b"plan" not in outcome.raw
    assert b"plan" not in expected.raw
    assert b"[withheld]" in outcome.raw


@apis
@settings(max_examples=40)
@given(data=st.data())
def test_any_answer_cut_anyhow(api: Api, data: st.DataObject) -> None:
    words = st.sampled_from(
        [f"{SECRET} ", KNOWN, "ghp_", "sk-ant-", "-----BEGIN", "eyJ", "é🦀", "\n", "a b", '"\\', "AKIA"]
    )
    text = st.lists(words, min_size=1, max_size=6).map("".join)
    block = st.one_of(
        text.map(Text),
        text.map(Thinking),
        text.map(bash),
        st.just(BAD_CALL),
        st.just(READ),
    )
    turn = data.draw(st.lists(block, min_size=1, max_size=6))
    size = data.draw(st.integers(1, 200))
    chunk = data.draw(st.integers(1, 30))
    release = data.draw(st.sampled_from(TextRelease))
    outcome = streamed(api, [turn], release=release, chunk=chunk, size=size)
    expected = whole(api, [turn])
    assert view(api, outcome, stream=True) == view(api, expected, stream=False)
    for secret in (SECRET, KNOWN):
        assert secret.encode() not in outcome.raw
        assert secret.encode() not in expected.raw
    slowly = whole(api, [turn], items_of=_looked_at_one_by_one)
    assert (slowly.raw, repr(slowly.items)) == (expected.raw, repr(expected.items))


def _looked_at_one_by_one(codec: Codec, message: dict[str, Json], masker: Masker, tally: Tally) -> Iterator[Item]:
    """What :func:`masked_items` does without knowing what is clean, and whether anything was changed."""
    came = dump(message)
    masker.look_through([])
    yield from codec.items(message, masker, tally)
    goes, _ = masked_value(message, masker)
    assert isinstance(goes, dict)
    goes = dict(goes)
    message.clear()
    message.update(goes)
    tally.changed = dump(message) != came


def _answer(api: Api, turn: list[Block]) -> dict[str, Json]:
    message = parse(Upstream(api, [turn]).ask(api.request(stream=False), stream=False))
    assert isinstance(message, dict)
    return message


@apis
@pytest.mark.parametrize("hidden", [{"note": SECRET}, {SECRET: 1}, {"deep": [{"x": [KNOWN]}]}], ids=str)
def test_a_secret_in_what_no_item_shows_is_masked(api: Api, hidden: dict[str, Json]) -> None:
    message, tally = {**_answer(api, CLEAN), **hidden}, Tally()
    for item in masked_items(api.codec, message, masker(), tally):
        allow_all(item)
    assert tally.changed
    assert dump(message) == dump(masked_value({**_answer(api, CLEAN), **hidden}, masker())[0])


@apis
def test_a_secret_in_what_a_text_is_replaced_with_is_masked(api: Api) -> None:
    def decide(item: Item) -> None:
        allow_all(item)
        if isinstance(item, TextItem):
            item.replace(f"withheld, says {KNOWN}")

    outcome = whole(api, [CLEAN], decide)
    assert KNOWN.encode() not in outcome.raw
    assert masked(KNOWN).encode() in outcome.raw


@apis
def test_what_is_learned_while_an_answer_is_settled_is_masked_in_the_rest_of_it(api: Api) -> None:
    own, tally = Masker([KnownValue("known", KNOWN)], Placeholders(b"k" * 32)), Tally()
    message = {**_answer(api, [Text("I look.")]), "note": SECRET[::-1]}
    for item in masked_items(api.codec, message, own, tally):
        allow_all(item)
        assert own.mask(SECRET).kinds
        own.remember()
    assert tally.changed
    assert SECRET[::-1].encode() not in dump(message)


@apis
def test_an_answer_in_which_nothing_is_changed_is_gone_through_once(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    message, tally = _answer(api, CLEAN[:2]), Tally()
    came = dump(message)
    monkeypatch.setattr(Masker, "mask_each", None)
    for item in masked_items(api.codec, message, masker(), tally):
        allow_all(item)
    assert not tally.changed
    assert dump(message) == came


@pytest.mark.parametrize("api", APIS, ids=lambda api: api.name)
def test_signs_of_life_say_nothing(api: Api) -> None:
    turn: list[Block] = [Text("I look. " * 20), bash("ls"), bash("pwd")]
    upstream = Upstream(api, [turn])
    stream = api.codec.stream(masker(), TextRelease.AS_IT_COMES)
    outcome, signs = Outcome(b""), 0
    for piece in pieces_of(upstream.ask(api.request(stream=True), stream=True), 100):
        for item in stream.feed(piece):
            allow_all(item)
        if (data := stream.take()) and not stream.ended:
            sign = stream.sign_of_life()
            assert sign.endswith(b"\n\n")
            signs += 1
            # The strict reader of this API's streams knows chunks of an answer only.
            data += b"" if api.name == "gemini" else sign
        outcome.raw += data
    assert signs > 5
    assert view(api, outcome, stream=True) == view(api, whole(api, [turn], allow_all), stream=False)


@pytest.mark.parametrize("api", [ANTHROPIC, CHAT, RESPONSES], ids=lambda api: api.name)
def test_calls_may_be_settled_later_and_in_any_order(api: Api) -> None:
    turn: list[Block] = [Text("I look."), bash("first"), bash("rm second"), bash("third")]
    upstream = Upstream(api, [turn])
    stream = api.codec.stream(masker(), TextRelease.AS_IT_COMES)
    outcome, left = Outcome(b""), list[CallItem]()
    for item in stream.feed(upstream.ask(api.request(stream=True), stream=True)):
        if isinstance(item, CallItem):
            left.append(item)
        elif item is SETTLE_ALL:
            outcome.raw += stream.take()
            assert not re.search(b'"(tool_use|tool_calls|function_call)"', outcome.raw)
            assert len(left) == 3
            for call in reversed(left):
                refuse_bad(call)
        else:
            outcome.items.append(item)
    stream.close()
    outcome.raw += stream.take()
    made = [value for kind, value in view(api, outcome, stream=True) if kind == "call"]
    assert made == [("Bash", {"command": "first"}), ("Bash", {"command": "third"})]
    assert [call.input for call in stream.tally.refused] == [{"command": "rm second"}]


def test_a_call_that_is_left_undecided_ends_the_answer() -> None:
    stream = ANTHROPIC.codec.stream(masker(), TextRelease.AS_IT_COMES)
    answer = Upstream(ANTHROPIC, [[bash("first")]]).ask(ANTHROPIC.request(stream=True), stream=True)
    with pytest.raises(WireError, match="left undecided"):
        list(stream.feed(answer))
    assert b"first" not in stream.take()


@pytest.mark.parametrize("api", [ANTHROPIC, CHAT, RESPONSES], ids=lambda api: api.name)
def test_an_answer_whose_calls_are_all_refused_late_is_continued(api: Api) -> None:
    left: list[Item] = []

    def late(item: Item) -> None:
        if item is SETTLE_ALL:
            for one in left:
                refuse_bad(one)
        else:
            left.append(item)

    turns: list[list[Block]] = [[bash("rm one"), bash("rm two")], [Text("Then not.")]]
    outcome = streamed(api, turns, late)
    # The strict readers bear one end only, and no call.
    assert view(api, outcome, stream=True) == view(api, streamed(api, turns), stream=True)
    assert len(outcome.requests) == 2
