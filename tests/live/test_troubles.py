"""What is away for too long is told once, and once when it is over; what is short, or of no consequence, is not told."""

from types import SimpleNamespace
from typing import Any

import pytest

from pyrt.calendar import Calendar
from pyrt.clock import SECOND
from pyrt.live.alerts import unwell
from pyrt.live.troubles import CODES, Seen, Troubles, trades_at
from pyrt.model import AssetClass, Instrument

MONDAY = 1_772_463_846 * SECOND  # 2026-03-02T15:04:06Z, in regular trading
AAPL = Instrument(id=1, symbol="AAPL")
TRADING = Seen(recovered=True, ought=True, why="it is said")


def made(patience: float = 120.0, every: float = 60.0) -> Troubles:
    return Troubles(patience, every, 0.0)


def run(case: Troubles, begin: float, end: float, seen: Seen = TRADING, whole: bool = True) -> list[tuple[float, str]]:
    """Looks once a second; snapshots come once a minute."""
    told = []
    for second in range(int(begin), int(end) + 1):
        if whole and second % 60 == 0:
            case.query(True, float(second))
        told += [(float(second), alarm.code) for alarm in case.look(float(second), seen)]
    return told


def test_a_session_that_is_well_says_nothing() -> None:
    case = made()
    case.stream("data", True, 1.0)
    case.stream("trading", True, 1.0)
    assert run(case, 0, 3600) == []
    assert not case.standing


@pytest.mark.parametrize("stream", ["data", "trading"])
def test_a_stream_that_is_away_is_told_once_and_its_return_once(stream: str) -> None:
    case = made()
    case.stream(stream, False, 100.0)
    begun, over = CODES[stream]
    assert run(case, 100, 3000) == [(220.0, begun)]
    assert case.standing == {stream: begun}
    case.stream(stream, False, 3001.0)  # a try that failed tells again that it is down
    case.stream(stream, True, 3001.0)
    assert run(case, 3001, 4000) == [(3031.0, over)]
    assert not case.standing


def test_a_stream_that_is_away_for_a_moment_is_not_told() -> None:
    case = made()
    for second in range(100, 3000, 200):
        case.stream("data", False, second)
        assert run(case, second, second + 99) == []
        case.stream("data", True, second + 100.0)
        assert run(case, second + 100, second + 199) == []


def test_a_stream_that_comes_and_goes_is_one_trouble() -> None:
    case, told = made(), []
    for second in range(100, 2000, 10):
        case.stream("data", False, second)
        told += run(case, second, second + 4)
        case.stream("data", True, second + 5.0)
        told += run(case, second + 5, second + 9)
    assert told == [(220.0, "DATA_AWAY")]
    assert run(case, 2000, 2100) == [(2025.0, "DATA_BACK")]


def test_it_names_what_is_known_and_how_long() -> None:
    case = made()
    case.query(True, 1.0)
    case.stream("data", False, 1.0)
    [alarm] = case.look(150.0, TRADING)
    assert (alarm.severity, alarm.code) == ("critical", "DATA_AWAY")
    assert alarm.text == "for 149 s the data stream has been down: no decision has fresh prices (it is said)"


def test_nobody_is_called_while_nothing_trades_and_at_once_when_it_does() -> None:
    case = made()
    case.stream("data", False, 0.0)
    assert run(case, 0, 5000, TRADING._replace(ought=False)) == []
    assert not case.standing
    assert run(case, 5001, 5001) == [(5001.0, "DATA_AWAY")]


def test_a_recovery_that_does_not_end_is_one_trouble_whatever_is_missing_and_at_any_hour() -> None:
    case = made()
    recovering = Seen(recovered=False, ought=False, why="")
    case.stream("data", False, 0.0)
    case.query(False, 5.0)
    assert run(case, 0, 600, recovering, whole=False) == [(120.0, "NOT_RECOVERED")]
    case.query(True, 601.0)
    case.stream("data", True, 601.0)
    assert run(case, 601, 900) == [(601.0, "RECOVERED")]


def test_what_is_still_away_when_recovery_ends_is_told_then() -> None:
    case = made()
    case.stream("data", False, 0.0)
    assert run(case, 0, 60, Seen(False, True, "")) == []
    assert run(case, 61, 600) == [(120.0, "DATA_AWAY")]


