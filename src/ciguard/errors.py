"""Every error that a person can meet: an exit code, the cause in one line, and what to do about it.

The codes follow the BSD ``sysexits.h`` convention, so that they stay apart from the small codes most agents use. 79,
which nothing there means, is for what is no failure.
"""

from __future__ import annotations

from typing import ClassVar


class CiguardError(Exception):
    """Base of all errors that end a command; printed as ``error: cause`` and ``help: remedy``, never as a traceback."""

    exit_code: ClassVar[int] = 70

    def __init__(self, cause: str, remedy: str) -> None:
        super().__init__(cause)
        self.cause = cause
        self.remedy = remedy

    @property
    def told(self) -> str:
        """What people read: the cause and the remedy, without a newline at the end."""
        return f"error: {self.cause}\nhelp: {self.remedy}"


class UsageError(CiguardError):
    """The command line asks for something that does not exist or does not fit together."""

    exit_code = 64


class SessionDamaged(CiguardError):
    """A session directory does not verify."""

    exit_code = 65


class IsolationUnavailable(CiguardError):
    """The machine does not offer the isolation level that the policy requires."""

    exit_code = 69


class GuardFailure(CiguardError):
    """The guard itself failed; the agent was cut off."""

    exit_code = 70


class CredentialMissing(CiguardError):
    """A connection's upstream credential could not be had."""

    exit_code = 71


class RecordingFailed(CiguardError):
    """The session log cannot be written; nothing more is forwarded."""

    exit_code = 74


class ApprovalUnavailable(CiguardError):
    """The policy lets humans release what is held, and the forge cannot be used for asking them."""

    exit_code = 75


class SessionStopped(CiguardError):
    """The guard ended the session: too many refusals in a row."""

    exit_code = 76


class IdentityRefused(CiguardError):
    """The job's identity is missing, invalid, or not allowed by the policy."""

    exit_code = 77


class PolicyError(CiguardError):
    """The policy cannot be used.

    ``file`` is the label of the document, ``line`` and ``column`` count from 1; 0 means that the error has no place.
    """

    exit_code = 78

    def __init__(self, cause: str, remedy: str, *, file: str, line: int = 0, column: int = 0) -> None:
        place = f"{file}:{line}:{column}" if line else file
        super().__init__(f"{place}: {cause}", remedy)
        self.file = file
        self.line = line
        self.column = column


class ApprovalAwaited(CiguardError):
    """The session ended because something in it waits for people, who decide after it."""

    exit_code = 79


class CommandNotExecutable(CiguardError):
    """The command to guard cannot be executed; the code is the one that shells use."""

    exit_code = 126


class CommandNotFound(CiguardError):
    """The command to guard does not exist; the code is the one that shells use."""

    exit_code = 127
