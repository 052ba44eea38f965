"""The originals of masked values: encrypted to the auditors when they are masked, opened by an auditor afterwards.

``sealed/originals`` has one line for each masked value, in the order of the log's ``original`` events: base64 of an
age file (https://age-encryption.org/v1) for all recipients. In it is a JSON object with the ``placeholder``, the
``value`` and a ``salt``. The event carries the commitment: the SHA-256 of the salt and the value. So the log, which
anybody may read, does not help to guess a value, and an opened value is proven to be the one that was masked.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import secrets
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ciguard.errors import SessionDamaged, UsageError
from ciguard.inspect.placeholder import PLACEHOLDER
from ciguard.session.container import UnreadableError, read_file
from ciguard.session.event import EventType, Original
from ciguard.session.recorder import Recorder

if TYPE_CHECKING:
    import pyrage

    from ciguard.session.reading import Session

ORIGINALS = "sealed/originals"

MAX_ORIGINALS_BYTES = 256 * 1024 * 1024
"""A file of originals larger than this is not read."""

_SALT_BYTES = 32

Encrypt = Callable[[bytes], bytes]


def encryption(recipients: Sequence[str]) -> Encrypt:
    """What encrypts to all of ``recipients``: ``age1...`` or SSH public keys (ssh-ed25519, ssh-rsa).

    Raises :class:`UsageError` for one that nothing can be encrypted to, also for an account: a policy pins keys.
    """
    import pyrage

    ready = []
    for recipient in recipients:
        if recipient.startswith("github:"):
            raise UsageError(
                f"audit.recipients names the account {recipient}, whose keys can change, and a policy pins keys",
                "run ciguard policy check: it prints the account's keys as lines to write instead",
            )
        kind = pyrage.x25519 if recipient.startswith("age1") else pyrage.ssh
        try:
            ready.append(kind.Recipient.from_str(recipient))
        except pyrage.RecipientError:
            raise UsageError(
                f"nothing can be encrypted to the recipient {recipient[:40]}...",
                "correct it in audit.recipients: an age1... recipient, or an ssh-ed25519 or ssh-rsa public key",
            ) from None
    return lambda data: pyrage.encrypt(data, ready)


class Originals:
    """Seals each value when it is masked for the first time; values in ``never`` are nobody's to open."""

    def __init__(self, encrypt: Encrypt, recorder: Recorder, never: Collection[str]) -> None:
        self._encrypt = encrypt
        self._recorder = recorder
        self._never = frozenset(never)

    def seal(self, placeholder: str, value: str) -> None:
        """Write ``value``, encrypted, and the event that commits to it. Raises ``RecordingFailed``."""
        if value in self._never:
            return
        salt = secrets.token_bytes(_SALT_BYTES)
        content = json.dumps({"placeholder": placeholder, "value": value, "salt": salt.hex()})
        self._recorder.append_original(base64.b64encode(self._encrypt(content.encode())))
        self._recorder.record(Original(placeholder=placeholder, commitment=commitment(salt, value)))


def commitment(salt: bytes, value: str) -> str:
    """The SHA-256 in hex of ``salt`` and ``value``."""
    return hashlib.sha256(salt + value.encode("utf-8", "surrogatepass")).hexdigest()


@dataclass(frozen=True, slots=True)
class Opened:
    """The originals of a session by placeholder."""

    values: Mapping[str, str] = field(repr=False)


def open_originals(session: Session, identity: bytes) -> Opened:
    """The originals of ``session``, opened with the private key in ``identity``: an age or an SSH key.

    Raises :class:`UsageError` for a key that opens nothing here, and :class:`SessionDamaged` when an original is not
    the value that was masked, or is missing.
    """
    committed = [event for event in session.events if event["type"] == EventType.ORIGINAL]
    if not committed:
        raise UsageError(
            "this session has no originals: its policy had no audit.recipients, or nothing was masked",
            "name the auditors' public keys in audit.recipients before a session",
        )
    key = _identity(identity)
    lines = _lines(session)
    if len(lines) < len(committed):
        raise SessionDamaged(f"{ORIGINALS} has {len(lines)} of {len(committed)} originals", _REMEDY)
    values: dict[str, str] = {}
    for event, line in zip(committed, lines, strict=False):
        content = _opened(line, key)
        placeholder, value, salt = content.get("placeholder"), content.get("value"), content.get("salt")
        if not (isinstance(placeholder, str) and isinstance(value, str) and isinstance(salt, str)):
            raise SessionDamaged(f"the original of {event['placeholder']} is not in order", _REMEDY)
        if placeholder != event["placeholder"] or commitment(_bytes(salt), value) != event["commitment"]:
            raise SessionDamaged(f"the original of {event['placeholder']} is not the value that was masked", _REMEDY)
        values[placeholder] = value
    return Opened(values)


_REMEDY = "download the session again; if it still does not hold, do not rely on its originals"


def _bytes(text: str) -> bytes:
    try:
        return bytes.fromhex(text)
    except ValueError:
        return b""


def _identity(text: bytes) -> pyrage.x25519.Identity | pyrage.ssh.Identity:
    import pyrage

    try:
        for line in text.splitlines():
            if line.startswith(b"AGE-SECRET-KEY-"):
                return pyrage.x25519.Identity.from_str(line.decode().strip())
        return pyrage.ssh.Identity.from_buffer(text)
    except (pyrage.IdentityError, UnicodeDecodeError, ValueError):
        raise UsageError(
            "the identity is no private key that can open originals",
            "give an age identity, or an SSH private key (ed25519 or rsa) without a passphrase: "
            "ssh-keygen -p takes it off a copy",
        ) from None


def _lines(session: Session) -> list[bytes]:
    try:
        return read_file(session.directory, ORIGINALS, MAX_ORIGINALS_BYTES).splitlines()
    except FileNotFoundError:
        raise SessionDamaged(f"{ORIGINALS} is missing", _REMEDY) from None
    except UnreadableError as error:
        raise SessionDamaged(str(error), _REMEDY) from None


def _opened(line: bytes, key: pyrage.x25519.Identity | pyrage.ssh.Identity) -> dict[str, Any]:
    import pyrage

    try:
        content = json.loads(pyrage.decrypt(base64.b64decode(line, validate=True), [key]))
    except pyrage.DecryptError as error:
        if "No matching keys" in str(error):
            raise UsageError(
                "this key is none of those that the originals were encrypted to",
                "use the private key of one of the policy's audit.recipients",
            ) from None
        raise SessionDamaged(f"a line of {ORIGINALS} cannot be decrypted", _REMEDY) from None
    except (binascii.Error, ValueError, RecursionError):
        raise SessionDamaged(f"a line of {ORIGINALS} is not an original", _REMEDY) from None
    return content if isinstance(content, dict) else {}


def in_place(text: str, opened: Opened) -> str:
    """``text`` with each placeholder replaced by its original."""
    return PLACEHOLDER.sub(lambda match: opened.values.get(match.group(), match.group()), text)
