from __future__ import annotations

from collections.abc import Iterator

from hypothesis import given
from hypothesis import strategies as st

from ciguard.report.replay import PAUSE, QUIT, STEP, Player, Show, Stop, Turn, Wait


def test_entries_come_in_their_own_time() -> None:
    player = Player([100.0, 102.0, 102.0, 110.0], 2, now=0)
    assert player.next(0) == Show(0)
    assert player.next(0) == Wait(1.0)
    assert player.next(0.5) == Wait(0.5)
    assert player.next(1) == Show(1)
    assert player.next(1) == Show(2)
    assert player.next(1) == Wait(4.0)
    assert player.next(5) == Show(3)
    assert player.next(5) == Stop()


def test_a_pause_takes_no_time_of_the_session() -> None:
    player = Player([0.0, 10.0], 1, now=0)
    assert player.next(0) == Show(0)
    player.press(PAUSE, 4)
    assert player.next(4) == Wait(None)
    assert player.next(1000) == Wait(None)
    player.press(PAUSE, 1000)
    assert player.next(1000) == Wait(6.0)
    assert player.next(1006) == Show(1)


def test_a_step_shows_the_next_entry_and_stays_there() -> None:
    player = Player([0.0, 10.0, 20.0], 1, now=0)
    assert player.next(0) == Show(0)
    player.press(STEP, 1)
    assert player.next(1) == Show(1)
    assert player.next(50) == Wait(None)
    player.press(PAUSE, 50)
    assert player.next(50) == Wait(10.0)


def test_a_step_at_the_end_changes_nothing() -> None:
    player = Player([0.0], 1, now=0)
    assert player.next(0) == Show(0)
    player.press(STEP, 0)
    assert player.next(0) == Stop()


def test_quitting_and_other_keys() -> None:
    player = Player([0.0, 1.0], 1, now=0)
    player.press("x", 0)
    assert player.next(0) == Show(0)
    player.press(QUIT, 0)
    assert player.next(100) == Stop()


def test_a_clock_that_went_back_holds_nothing_up() -> None:
    assert list(waits([5.0, 1.0, 6.0])) == [1.0]
    player = Player([5.0, 1.0, 6.0], 1, now=0)
    assert player.next(0) == Show(0)
    player.press(STEP, 0)
    assert player.next(0) == Show(1)
    player.press(PAUSE, 0)
    assert player.next(0) == Wait(1.0)


def waits(moments: list[float]) -> Iterator[float]:
    """What is waited for between the entries, all together in order."""
    player, now = Player(moments, 1, now=0), 0.0
    while True:
        turn: Turn = player.next(now)
        match turn:
            case Wait(float(seconds)):
                yield seconds
                now += seconds
            case Stop():
                return


@given(st.lists(st.integers(0, 1000), max_size=20), st.text(PAUSE + STEP + "x", max_size=20))
def test_every_entry_is_shown_once_in_order(moments: list[int], keys: str) -> None:
    player, now, shown = Player([float(one) for one in moments], 4, now=0), 0.0, []
    pressed = iter(keys)
    while True:
        match player.next(now):
            case Show(number):
                shown.append(number)
            case Wait(None):
                player.press(PAUSE, now)
            case Wait(float(seconds)):
                key = next(pressed, "")
                player.press(key, now)
                now += 0 if key else seconds
            case Stop():
                break
    assert shown == list(range(len(moments)))
