import threading
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pyrt.venues.alpaca.budget import LATE, PATIENCE, WINDOW, Budget, Purpose

SECOND = 1_000_000_000


class Clock:
    def __init__(self) -> None:
        self.now = 0

    def __call__(self) -> int:
        return self.now


def fresh(limit: int, clock: Clock) -> Budget:
    """A budget whose start-up half is over."""
    budget = Budget(limit, clock)
    clock.now += WINDOW
    return budget


def take(budget: Budget, purpose: Purpose, clock: Clock, most: int = 10_000) -> int:
    """How many requests go through at this instant."""
    count = 0
    while count < most and budget.acquire(purpose, clock.now):
        count += 1
    return count


def test_half_is_spent_at_the_start_until_the_venue_tells() -> None:
    clock = Clock()
    budget = Budget(200, clock)
    assert budget.spent() == 100
    assert take(budget, Purpose.SNAPSHOT, clock) == 20
    budget.learn({"X-RateLimit-Limit": "200", "X-RateLimit-Remaining": "180"})
    assert budget.spent() == 20
    clock.now += WINDOW + LATE
    assert budget.spent() == 0


def test_shares_cancels_last() -> None:
    clock = Clock()
    budget = fresh(200, clock)
    assert take(budget, Purpose.SNAPSHOT, clock) == 120
    assert take(budget, Purpose.ORDER, clock) == 40
    assert take(budget, Purpose.LOOKUP, clock) == 20
    assert take(budget, Purpose.CANCEL, clock) == 20
    assert take(budget, Purpose.CANCEL, clock) == 0


def test_a_snapshot_that_orders_keep_out_gets_the_room_of_a_look_up() -> None:
    """An account that trades all the time would else never be compared with the venue."""
    clock = Clock()
    budget = fresh(200, clock)
    assert take(budget, Purpose.ORDER, clock) == 160
    asked = clock.now
    assert not budget.acquire(Purpose.SNAPSHOT, clock.now, since=asked)
    clock.now += PATIENCE - 1
    assert not budget.acquire(Purpose.SNAPSHOT, clock.now, since=asked)
    clock.now += 1
    assert not budget.acquire(Purpose.SNAPSHOT, clock.now)  # another one, which is asked for now
    assert sum(budget.acquire(Purpose.SNAPSHOT, clock.now, since=asked) for _ in range(30)) == 20
    assert take(budget, Purpose.CANCEL, clock) == 20


def test_what_others_spend_counts() -> None:
    clock = Clock()
    budget = fresh(200, clock)
    assert take(budget, Purpose.ORDER, clock, 10) == 10
    budget.learn({"X-RateLimit-Limit": "200", "X-RateLimit-Remaining": "50"})
    assert budget.spent() == 150
    assert take(budget, Purpose.ORDER, clock) == 10
    assert take(budget, Purpose.CANCEL, clock) == 40


def test_what_a_start_asked_stays_ours_when_later_requests_never_reach_the_venue() -> None:
    """The venue counts three, of which a start sent two; what gets lost after that takes nothing off them."""
    clock = Clock()
    budget = fresh(10, clock)
    budget.note(2)
    assert take(budget, Purpose.CANCEL, clock, 3) == 3  # two of them get lost
    budget.learn({"X-RateLimit-Limit": "10", "X-RateLimit-Remaining": "7"})
    assert budget.spent() == 5
    assert take(budget, Purpose.CANCEL, clock) == 5


@pytest.mark.parametrize("headers", [{}, {"X-RateLimit-Limit": "0"}, {"X-RateLimit-Limit": "many"}, {"X-RateLimit-Limit": "-5"}])
def test_headers_that_tell_nothing_change_nothing(headers: dict[str, str]) -> None:
    clock = Clock()
    budget = Budget(200, clock)
    budget.learn(headers)
    assert (budget.limit, budget.spent()) == (200, 100)


def test_a_429_stops_all_but_cancels_until_its_end() -> None:
    clock = Clock()
    budget = fresh(200, clock)
    budget.block(clock.now + 5 * SECOND)
    budget.block(clock.now + 1 * SECOND)  # an earlier end does not shorten it
    for purpose in (Purpose.ORDER, Purpose.LOOKUP, Purpose.SNAPSHOT):
        assert not budget.acquire(purpose, clock.now)
    assert budget.acquire(Purpose.CANCEL, clock.now)
    clock.now += 5 * SECOND
    assert budget.acquire(Purpose.ORDER, clock.now)


