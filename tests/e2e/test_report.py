"""THREATS R3: a report opened in a real browser with hostile content is inert; and it is of use to its reader."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from ciguard.operation import Json
from ciguard.session.event import ProtectedFiles, Refused, SessionStopped
from tests.e2e.browser import Page, browser_page
from tests.unit.session import sample


def attacks(address: str) -> list[str]:
    """What somebody would put anywhere to have it act in the reader's browser."""
    act = f"window.pwned=1;fetch('{address}');new Image().src='{address}'"
    return [
        f"<script>{act}</script>",
        f"</script><script>{act}</script>",
        f"</title></style></pre></template><script>{act}</script>",
        f'"><img src={address} onerror="{act}">',
        f"' onmouseover='{act}' x='",
        f'" autofocus onfocus="{act}" tabindex="1',
        f"<svg/onload={act}>",
        f'<a href="javascript:{act}">x</a>',
        f"javascript:{act}",
        f"<iframe srcdoc='<script>{act}</script>'></iframe><iframe src={address}></iframe>",
        f"<meta http-equiv=refresh content='0;url={address}'><base href={address}>",
        f"<link rel=stylesheet href={address}><style>@import '{address}';body{{background:url({address})}}</style>",
        f"<form action={address}><input name=x autofocus><button>x</button></form>",
        f"<object data={address}></object><embed src={address}><video src={address} autoplay></video>",
        f"-->]]><!--<script>{act}</script>",
        f"{{{{ 7*7 }}}}{{% include '{address}' %}}",
        "\u202egnp.\u2066<b>\u200b\u2028</script>\x00\x1b[31m\ud800",
        f"```html\n<script>{act}</script>\n```",
        f"@@ -1 +1 @@\n-<script>{act}</script>\n+<img src={address}>",
        f"[ciguard-masked:aws-access-key:0123456789ab]<script>{act}</script>",
    ]


def record_hostile(directory: Path, address: str) -> Path:
    """A session in which every field that takes any text is hostile."""
    texts = attacks(address)
    all_of_it = "\n".join(texts)
    limits: list[Json] = [*texts]
    claims: dict[str, Json] = {"repository": texts[0], "ref": texts[3], "actor": texts[16], texts[5]: texts[1]}
    started: dict[str, Json] = {
        **sample.STARTED,
        "session": texts[2],
        "tool": texts[3],
        "policy": {"digest": "sha256:" + "0" * 64, "source": all_of_it},
        "identity": {"issuer": texts[8], "claims": claims, "token_digest": "sha256:" + "1" * 64},
        "isolation": {"level": texts[5], "limits": limits},
        "connections": {texts[3]: {"type": texts[4], "upstream": address}},
    }
    recorder = sample.start(directory, started)
    (directory / "policy.yml").write_bytes(all_of_it.encode(errors="replace"))
    request = sample.request(recorder, None, 0, all_of_it)
    reasons = tuple((text, text, 1) for text in texts)
    for number, text in enumerate(texts):
        decided = sample.decision("block" if number % 2 else "hold", 60, *reasons[: 1 + number % 3])
        masked = {text: 1}
        sample.operation(recorder, "prompt", request, {"texts": [text]}, decided=decided, masked=masked)
        call: Json = {"name": text, "input": {text: text, "old_string": text, "new_string": all_of_it}, "id": text}
        sample.operation(recorder, "tool_call", request, call, decided=decided)
        sample.operation(recorder, "tool_call", request, {"name": text, "input": {"command": text}, "id": text})
        sample.operation(recorder, "command", request, {"argv": [text, text]})
        sample.operation(recorder, "connect", request, {"host": text, "port": 443, "address": text})
        sample.result(recorder, "response_text", request, {"text": text}, masked=masked)
        sample.result(recorder, "tool_result", request, {"texts": [text, all_of_it], "id": text})
        recorder.record(ProtectedFiles(when="after", done="reported", paths=[text], more=0))
        recorder.record(Refused(reason=text, connection=text, method=text, path=text, status=401))
        alien: dict[str, Json] = {"digest": text, "connection": text, "place": text, "head": text, "expires": text}
        sample.ask(recorder, text, call, quorums=[{"count": 1, "approvers": [text]}], **alien)
        evidence: Json = {
            "comment": 1,
            "account": 2,
            "login": text,
            "role": text,
            "created": text,
            "body": "0" * 64,
            "answers": [],
        }
        sample.rule(recorder, text, "denied", text, comment=1, evidence=[evidence], discounted=1)
    sample.operation(recorder, "prompt", request, {"texts": ["<b>" * 2_000_000]})
    sample.respond(recorder, request, 500, complete=False, reason=all_of_it)
    recorder.spool().append(all_of_it.encode(errors="replace"))
    recorder.record(SessionStopped(reason=all_of_it))
    sample.end(recorder)
    return directory


def write_report(session: Path, file: Path) -> Path:
    """The report of ``session``, as the command writes it."""
    command = [sys.executable, "-m", "ciguard", "session", "report", str(session), "-o", str(file)]
    subprocess.run(command, check=True, capture_output=True)
    return file


