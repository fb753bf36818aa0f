"""What a session is told beside the market: the list as it changes, assets and history where a limit asks for them."""

import asyncio
import os
import time
from hashlib import sha256
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from pyrt._core.types import bar_dtype
from pyrt.calendar import Calendar
from pyrt.clock import DAY, SECOND
from pyrt.errors import ConfigError, NotConnected
from pyrt.live import inform
from pyrt.live.inform import Informer, history_of, list_of
from pyrt.model import Instrument
from pyrt.ports import Alarm, AssetTold, HistoryTold, ListTold
from pyrt.risk import Limits

NOW = 1_772_463_846 * SECOND  # Monday 2026-03-02T15:04:06Z
AAPL = Instrument(id=1, symbol="AAPL")


def list_file(directory: Path, text: str, age: float = 0.0) -> Path:
    path = directory / "restricted.txt"
    path.write_text(text, encoding="utf-8")
    os.utime(path, (time.time() - age, time.time() - age))
    return path


def test_a_list_is_read_with_its_hash_and_its_age_in_the_venues_time(tmp_path: Path) -> None:
    text = "# today\nGME\nAlphabet: GOOG, GOOGL\nBRK.B\n"
    told = list_of(list_file(tmp_path, text, age=3600), NOW)
    assert (told.names, told.error) == (("BRKB", "GME", "GOOG", "GOOGL"), "")
    assert told.sha256 == sha256(text.encode()).hexdigest()
    assert abs(told.at - (NOW - 3600 * SECOND)) < 60 * SECOND
    assert list_of(list_file(tmp_path, text, age=-3600), NOW).at == NOW  # a time to come is now


@pytest.mark.parametrize("spoil", ["absent", "directory", "words", "bytes", "large"])
def test_a_list_that_cannot_be_read_says_why_and_names_nothing(spoil: str, tmp_path: Path) -> None:
    path = tmp_path / "restricted.txt"
    if spoil == "directory":
        path.mkdir()
    elif spoil != "absent":
        path.write_bytes({"words": b"A B C", "bytes": b"\xff\xfe", "large": b"A\n" * inform.LARGEST}[spoil])
    told = list_of(path, NOW)
    assert told.error
    assert told.names == ()


def daily(*starts: int) -> Any:
    bars = np.zeros(len(starts), bar_dtype)
    bars["start"] = starts
    bars["close_px"] = bars["low_px"] = bars["volume"] = np.arange(1, len(starts) + 1)
    return bars


def test_history_ends_before_today() -> None:
    starts = [s.open - 5 * 3600 * SECOND for s in Calendar().sessions(*_days("2026-02-25", "2026-03-02"))]  # midnight in New York
    told = history_of(AAPL, daily(*starts), "2026-03-02")
    assert told == HistoryTold(instrument=1, closes=(1, 2, 3), lows=(1, 2, 3), volumes=(1, 2, 3))
    assert history_of(AAPL, daily(), "2026-03-02").closes == ()


def _days(first: str, last: str) -> Any:
    from datetime import date

    return date.fromisoformat(first), date.fromisoformat(last)


class Venue:
    """A source that may be away."""

    def __init__(self) -> None:
        self.away = self.gone = False
        self.tradable = True
        self.asked: list[str] = []

    def asset(self, instrument: Instrument) -> AssetTold:
        self._ask("asset")
        if self.gone:
            raise ConfigError("it has no symbol 'AAPL'")
        return AssetTold(instrument=instrument.id, tradable=self.tradable, shortable=True, easy_to_borrow=True)

    def warm_up(self, instrument: Instrument, interval: int, n: int, before: int) -> Any:
        assert interval == DAY
        self._ask("history")
        return daily(NOW - 5 * DAY, NOW - 4 * DAY)

    def _ask(self, what: str) -> None:
        self.asked.append(what)
        if self.away:
            raise NotConnected("no answer", where="here")


def run(
    limits: Limits, venue: Venue, until: Any, *, running: bool = False, held: int = 0, symbols: tuple[str, ...] = ("AAPL",)
) -> list[Any]:
    """What is told, and alarmed, until a condition on it holds."""
    told: list[Any] = []
    seen: dict[int, AssetTold] = {}
    permits, account = SimpleNamespace(assets=seen), SimpleNamespace(qty=held)
    risk = SimpleNamespace(limits=limits, permits=permits, account=lambda _: account)
    strategies = {1: SimpleNamespace(symbols=symbols)}
    instruments = {"AAPL": AAPL, "MSFT": Instrument(id=2, symbol="MSFT")}
    session: Any = SimpleNamespace(risk=risk, strategies=strategies, instruments=instruments, running=running)

    def put(event: Any) -> None:
        told.append(event)
        if isinstance(event, AssetTold):  # as a fact of it comes back
            seen[event.instrument] = event

    shell: Any = SimpleNamespace(now=lambda: SimpleNamespace(venue=NOW), put=put, alarm=told.append)

    async def play() -> None:
        task = asyncio.create_task(Informer(session, shell, venue).run())
        try:
            async with asyncio.timeout(20):
                while not until(told):
                    await asyncio.sleep(0.01)
        finally:
            task.cancel()

    asyncio.run(play())
    return told


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inform, "LOOK_EVERY", 0.01)
    monkeypatch.setattr(inform, "TRY_EVERY", 0.02)