@pytest.mark.row("S064")
@given(
    limit=st.integers(1, 40),
    steps=st.lists(
        st.tuples(st.integers(0, 20 * SECOND), st.sampled_from(list(Purpose)), st.integers(1, 30), st.integers(0, LATE)),
        max_size=60,
    ),
)
@settings(max_examples=150)
def test_no_window_of_a_minute_holds_more_than_the_limit(limit: int, steps: list[tuple[int, Purpose, int, int]]) -> None:
    clock = Clock()
    budget = Budget(limit, clock)
    sent: list[tuple[int, Purpose]] = []
    for wait, purpose, wanted, late in steps:
        clock.now += wait
        sent += [(clock.now + late, purpose)] * take(budget, purpose, clock, wanted)  # the first byte leaves later
    for end, _ in sent:
        window = [purpose for at, purpose in sent if end - WINDOW < at <= end]
        assert len(window) <= limit
        orders = [purpose for purpose in window if purpose is Purpose.ORDER]
        assert len(orders) <= max(1, limit * 8 // 10)


def test_what_left_late_is_counted_until_the_venue_forgets_it() -> None:
    """A place is taken before the connection is made: the first byte may leave, and count at the venue, a second later."""
    clock = Clock()
    budget = fresh(60, clock)
    assert take(budget, Purpose.CANCEL, clock) == 60
    clock.now += WINDOW + LATE - 1
    assert take(budget, Purpose.CANCEL, clock) == 0
    clock.now += 1
    assert take(budget, Purpose.CANCEL, clock) == 60


@given(limit=st.integers(2, 40), others=st.integers(0, 40), sent=st.integers(0, 40))
@settings(max_examples=200)
def test_the_waiting_time_is_exact(limit: int, others: int, sent: int) -> None:
    """A request that finds no room goes through at the instant that was computed, and not a nanosecond before."""
    clock = Clock()
    budget = fresh(limit, clock)
    for _ in range(sent):
        take(budget, Purpose.CANCEL, clock, 1)
        clock.now += SECOND
    budget.learn({"X-RateLimit-Limit": str(limit), "X-RateLimit-Remaining": str(max(limit - others, 0))})
    with budget._changed:
        at = budget._room_at(Purpose.ORDER, clock.now)
    if at <= clock.now:
        assert budget.acquire(Purpose.ORDER, clock.now)
        return
    clock.now = at - 1
    assert not budget.acquire(Purpose.ORDER, clock.now)
    clock.now = at
    assert budget.acquire(Purpose.ORDER, clock.now)


def test_a_waiter_wakes_when_the_venue_names_a_higher_limit_and_when_it_ends() -> None:
    budget = Budget(2, time.monotonic_ns)
    results: list[bool] = []

    def wait() -> None:
        results.append(budget.acquire(Purpose.ORDER, time.monotonic_ns() + 30 * SECOND))

    thread = threading.Thread(target=wait)
    thread.start()
    budget.learn({"X-RateLimit-Limit": "200", "X-RateLimit-Remaining": "200"})
    thread.join(30)
    assert results == [True]
    budget.learn({"X-RateLimit-Limit": "1", "X-RateLimit-Remaining": "0"})
    thread = threading.Thread(target=wait)
    thread.start()
    budget.close()
    thread.join(30)
    assert results == [True, False]


def test_no_limit() -> None:
    clock = Clock()
    assert take(Budget(0, clock), Purpose.ORDER, clock, 1000) == 1000


DATE = "Mon, 02 Mar 2026 15:04:06 GMT"  # 1772463846


@pytest.mark.parametrize(
    ("more", "seconds"),
    [
        ({"Date": DATE, "X-RateLimit-Reset": "1772463851"}, 6),  # both are whole seconds: one more
        ({"Date": DATE, "X-RateLimit-Reset": "1772463906"}, 60),
        ({"Date": DATE, "X-RateLimit-Reset": "1772464000"}, 60),  # further than a window: not believed
        ({"Date": DATE, "X-RateLimit-Reset": "1772463800"}, 60),  # over already: not believed
        ({"Date": "yesterday", "X-RateLimit-Reset": "1772463851"}, 60),
        ({"X-RateLimit-Reset": "1772463851"}, 60),
        ({"Date": DATE}, 60),
    ],
)
def test_what_others_spent_is_given_back_when_the_venues_window_ends(more: dict[str, str], seconds: int) -> None:
    clock = Clock()
    budget = fresh(200, clock)
    budget.learn({"X-RateLimit-Limit": "200", "X-RateLimit-Remaining": "0", **more})
    clock.now += seconds * SECOND - 1
    assert take(budget, Purpose.CANCEL, clock) == 0
    clock.now += 1
    assert take(budget, Purpose.CANCEL, clock) == 200
