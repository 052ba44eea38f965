"""The webhook over real HTTP: what arrives, what does not, and that nothing waits for it."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ciguard.approvals.approver import Verdict
from ciguard.approvals.asking import Asked
from ciguard.approvals.watcher import Decided
from ciguard.decision import Action, Decision
from ciguard.errors import CredentialMissing, RecordingFailed
from ciguard.guard import webhook
from ciguard.guard.judge import Notice, NoticeKind
from ciguard.guard.webhook import MOST_WAITING, Hook, Webhook, hook_of
from ciguard.policy.sections.approval import Notify
from ciguard.report.approval_comment import Asker
from ciguard.session.reading import open_session
from tests.integration.guarded import until
from tests.integration.receiver import Receiver
from tests.unit.approvals.scene import REQUEST, operation
from tests.unit.session import sample

APPROVALS = Path(__file__).parents[3] / "docs" / "approvals.md"
KEY = bytes(range(32))
SECRET = "whsec_" + base64.b64encode(KEY).decode()
ASKED = Asked(REQUEST, operation(), Decision(Action.HOLD, 60), "", "f" * 64, 1, "e" * 64)
DECIDED = Decided("denied", Verdict(False, "No."), 5_000)
ASKER = Asker("claude", "3f9a2c" + "0" * 26, "", "", "")
LINK = "https://github.com/acme/shop/pull/7#issuecomment-1"


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver() as server:
        yield server


class Scene:
    """A webhook with a real recorder."""

    def __init__(self, folder: Path, url: str, key: bytes = KEY) -> None:
        self.folder = folder / "session"
        self.recorder = sample.start(self.folder)
        self.told: list[Notice] = []
        self.webhook = Webhook(Hook(url, key), ASKER, self.recorder, self.told.append)

    def events(self) -> list[tuple[str, int, str]]:
        """What was recorded of it."""
        self.recorder.finish("done")
        self.recorder.close()
        found = [event for event in open_session(self.folder).events if event["type"] == "notified"]
        assert {event["approval"] for event in found} <= {REQUEST.id}
        return [(event["about"], event["status"], event["reason"]) for event in found]


async def test_both_messages_arrive_in_order_and_signed(tmp_path: Path, receiver: Receiver) -> None:
    scene = Scene(tmp_path, receiver.url)
    scene.webhook.asked(ASKED, LINK)
    scene.webhook.decided(ASKED, DECIDED, LINK)
    await scene.webhook.close()
    assert scene.events() == [("request", 200, ""), ("verdict", 200, "")]
    assert scene.told == []
    assert [path for path, _, _ in receiver.got] == ["/services/T0/B0/xyz"] * 2
    for (_, headers, body), title in zip(receiver.got, ("approval needed", "denied"), strict=True):
        assert title in json.loads(body)["text"]
        assert headers["content-type"] == "application/json"
        assert abs(time.time() - int(headers["webhook-timestamp"])) < 600
        signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
        code = base64.b64encode(hmac.new(KEY, signed, hashlib.sha256).digest()).decode()
        assert headers["webhook-signature"] == f"v1,{code}"
    assert len({headers["webhook-id"] for _, headers, _ in receiver.got}) == 2


def test_the_signature_is_that_of_standard_webhooks() -> None:
    # The example of the specification's reference libraries.
    key = base64.b64decode("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
    sent = webhook.headers(key, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, b'{"test": 2432232314}')
    assert sent["webhook-signature"] == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


def test_the_documented_receiver_accepts_what_is_sent_and_nothing_else() -> None:
    (code,) = re.findall(r"```python\n(.*?)```", APPROVALS.read_text(), re.DOTALL)
    scope: dict[str, Callable[..., bool]] = {}
    exec(code, scope)  # noqa: S102 - the documentation's own example
    body, now = b'{"text": "x"}', 1_800_000_000
    sent = webhook.headers(KEY, "3f9a2c.1", now, body)
    genuine = scope["genuine"]
    assert genuine(SECRET, sent, body, now + 60)
    assert not genuine(SECRET, sent, body + b" ", now)
    assert not genuine(SECRET, sent, body, now + 600)
    assert not genuine(SECRET, sent, body, now - 600)
    assert not genuine(SECRET, {**sent, "webhook-id": "another"}, body, now)
    assert not genuine(SECRET, {**sent, "webhook-timestamp": str(now + 1)}, body, now)
    assert not genuine("whsec_" + base64.b64encode(bytes(32)).decode(), sent, body, now)


async def test_without_a_secret_nothing_is_signed(tmp_path: Path, receiver: Receiver) -> None:
    scene = Scene(tmp_path, receiver.url, b"")
    scene.webhook.asked(ASKED, LINK)
    await scene.webhook.close()
    assert "webhook-signature" not in receiver.got[0][1]
    assert len(scene.events()) == 1


@pytest.mark.parametrize(
    ("status", "reason"),
    [
        (302, "it answered with a redirect, which is not followed"),
        (307, "it answered with a redirect, which is not followed"),
        (404, "it answered with status 404"),
        (503, "it answered with status 503"),
    ],
)
async def test_what_does_not_arrive_is_recorded_told_once_and_not_sent_again(
    tmp_path: Path, receiver: Receiver, status: int, reason: str
) -> None:
    receiver.status = status
    scene = Scene(tmp_path, receiver.url)
    scene.webhook.asked(ASKED, LINK)
    scene.webhook.decided(ASKED, DECIDED, LINK)
    await scene.webhook.close()
    assert scene.events() == [("request", status, reason), ("verdict", status, reason)]
    assert len(receiver.got) == 2
    assert scene.told == [Notice(NoticeKind.NOT_NOTIFIED, "the webhook of approval.notify", (), reason)]


async def test_nobody_there(tmp_path: Path, receiver: Receiver) -> None:
    url = receiver.url
    receiver.server_close()
    scene = Scene(tmp_path, url)
    scene.webhook.asked(ASKED, LINK)
    await scene.webhook.close()
    ((about, status, reason),) = scene.events()
    assert (about, status) == ("request", 0)
    assert reason.startswith("it cannot be reached: Client")
    assert "services" not in reason + str(scene.told)


async def test_a_silent_webhook_is_given_up(
    tmp_path: Path, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(webhook, "TIMEOUT", 0.2)
    receiver.gate.clear()
    scene = Scene(tmp_path, receiver.url)
    scene.webhook.asked(ASKED, LINK)
    await scene.webhook.close()
    assert scene.events() == [("request", 0, "it did not answer within 0.2 seconds")]


async def test_a_flood_is_dropped_and_the_end_does_not_wait_for_it(
    tmp_path: Path, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(webhook, "CLOSING", 0.2)
    receiver.gate.clear()
    scene = Scene(tmp_path, receiver.url)
    scene.webhook.asked(ASKED, LINK)
    await until(lambda: bool(receiver.got))
    for _ in range(MOST_WAITING + 3):
        scene.webhook.asked(ASKED, LINK)
    await scene.webhook.close()
    reasons = [reason for _, _, reason in scene.events()]
    assert reasons.count(f"{MOST_WAITING} messages wait already") == 3
    assert reasons.count("the session ended before it was answered") == 1
    assert reasons.count("the session ended before it was sent") == MOST_WAITING
    assert len(receiver.got) == 1
    assert len(scene.told) == 1


async def test_a_webhook_that_is_never_used_costs_nothing(tmp_path: Path) -> None:
    scene = Scene(tmp_path, "http://127.0.0.1:9/x")
    await scene.webhook.close()
    assert scene.events() == []


async def test_what_cannot_be_recorded_is_said(tmp_path: Path, receiver: Receiver) -> None:
    scene = Scene(tmp_path, receiver.url)
    scene.webhook.asked(ASKED, LINK)
    scene.recorder.close()
    with pytest.raises(RecordingFailed):
        await scene.webhook.close()


NOTIFY = Notify.model_validate({"url": {"env": "HOOK"}, "secret": {"env": "HOOK_SECRET"}})


def test_address_and_secret_come_from_the_environment() -> None:
    environ = {"HOOK": "https://hooks.example.com/services/T0/B0/xyz", "HOOK_SECRET": SECRET}
    hook = hook_of(NOTIFY, environ)
    assert (hook.url, hook.key) == (environ["HOOK"], KEY)
    assert "xyz" not in repr(hook)
    assert hook_of(Notify.model_validate({"url": {"env": "HOOK"}}), environ).key == b""


@pytest.mark.parametrize(
    ("url", "secret", "cause"),
    [
        ("", SECRET, "takes its credential from HOOK, which is not set"),
        ("hooks.example.com/x", SECRET, "HOOK is not a URL"),
        ("https://", SECRET, "HOOK is not a URL"),
        ("https://user:password@hooks.example.com/", SECRET, "HOOK is not a URL"),
        ("https://hooks.example.com/\nHost: e.example", SECRET, "HOOK is not a URL"),
        ("https://hooks.example.com:99999/", SECRET, "HOOK is not a URL"),
        ("http://hooks.example.com/services/x", SECRET, "HOOK is not https"),
        ("http://10.0.0.1/services/x", SECRET, "HOOK is not https"),
        ("ftp://127.0.0.1/services/x", SECRET, "HOOK is not https"),
        ("https://hooks.example.com/x", "", "takes its credential from HOOK_SECRET"),
        ("https://hooks.example.com/x", SECRET.removeprefix("whsec_"), "HOOK_SECRET is no secret of a webhook"),
        ("https://hooks.example.com/x", "whsec_!!!!!!!!!!!!", "HOOK_SECRET is no secret of a webhook"),
        ("https://hooks.example.com/x", "whsec_c2hvcnQ=", "HOOK_SECRET is no secret of a webhook"),
    ],
)
def test_others_are_refused_without_repeating_them(url: str, secret: str, cause: str) -> None:
    with pytest.raises(CredentialMissing) as refused:
        hook_of(NOTIFY, {"HOOK": url, "HOOK_SECRET": secret})
    assert cause in refused.value.cause
    assert not any(value and value in str(refused.value) + refused.value.remedy for value in (url, secret))
