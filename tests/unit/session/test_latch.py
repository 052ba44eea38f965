from __future__ import annotations

import errno

import pytest

from ciguard.errors import RecordingFailed
from ciguard.session.latch import Latch


@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, "No space left on device"), ValueError("too large")])
def test_a_failure_closes_it_for_good(error: Exception) -> None:
    latch = Latch()
    with pytest.raises(RecordingFailed) as first, latch:
        raise error
    assert "cannot be recorded" in first.value.cause
    with pytest.raises(RecordingFailed) as second, latch:
        pytest.fail("entered")
    assert second.value.cause == first.value.cause


def test_an_interruption_passes_and_closes_it_too() -> None:
    latch = Latch()
    with pytest.raises(KeyboardInterrupt), latch:
        raise KeyboardInterrupt
    with pytest.raises(RecordingFailed, match="KeyboardInterrupt"), latch:
        pytest.fail("entered")


def test_the_first_cause_stays() -> None:
    latch = Latch()
    latch.shut("finished")
    latch.shut("something else")
    with pytest.raises(RecordingFailed, match="finished"), latch:
        pytest.fail("entered")


def test_it_opens_as_long_as_nothing_fails() -> None:
    latch = Latch()
    entered = 0
    for _ in range(2):
        with latch, latch:
            entered += 1
    assert entered == 2