def test_a_venue_that_answers_no_query_is_told_from_its_first_failure_on() -> None:
    case = made()
    case.query(True, 60.0)
    for second in range(90, 400, 30):
        case.query(False, float(second))
        told = run(case, second, second + 29, whole=False)
        assert told == ([(210.0, "VENUE_AWAY")] if second == 210 else [])
    case.query(True, 420.0)
    assert run(case, 420, 421, whole=False) == [(420.0, "VENUE_BACK")]


def test_a_failure_between_snapshots_is_no_trouble() -> None:
    case = made()
    for second in range(0, 3600, 60):
        case.query(False, second + 10.0)
        assert run(case, second, second + 59) == []


def test_a_venue_that_is_never_heard_of_is_told_when_the_next_snapshot_is_long_due() -> None:
    case = made()
    case.query(True, 10.0)
    assert run(case, 11, 1000, whole=False) == [(190.0, "VENUE_AWAY")]


def test_a_process_that_stood_still_blames_nobody_for_it() -> None:
    case = made()
    assert run(case, 0, 100) == []
    assert run(case, 4001, 4050, whole=False) == []
    assert run(case, 4051, 5000, whole=False) == [(4121.0, "VENUE_AWAY")]


def test_each_of_several_is_told() -> None:
    case = made()
    case.stream("data", False, 0.0)
    case.stream("trading", False, 0.0)
    case.query(False, 0.0)
    assert sorted(code for _, code in run(case, 1, 500, whole=False)) == ["DATA_AWAY", "UPDATES_AWAY", "VENUE_AWAY"]


@pytest.mark.parametrize(
    ("when", "ought"),
    [(0, True), (-6, True), (-7, False), (-24, False), (9, True), (11, False)],  # hours from 10:04 in New York
)
def test_shares_trade_from_the_pre_market_to_after_hours(when: int, ought: bool) -> None:
    venue = MONDAY + when * 3600 * SECOND
    assert trades_at(venue, Calendar(), [AAPL], by_night=False) is ought
    assert trades_at(venue, None, [AAPL], by_night=False) is True


def test_coins_trade_always_and_shares_by_night_where_that_is_allowed() -> None:
    coin = Instrument(id=2, symbol="BTC/USD", asset_class=AssetClass.CRYPTO)
    sunday = MONDAY - 24 * 3600 * SECOND
    assert trades_at(sunday, Calendar(), [AAPL, coin], by_night=False)
    night = MONDAY - 10 * 3600 * SECOND  # 0:04 in New York
    assert not trades_at(night, Calendar(), [AAPL], by_night=None)
    assert trades_at(night, Calendar(), [AAPL], by_night=True)


def live(**parts: Any) -> Any:
    """A session that is well, but for what is said."""
    recovered = SimpleNamespace(is_set=lambda: parts.get("recovered", True))
    latches = {parts.get("scope", "system"): SimpleNamespace(level=parts.get("level", "ACTIVE"))}
    return SimpleNamespace(
        shell=SimpleNamespace(failed=parts.get("failed", ""), journal=SimpleNamespace(failed=parts.get("journal"))),
        runner=SimpleNamespace(recovered=recovered),
        vigil=SimpleNamespace(standing=parts.get("standing", "")),
        session=SimpleNamespace(risk=SimpleNamespace(latches=latches)),
    )


@pytest.mark.parametrize(
    ("parts", "why"),
    [
        ({}, ""),
        ({"failed": "the disk is full"}, "the disk is full"),
        ({"journal": OSError("no room")}, "no room"),
        ({"recovered": False}, "recovery has not ended"),
        ({"standing": "DATA_AWAY"}, "DATA_AWAY"),
        ({"level": "HALTED"}, "system HALTED"),
        ({"level": "KILLED", "scope": "account"}, "account KILLED"),
        ({"level": "REDUCING"}, ""),
        ({"level": "HALTED", "scope": "instrument:1"}, ""),
    ],
)
def test_the_heartbeat_is_of_a_session_that_is_well(parts: dict[str, Any], why: str) -> None:
    assert unwell(live(**parts)) == why
