"""The silence rule against arrivals by chance: thin streams are left alone, busy ones that fall silent are found soon."""

from itertools import pairwise

import numpy as np
import pytest

from pyrt.venues.alpaca import silence
from pyrt.venues.alpaca.silence import Silence

STEP, LONGEST = 0.5, 30.0
DAY = 23_400.0  # s of a session of the exchange


def alarms(rule: Silence, arrivals: np.ndarray, begin: float, end: float) -> list[float]:
    """Instants at which the rule calls a stream dead; each time a new connection begins, which carries what comes after it."""
    looks = np.arange(begin, end, STEP)
    seen = np.searchsorted(arrivals, looks)
    told, before = [], 0
    rule.begin(begin)
    for now, count in zip(looks.tolist(), seen.tolist(), strict=True):
        if rule.look(now, count - before, True):
            told.append(now)
            rule.begin(now)
            before = count
    return told


def poisson(rng: np.random.Generator, rate: float, until: float) -> np.ndarray:
    return np.cumsum(rng.exponential(1 / rate, int(until * rate * 1.2) + 50))


@pytest.mark.row("S024")
@pytest.mark.parametrize("rate", [0.7, 1.5, 3.0, 6.0, 20.0])
def test_a_day_of_chance_is_no_fault(rate: float) -> None:
    """P(an alarm) <= gaps * e**-20, 9e-4 at 20 a second; below 2/3 a second e**(-30 rate) a gap, as the bound is 30 s at most."""
    gaps = DAY * rate
    assert gaps * np.exp(-min(silence.NATS, LONGEST * rate)) < 1e-3 or rate < 1
    arrivals = poisson(np.random.default_rng(int(rate * 10)), rate, DAY)
    assert alarms(Silence(LONGEST, STEP), arrivals, 0.0, DAY) == []


@pytest.mark.row("S024")
@pytest.mark.parametrize(("rate", "flow"), [(6.0, 60.0), (6.0, 600.0), (20.0, 5.0), (20.0, 600.0), (200.0, 5.0)])
def test_a_busy_stream_that_falls_silent_is_found_within_five_seconds(rate: float, flow: float) -> None:
    for seed in range(20):
        arrivals = poisson(np.random.default_rng(seed), rate, flow)
        last = arrivals[arrivals < flow][-1]
        found = alarms(Silence(LONGEST, STEP), arrivals[arrivals < flow], 0.0, flow + 20)
        assert len(found) == 1, "after a silence nothing is expected until something comes"
        assert silence.QUICKEST <= found[0] - last <= 5.0


@pytest.mark.row("S024")
def test_drills_one_after_the_other_are_all_found_within_five_seconds() -> None:
    """A connection that carries data at once shows that the one before was dead: what was known stays known."""
    rng, rule, now, alarm = np.random.default_rng(3), Silence(LONGEST, STEP), 0.0, 0.0
    for drill in range(30):
        flow = 10.0 if drill == 0 else 2.0
        arrivals = now + poisson(rng, 20.0, flow)
        arrivals = arrivals[arrivals < now + flow]
        [alarm] = alarms(rule, arrivals, now, now + flow + 8)
        assert alarm - arrivals[-1] <= 5.0, drill
        now = alarm


def test_a_market_that_goes_quiet_costs_one_reconnection_and_not_one_every_few_seconds() -> None:
    rng = np.random.default_rng(4)
    busy = poisson(rng, 30.0, 300.0)
    busy = busy[busy < 300]
    thin = 300 + poisson(rng, 0.2, 3000.0)
    found = alarms(Silence(LONGEST, STEP), np.concatenate([busy, thin]), 0.0, 3300.0)
    early = [b - a for a, b in pairwise(found) if b - a < LONGEST / 2]
    assert len(found) <= 8  # 0.2 a second: a gap of 30 s has probability e**-6
    assert not early


def test_bursts_with_pauses_are_no_fault() -> None:
    """A hundred frames at once, every five seconds: the rate is twenty a second, and five seconds of silence are usual."""
    bursts = np.sort(np.concatenate([np.arange(1.0, 2000.0, 5.0) + n * 1e-3 for n in range(100)]))
    assert len(alarms(Silence(LONGEST, STEP), bursts, 0.0, 2000.0)) <= 1


def test_a_process_that_stood_still_has_not_heard_a_silence() -> None:
    rule = Silence(LONGEST, STEP)
    rule.begin(0.0)
    for n in range(1, 40):
        assert not rule.look(n * STEP, 10 * n, True)
    assert not rule.look(19.5 + 8.0, 390, True)  # nothing could be read for eight seconds
    assert not rule.look(28.0, 390, True)
    assert rule.look(33.0, 390, True) == 0.0  # stood still again
    assert any(rule.look(33.0 + n * STEP, 390, True) for n in range(1, 9))


def test_nothing_is_missed_while_nothing_is_expected() -> None:
    rule = Silence(LONGEST, STEP)
    rule.begin(0.0)
    assert not any(rule.look(n * STEP, min(n, 30), n < 30) for n in range(1, 500))
