"""Telling a webhook of requests for approval and of verdicts: fire and forget, and never a part of the decision.

Messages are signed as Standard Webhooks has it (the specification of that name, "Signature scheme", version 1): the
header ``webhook-signature`` is ``v1,`` and the base64 of the HMAC-SHA256 over ``ID.TIMESTAMP.BODY``, and a secret is
``whsec_`` and the base64 of the key.

The address comes from the job's own secrets and is named by the policy of the base branch; no agent and no pull request
has a say in it. It may therefore be one in a private network.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import hashlib
import hmac
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from ciguard.errors import CredentialMissing
from ciguard.guard.certificates import trusted
from ciguard.guard.credential import credential
from ciguard.guard.judge import Notice, NoticeKind
from ciguard.identity.fetch import is_loopback
from ciguard.session.event import Notified, NotifiedOf
from ciguard.session.recorder import Recorder

if TYPE_CHECKING:
    import aiohttp

    from ciguard.approvals.asking import Asked
    from ciguard.approvals.watcher import Decided
    from ciguard.policy.sections.approval import Notify
    from ciguard.report.approval_comment import Asker

TIMEOUT = 5.0
"""Seconds for one message, from the connection to the answer. It is sent once."""

MOST_WAITING = 20
"""Messages that wait for the one before them; what comes then is dropped, and recorded as dropped."""

CLOSING = 10.0
"""Seconds at the end of a session for what still waits."""

SECRET_PREFIX = "whsec_"
SHORTEST_KEY = 24
"""Bytes of a key; Standard Webhooks asks for 24 to 64."""


@dataclass(frozen=True, slots=True)
class Hook:
    """Where to send, and the key that signs; ``key`` is empty when the policy names no secret."""

    url: str = field(repr=False)
    key: bytes = field(repr=False)


def hook_of(notify: Notify, environ: Mapping[str, str]) -> Hook:
    """The webhook of a policy. Raises CredentialMissing, which repeats neither address nor secret."""
    url = credential("approval.notify", notify.url.env, environ)
    try:
        parts = urlsplit(url)
        valid = bool(parts.hostname) and parts.port != 0 and parts.username is None and not parts.fragment
    except ValueError:
        valid = False
    if not valid or not url.isascii() or not url.isprintable() or " " in url:
        raise CredentialMissing(f"the value of {notify.url.env} is not a URL", "set it to the webhook's address")
    if parts.scheme != "https" and not (parts.scheme == "http" and is_loopback(parts)):
        raise CredentialMissing(f"the address in {notify.url.env} is not https", "use the webhook's https address")
    if notify.secret is None:
        return Hook(url, b"")
    secret = credential("approval.notify", notify.secret.env, environ)
    try:
        key = base64.b64decode(secret.removeprefix(SECRET_PREFIX), validate=True)
    except binascii.Error:
        key = b""
    if not secret.startswith(SECRET_PREFIX) or len(key) < SHORTEST_KEY:
        raise CredentialMissing(
            f"the value of {notify.secret.env} is no secret of a webhook",
            f"it is {SECRET_PREFIX} and the base64 of at least {SHORTEST_KEY} random bytes:\n"
            f'echo "{SECRET_PREFIX}$(openssl rand -base64 32)"',
        )
    return Hook(url, key)


def headers(key: bytes, name: str, timestamp: int, body: bytes) -> dict[str, str]:
    """The headers of the message ``name``; the signature is left out when there is no key."""
    sent = {"Content-Type": "application/json", "webhook-id": name, "webhook-timestamp": str(timestamp)}
    if key:
        code = hmac.new(key, f"{name}.{timestamp}.".encode() + body, hashlib.sha256).digest()
        sent["webhook-signature"] = f"v1,{base64.b64encode(code).decode()}"
    return sent


@dataclass(frozen=True, slots=True)
class _Message:
    approval: str
    about: NotifiedOf
    name: str
    body: bytes


class Webhook:
    """The webhook of one session; see :class:`~ciguard.approvals.watcher.Watcher`.

    One message is under way at a time, so that they arrive in order. Each is recorded with what came of it, and
    ``tell`` is told of the first that did not arrive.
    """

    def __init__(self, hook: Hook, asker: Asker, recorder: Recorder, tell: Callable[[Notice], None]) -> None:
        self._hook = hook
        self._asker = asker
        self._recorder = recorder
        self._tell = tell
        self._told = False
        self._waiting: asyncio.Queue[_Message] = asyncio.Queue(MOST_WAITING)
        self._worker: asyncio.Task[None] | None = None

    def asked(self, asked: Asked, url: str) -> None:
        """See Watcher."""
        from ciguard.report.notification import of_request

        self._send(asked, "request", of_request(asked, self._asker, url))

    def decided(self, asked: Asked, decided: Decided, url: str) -> None:
        """See Watcher."""
        from ciguard.report.notification import of_verdict

        self._send(asked, "verdict", of_verdict(asked, self._asker, decided, url))

    async def close(self) -> None:
        """Send what waits, for a while, and record what was not sent. Raises RecordingFailed."""
        if self._worker is None:
            return
        sent = asyncio.create_task(self._waiting.join())
        await asyncio.wait({sent, self._worker}, timeout=CLOSING, return_when=asyncio.FIRST_COMPLETED)
        for task in (sent, self._worker):
            task.cancel()
        for ended in await asyncio.gather(sent, self._worker, return_exceptions=True):
            if ended is not None and not isinstance(ended, asyncio.CancelledError):
                raise ended
        while not self._waiting.empty():
            self._record(self._waiting.get_nowait(), 0, "the session ended before it was sent")

    def _send(self, asked: Asked, about: NotifiedOf, body: bytes) -> None:
        message = _Message(asked.request.id, about, f"{asked.request.reference}.{about}", body)
        try:
            self._waiting.put_nowait(message)
        except asyncio.QueueFull:
            self._record(message, 0, f"{MOST_WAITING} messages wait already")
            return
        if self._worker is None:
            self._worker = asyncio.create_task(self._work())

    async def _work(self) -> None:
        import aiohttp

        async with aiohttp.ClientSession(
            timeout=aiohttp.ClientTimeout(total=TIMEOUT),
            cookie_jar=aiohttp.DummyCookieJar(),
            connector=aiohttp.TCPConnector(ssl=trusted()),
        ) as client:
            while True:
                message = await self._waiting.get()
                status, reason = 0, "the session ended before it was answered"
                try:
                    status, reason = await self._sent(client, message)
                finally:
                    self._record(message, status, reason)
                    self._waiting.task_done()

    async def _sent(self, client: aiohttp.ClientSession, message: _Message) -> tuple[int, str]:
        """The status of the answer, 0 without one, and why the message did not arrive; its body is not read."""
        import aiohttp

        sent = headers(self._hook.key, message.name, int(time.time()), message.body)
        try:
            async with client.post(self._hook.url, data=message.body, headers=sent, allow_redirects=False) as answer:
                match answer.status // 100:
                    case 2:
                        return answer.status, ""
                    case 3:
                        return answer.status, "it answered with a redirect, which is not followed"
                    case _:
                        return answer.status, f"it answered with status {answer.status}"
        except TimeoutError:
            return 0, f"it did not answer within {TIMEOUT:g} seconds"
        except (aiohttp.ClientError, OSError) as error:
            # Its text may name the address, which is a secret.
            return 0, f"it cannot be reached: {type(error).__name__}"

    def _record(self, message: _Message, status: int, reason: str) -> None:
        self._recorder.record(Notified(approval=message.approval, about=message.about, status=status, reason=reason))
        if reason and not self._told:
            self._told = True
            self._tell(Notice(NoticeKind.NOT_NOTIFIED, "the webhook of approval.notify", (), reason))
