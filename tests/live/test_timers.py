"""Timers on two clocks: due in order, moved, removed, and never piling up."""

import random

from pyrt._core.types import Clock
from pyrt.clock import Now
from pyrt.live.timers import Timers
from pyrt.ports import SetTimer


def put(timers: Timers, key: str, at: int, clock: Clock = Clock.VENUE) -> None:
    timers.set(SetTimer(key=key, at=at, clock=clock))


def due(timers: Timers, venue: int, mono: int = 0) -> list[tuple[str, int]]:
    fired = []
    while (timer := timers.pop(Now(venue, mono))) is not None:
        fired.append((timer.key, timer.at))
    return fired


def test_due_in_the_order_of_their_time_and_of_their_setting() -> None:
    timers = Timers()
    put(timers, "c", 30)
    put(timers, "a", 10)
    put(timers, "b", 20)
    put(timers, "b2", 20)
    assert due(timers, 9) == []
    assert due(timers, 20) == [("a", 10), ("b", 20), ("b2", 20)]
    assert timers.next(Clock.VENUE) == 30
    assert due(timers, 30) == [("c", 30)]
    assert timers.next(Clock.VENUE) is None


def test_the_same_key_moves_and_zero_removes() -> None:
    timers = Timers()
    put(timers, "a", 10)
    put(timers, "a", 50)
    put(timers, "b", 20)
    put(timers, "b", 0)
    put(timers, "never", 0)
    assert due(timers, 49) == []
    put(timers, "a", 5)
    assert due(timers, 49) == [("a", 5)]
    assert due(timers, 99) == []


def test_a_key_that_changes_its_clock_fires_once_on_the_new_one() -> None:
    timers = Timers()
    put(timers, "a", 10, Clock.VENUE)
    put(timers, "a", 500, Clock.MONO)
    assert due(timers, 10**9, 499) == []
    assert due(timers, 10**9, 500) == [("a", 500)]


def test_a_timer_set_anew_while_it_fires_is_due_again() -> None:
    timers = Timers()
    put(timers, "a", 10)
    assert timers.pop(Now(10, 0)) is not None
    put(timers, "a", 10)
    assert due(timers, 10) == [("a", 10)]


def test_a_key_that_moves_for_ever_takes_no_room() -> None:
    timers = Timers()
    for at in range(10_000, 20_000):
        put(timers, "moves", at)
        put(timers, "stays", 10**9)
    assert sum(len(heap) for heap in timers._heaps.values()) < 200
    assert due(timers, 10**9) == [("moves", 19_999), ("stays", 10**9)]


def test_against_a_dictionary() -> None:
    rng = random.Random(7)
    timers, oracle = Timers(), {}
    now = 0
    for _ in range(20_000):
        key = f"k{rng.randrange(40)}"
        at = 0 if rng.random() < 0.2 else now + rng.randrange(1, 100)
        put(timers, key, at)
        oracle.pop(key, None)
        if at:
            oracle[key] = at
        if rng.random() < 0.3:
            now += rng.randrange(30)
            fired = due(timers, now)
            expected = {k: t for k, t in oracle.items() if t <= now}
            assert dict(fired) == expected
            assert [t for _, t in fired] == sorted(t for _, t in fired)
            for key in expected:
                del oracle[key]
