"""A guard server in this process, between whatever a test sends and a loopback model."""

from __future__ import annotations

import asyncio
import io
import json
import socket
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from http.client import HTTPResponse
from pathlib import Path
from typing import Any, cast

from ciguard.approvals.approver import Approver, Nobody
from ciguard.errors import CiguardError
from ciguard.guard.approved import Approved
from ciguard.guard.connection import OpenConnection
from ciguard.guard.exchange import LONGEST_SILENCE, Guarding
from ciguard.guard.holding import SIGN_OF_LIFE
from ciguard.guard.intake import Intake
from ciguard.guard.judge import Judge, Notice
from ciguard.guard.masking import name_recogniser, session_masker
from ciguard.guard.server import GuardServer, open_loopback
from ciguard.guard.upstream import Upstreams
from ciguard.inspect.known_value import KnownValue
from ciguard.inspect.placeholder import Placeholders
from ciguard.operation import Json
from ciguard.policy.evaluation import Evaluator
from ciguard.policy.loading import FileSource, load_policy
from ciguard.session.event import AgentExited, AgentStarted, EventType
from ciguard.session.reading import Session, open_session
from ciguard.session.recorder import Recorder
from ciguard.session.step import Outcome
from ciguard.session.verification import verify
from ciguard.testing.model import Conversation, Fault, LoopbackModel, ReceivedRequest, Script, Text
from ciguard.testing.model.server import no_faults
from tests.unit.session import sample

CREDENTIAL = "upstream-credential-5f1e9a7c"
"""What the guard authenticates to the loopback model with."""

TOKEN = "ciguard-session-token-for-the-tests"
SECRET = "ghp_" + "x7Qp" * 7 + "x7" + "1OYa11"
"""A secret that the rules know by its form."""

MESSAGES = "/claude/v1/messages"
RESPONSES = "/gpt/v1/responses"
CHAT = "/gpt/v1/chat/completions"
GEMINI = "/gemini/v1beta/models/gemini-3-flash-preview:generateContent"

POLICY = """\
version: 1
connections:
  claude: {{type: anthropic, credential: {{env: KEY}}, upstream: "{url}"{claude}}}
  gpt: {{type: openai, credential: {{env: KEY}}, upstream: "{url}"}}
  gemini: {{type: gemini, credential: {{env: KEY}}, upstream: "{url}"}}
{rules}
"""

RULES = """\
approval: {hold_at: 60, block_at: 90}
rules:
  - id: no-deletion
    reason: Deleting is not part of the task.
    on: [tool_call]
    text: {regex: ['rm -rf']}
    action: block
  - id: ask-first
    reason: A human should see this.
    on: [tool_call]
    text: {keywords: [deploy]}
    action: hold
  - id: no-key-hunting
    reason: Keys are not part of the task.
    on: [prompt]
    text: {keywords: [print the api key]}
    action: block
  - id: no-injection
    reason: This tells the agent to ignore its task.
    on: [tool_result]
    text: {keywords: [ignore previous instructions]}
    action: block
  - id: customer
    reason: Customer numbers stay here.
    on: [prompt, tool_result, response_text, tool_call]
    text: {regex: ['C-[0-9]{8}']}
    action: mask
"""


@dataclass
class Answer:
    """What came back for one call."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def message(self) -> str:
        """The message of an error body in any of the APIs' forms."""
        text: str = json.loads(self.body)["error"]["message"]
        return text