@pytest.fixture
async def page(tmp_path: Path) -> AsyncIterator[Page]:
    """A tab to open reports in."""
    async with browser_page(tmp_path / "profile") as opened:
        yield opened


@dataclass
class Outside:
    """A server that nothing should call; ``calls`` are the request lines that it got."""

    address: str
    calls: list[str]


@pytest.fixture
async def outside() -> AsyncIterator[Outside]:
    """A server on loopback."""
    calls: list[str] = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        calls.append((await reader.readline()).decode(errors="replace"))
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with server:
        yield Outside(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/", calls)


async def test_hostile_content_is_inert(page: Page, outside: Outside, tmp_path: Path) -> None:
    session = record_hostile(tmp_path / "session", outside.address)
    report = await asyncio.to_thread(write_report, session, tmp_path / "report.html")
    await page.open(report)
    await page.evaluate("for (const d of document.querySelectorAll('details')) d.open = true")
    everything = (
        "for (const e of document.querySelectorAll('body *'))"
        " for (const k of ['mouseover', 'mouseenter', 'click', 'focus', 'load', 'error'])"
        " if (!(k === 'click' && e.matches('a'))) e.dispatchEvent(new Event(k, {bubbles: true}))"
    )
    await page.evaluate(everything)
    await asyncio.sleep(0.5)
    assert await page.evaluate("window.pwned === undefined")
    assert outside.calls == []
    assert page.requests == [report.as_uri()]
    assert page.complaints == []
    tags = set(
        json.loads(await page.evaluate("JSON.stringify([...document.querySelectorAll('*')].map(e => e.tagName))"))
    )
    assert not tags & {"IMG", "IFRAME", "OBJECT", "EMBED", "VIDEO", "FORM", "LINK", "BASE", "BUTTON", "B-X", "TEMPLATE"}
    assert await page.evaluate("document.scripts.length") == 1
    assert await page.evaluate("document.styleSheets.length") == 1
    named = "JSON.stringify([...document.querySelectorAll('*')].flatMap(e => e.getAttributeNames()))"
    assert not [name for name in json.loads(await page.evaluate(named)) if name.startswith("on") or name == "style"]
    links = "JSON.stringify([...document.querySelectorAll('a')].map(a => a.getAttribute('href')))"
    assert all(link.startswith("#e") and link[2:].isdigit() for link in json.loads(await page.evaluate(links)))
    text = await page.evaluate("document.body.textContent")
    assert "<script>window.pwned=1" in text
    assert "\\u{202e}gnp." in text
    assert not set(text) & set("\u202e\u2066\u200b\u2028\x00\x1b")


async def test_the_policy_of_the_page_allows_only_its_own_script(page: Page, outside: Outside, tmp_path: Path) -> None:
    """Were markup of a stranger's to get into the page after all, the browser would refuse to act on it."""
    report = write_report(sample.record(tmp_path / "session"), tmp_path / "report.html")
    injected = (
        f"<b>x</b><img src={outside.address} onerror=pwned=1><script>pwned=2</script><style>b{{left:7px}}</style>"
    )
    report.write_text(report.read_text().replace("<main", f"{injected}<main"))
    await page.open(report)
    await page.evaluate("new Promise(done => setTimeout(done, 200))")
    assert await page.evaluate("window.pwned === undefined")
    assert await page.evaluate("getComputedStyle([...document.querySelectorAll('b')].at(-1)).left") == "auto"
    assert outside.calls == []
    with pytest.raises(AssertionError, match="TrustedHTML"):
        await page.evaluate("document.body.innerHTML = '<b>x</b>'")


async def test_a_reader_finds_what_matters(page: Page, tmp_path: Path) -> None:
    await page.open(write_report(sample.record(tmp_path / "session"), tmp_path / "report.html"))
    shown = "[...document.querySelectorAll('article:not([hidden])')].length"
    every = await page.evaluate(shown)
    assert every > 5
    choose = "{ const f = document.getElementById('%s'); f.value = %r; f.dispatchEvent(new Event('change')) }"
    await page.evaluate(choose % ("action", "block"))
    assert await page.evaluate(shown) == 1
    assert await page.evaluate("document.getElementById('count').textContent") == f"1 of {every}"
    await page.press("Escape")
    assert await page.evaluate(shown) == every
    await page.press("/")
    assert await page.evaluate("document.activeElement.id") == "words"
    for letter in "drop table":
        await page.press(letter)
    async with asyncio.timeout(20):
        while await page.evaluate(shown) != 1:  # noqa: ASYNC110
            await asyncio.sleep(0.1)
    await page.press("Escape")
    await page.press("j")
    first = await page.evaluate("document.querySelector('article.current').id")
    await page.press("j")
    await page.press("j")
    await page.press("k")
    second = await page.evaluate("document.querySelector('article.current').id")
    assert int(second[1:]) > int(first[1:])
    await page.press("e")
    assert await page.evaluate("document.querySelector('article.current').classList.contains('open')")
    assert page.complaints == []
