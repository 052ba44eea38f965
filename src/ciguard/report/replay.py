"""When each entry of a session is due while it is replayed: a clock that can be paused, without any clock in it.

Theory of operation. A player stands at a moment of the session. While it plays, that moment moves on with the time
that the caller gives, times the speed; while it is paused it stands still. ``next`` says what to do now: show the entry
that is due, wait, or stop. Keys change how it goes on: nothing else does. All times are in seconds.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import TypeAlias


@dataclass(frozen=True, slots=True)
class Show:
    """Show the entry with this number, counted from 0."""

    number: int


@dataclass(frozen=True, slots=True)
class Wait:
    """Nothing is due for so many seconds; None: until a key is pressed."""

    seconds: float | None


@dataclass(frozen=True, slots=True)
class Stop:
    """There is nothing more to show, or the reader wants no more."""


Turn: TypeAlias = Show | Wait | Stop

PAUSE, STEP, QUIT = " ", "s", "q"
"""The keys: pause and go on; show the next entry now and pause; stop."""


class Player:
    """Plays entries that happened at ``moments``, ``speed`` times as fast, from ``now`` on."""

    def __init__(self, moments: Sequence[float], speed: float, now: float) -> None:
        # Clocks may go back; the order of the log is that of what happened.
        self._moments = tuple(accumulate(moments, max))
        self._speed = speed
        self._since = now
        self._position = self._moments[0] if self._moments else 0.0
        self._next = 0
        self._playing = True
        self._stopped = False

    def next(self, now: float) -> Turn:
        """What to do at ``now``."""
        if self._stopped or self._next == len(self._moments):
            return Stop()
        left = self._moments[self._next] - self._at(now)
        if left <= 0:
            self._next += 1
            return Show(self._next - 1)
        return Wait(left / self._speed if self._playing else None)

    def press(self, key: str, now: float) -> None:
        """Take a key that was pressed at ``now``; other keys than those above mean nothing."""
        match key:
            case " ":
                self._stand(self._at(now), now)
                self._playing = not self._playing
            case "s" if self._next < len(self._moments):
                self._playing = False
                self._stand(self._moments[self._next], now)
            case "q":
                self._stopped = True

    def _at(self, now: float) -> float:
        return self._position + (now - self._since) * self._speed if self._playing else self._position

    def _stand(self, moment: float, now: float) -> None:
        self._position = moment
        self._since = now