@dataclass
class Guarded:
    """A running guard and all that it was made of."""

    server: GuardServer
    model: LoopbackModel
    recorder: Recorder
    judge: Judge
    intake: Intake
    directory: Path
    failures: list[CiguardError] = field(default_factory=list)
    notices: list[Notice] = field(default_factory=list)

    def url(self, target: str) -> str:
        """The address of a target below the guard."""
        return f"http://127.0.0.1:{self.server.port}{target}"

    def events(self, kind: EventType) -> list[dict[str, Any]]:
        """The recorded events of one type so far."""
        return [event for event in open_session(self.directory).events if event["type"] == kind]

    def body(self, event: Mapping[str, Any]) -> Any:
        """The recorded content of an operation or result."""
        return open_session(self.directory).content(event["body"])

    async def call(
        self,
        target: str = MESSAGES,
        body: Json | bytes = None,
        *,
        method: str = "POST",
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        """One call with the session's token."""
        data = body if isinstance(body, bytes) else json.dumps(message() if body is None else body).encode()
        given = {"Host": "localhost", "x-api-key": TOKEN, "Content-Type": "application/json", "Connection": "close"}
        given |= {"anthropic-version": "2023-06-01"} if target.startswith("/claude") else {}
        given |= {"Content-Length": str(len(data))} if method == "POST" else {}
        given |= headers or {}
        head = f"{method} {target} HTTP/1.1\r\n" + "".join(f"{name}: {value}\r\n" for name, value in given.items())
        received = await self.raw(head.encode("latin-1") + b"\r\n" + (data if method == "POST" else b""))
        return parsed(received, method)

    async def raw(self, sent: bytes, later: bytes = b"", *, finished: bool = False) -> bytes:
        """Send bytes as they are and return everything that comes until the guard closes the connection.

        ``later`` goes in a packet of its own; ``finished`` closes the sending side once everything was sent.
        """
        reader, writer = await asyncio.open_connection("127.0.0.1", self.server.port)
        try:
            writer.write(sent)
            if later:
                await asyncio.sleep(0.05)
                writer.write(later)
            if finished:
                writer.write_eof()
            async with asyncio.timeout(30):
                received = b""
                try:
                    while chunk := await reader.read(65536):
                        received += chunk
                except ConnectionResetError:
                    return received
                return received
        finally:
            writer.close()


class _Bytes:
    def __init__(self, data: bytes) -> None:
        self._data = data

    def makefile(self, mode: str) -> io.BytesIO:
        """What ``HTTPResponse`` reads from."""
        assert mode == "rb"
        return io.BytesIO(self._data)


def parsed(received: bytes, method: str = "POST") -> Answer:
    """The first answer in ``received``."""
    response = HTTPResponse(cast("socket.socket", _Bytes(received)), method=method)
    response.begin()
    return Answer(response.status, {name.lower(): value for name, value in response.getheaders()}, response.read())


def message(*texts: str, stream: bool = False, **fields: Json) -> dict[str, Json]:
    """A Messages request whose user says ``texts``."""
    said: list[Json] = [{"role": "user", "content": text} for text in texts or ("Hello.",)]
    body: dict[str, Json] = {"model": "claude-sonnet-4-6", "max_tokens": 100, "messages": said}
    return body | ({"stream": True} if stream else {}) | fields


def says(*texts: str) -> Script:
    """A model that says the same every time."""

    def script(conversation: Conversation) -> list[Text]:
        return [Text(text) for text in texts]

    return script


def fine(conversation: Conversation) -> list[Text]:
    """A model without trouble."""
    return [Text("All is fine here.")]


def every(*faults: Fault) -> Any:
    """The same faults for every request."""

    def choose(request: ReceivedRequest) -> Sequence[Fault]:
        return faults

    return choose


def first(*faults: Fault) -> Any:
    """Faults for the first request only."""
    asked: list[ReceivedRequest] = []

    def choose(request: ReceivedRequest) -> Sequence[Fault]:
        asked.append(request)
        return faults if len(asked) == 1 else ()

    return choose


@asynccontextmanager
async def guarded(
    folder: Path,
    *,
    script: Script = fine,
    faults: Any = no_faults,
    rules: str = RULES,
    claude: str = "",
    upstream: str = "",
    chunk: int = 12,
    approver: Approver | None = None,
    sign_of_life: float = SIGN_OF_LIFE,
    longest_silence: float = LONGEST_SILENCE,
) -> AsyncIterator[Guarded]:
    """A guard on three connections to one loopback model; at the end the session's record must verify.

    ``claude`` adds keys to the connection of that name; ``upstream`` stands in for the model's address.
    """
    directory = folder / "session"
    recorder = Recorder(directory, time.time_ns)
    async with LoopbackModel(script, api_keys=[CREDENTIAL], faults=faults, chunk=chunk) as model:
        text = POLICY.format(url=upstream or model.url, claude=claude and f", {claude}", rules=rules)
        (folder / "policy.yml").write_text(text)
        policy = load_policy(FileSource(folder), "policy.yml")
        placeholders = Placeholders(b"key of the tests")
        known = [KnownValue("upstream-credential", CREDENTIAL), KnownValue("session-token", TOKEN)]
        masker = session_masker(
            policy.masking, known, placeholders, name_recogniser(policy.masking, folder / "workspace")
        )
        recorder.write_policy(policy.text)
        recorder.record(sample.event(EventType.SESSION_STARTED, **started(policy.digest)))
        recorder.record(AgentStarted(argv=["agent"]))
        failures: list[CiguardError] = []
        notices: list[Notice] = []
        judge = Judge(
            Evaluator(policy),
            approver or Nobody("this is a test"),
            recorder,
            Approved(Evaluator(policy), "/workspace"),
            policy.limits.refusals_in_a_row,
            on_notice=notices.append,
            on_stop=lambda: None,
            on_awaiting=lambda: None,
        )
        intake = Intake(masker, placeholders, judge, recorder)
        guarding = Guarding(
            masker,
            placeholders,
            judge,
            intake,
            recorder,
            Upstreams(masker),
            failures.append,
            sign_of_life,
            longest_silence,
        )
        connections = {
            name: OpenConnection(name, declared, CREDENTIAL) for name, declared in policy.connections.items()
        }
        async with GuardServer(guarding, connections, TOKEN, open_loopback()) as server:
            yield Guarded(server, model, recorder, judge, intake, directory, failures, notices)
    if any(failure.exit_code == 74 for failure in failures):
        recorder.close()
        return
    recorder.record(AgentExited(status=0, signal=""))
    recorder.finish("the agent ended by itself")
    finished = open_session(directory)
    assert [step.name for step in verify(directory).steps if step.outcome is Outcome.FAILED] == []
    assert not finished.unfinished
    assert not leaks(finished)


def leaks(session: Session) -> list[str]:
    """The names of the files and the digests of the bodies of a session in which the credential stands."""
    secret = CREDENTIAL.encode()
    files = [
        file.name for file in sorted(session.directory.rglob("*")) if file.is_file() and secret in file.read_bytes()
    ]
    return files + [digest for digest in session.digests() if secret in session.body(digest)]


def started(digest: str) -> dict[str, Json]:
    """The fields of a first event, under the policy with this digest."""
    return {
        "session": "0b7f",
        "tool": "ciguard test",
        "lock": "sha256:" + "0" * 64,
        "policy": {"digest": digest, "source": "policy.yml"},
        "identity": None,
        "job": None,
        "isolation": {"level": "none", "limits": []},
        "connections": {name: {"type": "test", "upstream": "test"} for name in ("claude", "gpt", "gemini")},
        "signing": [],
    }


async def until(condition: Callable[[], object]) -> None:
    """Wait until ``condition`` holds, which nothing signals."""
    async with asyncio.timeout(20):
        while not condition():  # noqa: ASYNC110
            await asyncio.sleep(0.01)


async def until_still(file: Path) -> None:
    """Wait until nobody writes to ``file`` any more who did so all the time."""
    size = -1
    async with asyncio.timeout(20):
        while size != (size := file.stat().st_size):  # noqa: ASYNC110, ASYNC240
            await asyncio.sleep(0.3)
