"""A guard that masks names with Presidio and a real spaCy pipeline, in both directions."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from ciguard.operation import Json
from ciguard.session.reading import open_session
from ciguard.testing.model import Call, Conversation, Text
from tests.integration.guarded import CHAT, GEMINI, MESSAGES, RESPONSES, guarded, message
from tests.integration.test_run import is_error, is_sound, job, python, run
from tests.spacy_models import saved_model

NAMED = "masking: {{names: {{model: {model}}}}}"


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return saved_model(tmp_path_factory.mktemp("models"))


def script(conversation: Conversation) -> list[Text | Call]:
    """Writes of people and places, and calls a tool with a name."""
    return [
        Text("I asked Claude and Ada Lovelace, who is in Lisbon."),
        Call("Bash", {"command": "git log --author 'Ada Lovelace'"}),
    ]


@pytest.mark.parametrize("chunk", [1, 2, 3, 5, 8, 13, 1000])
async def test_names_in_a_streamed_answer_are_masked_whole_for_any_cut(tmp_path: Path, model: Path, chunk: int) -> None:
    (tmp_path / "workspace").mkdir()
    async with guarded(tmp_path, script=script, rules=NAMED.format(model=model), chunk=chunk) as running:
        answer = await running.call(MESSAGES, message("Ask mr Jones in Lisbon.", stream=True))
        text = answer.body.decode()
        shown = "".join(
            part["delta"].get("text", "") + part["delta"].get("partial_json", "")
            for line in text.splitlines()
            if line.startswith("data: ") and "delta" in (part := json.loads(line[6:])) and "type" in part["delta"]
        )
        assert not [name for name in ("Ada", "Lovelace", "Lisbon") if name in text]
        assert "I asked Claude and [ciguard-masked:person:" in shown
        assert "git log --author '[ciguard-masked:person:" in shown
        [asked] = running.model.requests
        assert b"Jones" not in asked.body
        assert b"Lisbon" not in asked.body
        assert b"Ask [ciguard-masked:person:" in asked.body
    session = open_session(running.directory)
    for name in (b"Lovelace", b"Lisbon", b"Jones"):
        assert not [digest for digest in session.digests() if name in session.body(digest)]
        assert not [file for file in running.directory.rglob("*") if file.is_file() and name in file.read_bytes()]


@pytest.mark.parametrize("target", [CHAT, RESPONSES, GEMINI])
async def test_names_are_masked_over_every_api(tmp_path: Path, model: Path, target: str) -> None:
    said = "Ask Ada Lovelace."
    bodies: dict[str, dict[str, Json]] = {
        CHAT: {"model": "gpt-5", "messages": [{"role": "user", "content": said}]},
        RESPONSES: {"model": "gpt-5", "input": said},
        GEMINI: {"contents": [{"role": "user", "parts": [{"text": said}]}]},
    }
    async with guarded(tmp_path, script=script, rules=NAMED.format(model=model)) as running:
        answer = await running.call(target, bodies[target])
        assert answer.status == 200
        assert b"Lovelace" not in answer.body
        assert answer.body.count(b"[ciguard-masked:person:") == 2
        assert b"Lovelace" not in running.model.requests[0].body


async def test_too_much_text_is_refused(tmp_path: Path, model: Path) -> None:
    async with guarded(tmp_path, rules=NAMED.format(model=model)) as running:
        refused = await running.call(MESSAGES, message("A" * 500_001))
        assert (refused.status, running.model.requests) == (400, [])
        assert "names are masked, and there are more than 500,000 characters" in refused.message
        assert (await running.call(MESSAGES, message("Hello."))).status == 200


async def test_a_run_masks_names(tmp_path: Path, model: Path) -> None:
    folder = tmp_path / "workspace"
    folder.mkdir()
    async with job(folder, more=NAMED.format(model=model), script=script) as upstream:
        ran = await run(folder, python("print(ask('Ask mr Jones.', True).read().decode())"))
        assert ran.status == 0, ran.errors
        assert "[ciguard-masked:person:" in ran.output
        assert "Lovelace" not in ran.output
        assert b"Jones" not in upstream.requests[0].body
        assert is_sound(ran.directory)
        lock = Path(__file__).parents[2] / "src/ciguard/lock-names.sha256"
        assert ran.session.events[0]["lock"] == f"sha256:{lock.read_text().strip()}"


@pytest.mark.parametrize(
    ("names", "cause"),
    [
        ("{{model: /no/such/model}}", "the model /no/such/model that the policy masks names with is not there"),
        ("{{model: no_such_model}}", "the model no_such_model that the policy masks names with is not there"),
        ("{{model: {folder}/.models/en}}", "lies in the workspace"),
        ("{{model: {folder}/link}}", "lies in the workspace"),
        ("{{model: {outside}/into}}", "lies in the workspace"),
    ],
)
async def test_a_session_whose_names_could_not_be_masked_does_not_start(tmp_path: Path, names: str, cause: str) -> None:
    folder = tmp_path / "workspace"
    folder.mkdir()
    (folder / "link").symlink_to("/no/such/model")
    (tmp_path / "into").symlink_to(folder)
    async with job(folder, more="masking: {names: " + names.format(folder=folder, outside=tmp_path) + "}") as upstream:
        ran = await run(folder, ["true"])
        assert ran.status == 64
        assert cause in ran.errors
        assert is_error(ran)
        assert upstream.requests == []
        assert not ran.directory.exists()


async def test_a_session_without_the_extra_does_not_start(tmp_path: Path, model: Path) -> None:
    folder = tmp_path / "workspace"
    folder.mkdir()
    (tmp_path / "hidden").mkdir()
    (tmp_path / "hidden/presidio_analyzer.py").write_text("raise ImportError", encoding="utf-8")
    async with job(folder, more=NAMED.format(model=model)):
        from tests.integration.test_run import SOURCE

        path = f"{tmp_path / 'hidden'}:{SOURCE}"
        ran = await run(folder, ["true"], environ={"PYTHONPATH": path})
        assert ran.status == 64
        assert "set the input 'names' of the action or the component to true" in ran.errors


def test_without_names_nothing_of_it_is_imported() -> None:
    code = (
        "import sys, ciguard.guard.session, ciguard.codecs.anthropic\n"
        "assert not {'spacy', 'presidio_analyzer', 'numpy'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
