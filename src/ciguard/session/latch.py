"""Once recording has failed it stays failed: nothing may pass that is not recorded (threat O4)."""

from __future__ import annotations

from types import TracebackType

from ciguard.errors import RecordingFailed

_REMEDY = "free disk space or give a session directory that stays writable, then run the job again"


class Latch:
    """A context for every write of one session; the first failure inside it closes it for good.

    An ``OSError`` or ``ValueError`` leaves it as ``RecordingFailed``, and entering it afterwards raises that too.
    Any other exception passes through unchanged, but closes it as well: the write it interrupted may be half done.
    """

    def __init__(self) -> None:
        self._cause = ""

    def shut(self, cause: str) -> None:
        """Refuse everything from now on because of ``cause``, unless there is a cause already."""
        self._cause = self._cause or cause

    def check(self) -> None:
        """Raise ``RecordingFailed`` if it is shut."""
        if self._cause:
            raise RecordingFailed(self._cause, _REMEDY)

    def fail(self, error: BaseException) -> None:
        """``error`` came of what was tried: see the class."""
        if isinstance(error, RecordingFailed):
            self.shut(error.cause)
            return
        what = error.strerror if isinstance(error, OSError) else str(error)
        self._cause = f"the session cannot be recorded: {what or type(error).__name__}"
        if isinstance(error, OSError | ValueError):
            raise RecordingFailed(self._cause, _REMEDY) from error

    def __enter__(self) -> None:
        if self._cause:
            self.check()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is not None:
            self.fail(error)
