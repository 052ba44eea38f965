"""The record of calls that are turned away before they are operations."""

from __future__ import annotations

from ciguard.inspect.masking import Masker
from ciguard.session.event import Refused
from ciguard.session.recorder import Recorder

MOST_REFUSED_CALLS = 1000
"""Calls turned away that are recorded one by one; a job that makes more is flooding the log."""


class RefusedCalls:
    """Records refused calls of one server, up to a limit that the last record names."""

    def __init__(self, recorder: Recorder, masker: Masker) -> None:
        self._recorder = recorder
        self._masker = masker
        self._count = 0

    def record(self, status: int, message: str, *, connection: str = "", method: str = "", path: str = "") -> None:
        """Put one into the log. Raises ``RecordingFailed``."""
        self._count += 1
        if self._count <= MOST_REFUSED_CALLS:
            last = self._count == MOST_REFUSED_CALLS
            self._recorder.record(
                Refused(
                    reason=f"{message}; further calls that are turned away are not recorded" if last else message,
                    connection=connection,
                    method=self._masker.mask(method).text[:20],
                    path=self._masker.mask(path).text[:200],
                    status=status,
                )
            )