def limited(**values: Any) -> Limits:
    return Limits.of(values, base=Limits.profile("paper"))


def test_nothing_is_asked_before_the_session_runs_where_no_limit_wants_it(tmp_path: Path) -> None:
    venue = Venue()
    told = run(limited(restricted_file=str(list_file(tmp_path, "GME"))), venue, lambda told: len(told) == 1)
    assert venue.asked == []
    assert isinstance(told[0], ListTold)


@pytest.mark.parametrize(
    ("limits", "kinds"),
    [
        ({"opening_shorts": True}, {AssetTold, HistoryTold}),
        ({"overnight": True}, {AssetTold}),
        ({"max_adv_pct": 1}, {HistoryTold}),
        ({"max_var": 1}, {HistoryTold}),
    ],
)
def test_a_source_that_was_away_is_asked_again(limits: dict[str, Any], kinds: set[type]) -> None:
    venue = Venue()
    venue.away = True

    def until(told: list[Any]) -> bool:
        if venue.asked.count("asset") > 1 or venue.asked.count("history") > 1:
            venue.away = False
        return {type(t) for t in told} == kinds

    run(limited(**limits), venue, until)


def alarms(told: list[Any]) -> list[tuple[str, str]]:
    return [(alarm.severity, alarm.code) for alarm in told if isinstance(alarm, Alarm)]


@pytest.mark.parametrize("how", ["inactive", "unknown"])
@pytest.mark.parametrize("held", [0, 5 * 10**9])
def test_a_symbol_that_ceases_to_trade_is_told_once_in_every_session(how: str, held: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inform, "ASSETS_EVERY", 0.0)
    venue = Venue()

    def until(told: list[Any]) -> bool:
        asked = venue.asked.count("asset")
        if asked == 2:
            assert told == []  # as it was defined: no news
            venue.tradable, venue.gone = how != "inactive", how == "unknown"
        elif asked == 5:
            venue.tradable, venue.gone = True, False
        return asked > 7

    told = run(limited(), venue, until, running=True, held=held)
    assert [t.tradable for t in told if isinstance(t, AssetTold)] == [False, True]
    assert alarms(told) == [("critical" if held else "warning", "ASSET_INACTIVE"), ("info", "ASSET_ACTIVE")]
    first = next(alarm for alarm in told if isinstance(alarm, Alarm))
    assert "AAPL is not tradable any more: orders in it are refused; take it out of `symbols`" in first.text
    assert ("5 shares" in first.text) == bool(held)


def test_a_venue_that_is_away_says_nothing_of_a_symbol() -> None:
    venue = Venue()
    venue.away = True
    assert run(limited(), venue, lambda _: venue.asked.count("asset") > 3, running=True) == []


@pytest.mark.parametrize(("limits", "most"), [({}, 1), ({"overnight": True}, 2)])
def test_where_no_limit_waits_one_symbol_is_asked_for_at_a_look(
    limits: dict[str, Any], most: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Snapshots wait for the same share of the requests, and the restricted list for its turn."""
    looks: list[list[str]] = []
    slept = asyncio.sleep
    venue = Venue()

    async def sleep(seconds: float) -> None:
        if seconds == inform.LOOK_EVERY:
            looks.append(venue.asked[:])
        await slept(0)

    monkeypatch.setattr(inform, "LOOK_EVERY", 0.5)
    monkeypatch.setattr(inform.asyncio, "sleep", sleep)
    run(limited(**limits), venue, lambda _: len(looks) > 10, running=True, symbols=("AAPL", "MSFT"))
    sizes = [len(asked) for asked in looks]
    assert max(b - a for a, b in zip([0, *sizes], sizes, strict=False)) == most
    assert sizes[-1] == 2  # once an hour


def test_a_list_that_changes_is_told_again_and_one_that_does_not_is_not(tmp_path: Path) -> None:
    path = list_file(tmp_path, "GME")

    def until(told: list[Any]) -> bool:
        if len(told) == 1:
            list_file(tmp_path, "GME\nAMC", age=10)
        elif len(told) == 2:
            path.unlink(missing_ok=True)
        return len(told) == 3

    told = run(limited(restricted_file=str(path)), Venue(), until)
    assert [t.names for t in told] == [("GME",), ("AMC", "GME"), ()]
    assert told[2].error
