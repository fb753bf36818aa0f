"""A compiled strategy does what its Python twin does, to the byte of the journal's facts."""

import random
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from bench import material
from tests.reference.room import Room
from tests.research.conftest import walk
from tests.strategies import twins_in_python as python

from pyrt import Strategy
from pyrt.errors import ConfigError
from pyrt.history import open_history
from pyrt.model import AssetClass, Instrument
from pyrt.research import backtest
from pyrt.strategies.sma_cross import SmaCross

AAPL = Instrument(id=1, symbol="AAPL")
BTC = Instrument(id=1, symbol="BTC/USD", asset_class=AssetClass.CRYPTO, tick=10_000_000, sub_tick=10_000_000, lot=10_000, min_qty=1)


def both(
    ours: type[Strategy], theirs: type[Strategy], data: Any, instrument: Instrument = AAPL, **parameters: Any
) -> tuple[Any, Any]:
    """(compiled, Python) results of the same data."""
    results = []
    for made in (ours, theirs):
        options = {} if isinstance(data, dict) else {"instruments": (instrument,)}
        results.append(backtest(made(**parameters), data, progress=False, **options))
    return results[0], results[1]


def slowly(records: Any) -> Any:
    """The same records 50 ms apart, so that the windows of the controls pass."""
    records = records.copy()
    for name in ("ts_event", "ts_recv"):
        records[name] = material.T0 + 50_000_000 * np.arange(len(records))
    return records


def assert_equal(ours: Any, theirs: Any, fills: int) -> None:
    assert ours.counts == theirs.counts
    assert ours.refusals == theirs.refusals
    assert ours.trades.tolist() == theirs.trades.tolist()
    assert ours.digest == theirs.digest
    assert ours.to_bytes() == theirs.to_bytes()
    assert ours.counts.get("fills", 0) >= fills


def test_on_bar_with_a_window_of_bars(compiled: ModuleType) -> None:
    data = {"AAPL": walk(800), "MSFT": walk(800, seed=2)}
    assert_equal(*both(compiled.SmaCross, SmaCross, data, interval="1m"), 40)
    assert_equal(*both(compiled.SmaCross, SmaCross, data, interval="5m", fast=3, slow=9), 10)


def test_on_trade(compiled: ModuleType) -> None:
    assert_equal(*both(compiled.Momentum, python.Momentum, slowly(material.mixed(4000))), 20)


def test_on_quote_with_replacements_cancels_and_orders_from_python(compiled: ModuleType) -> None:
    ours, theirs = both(compiled.Quoter, python.Quoter, slowly(material.mixed(4000)))
    assert_equal(ours, theirs, 20)
    statuses = set(ours.orders["status"].tolist())
    assert {21, 24} <= statuses, "nothing was cancelled or replaced"


def test_verbs_in_c_and_in_python_in_one_callback(compiled: ModuleType) -> None:
    assert_equal(*both(compiled.Mixer, python.Mixer, slowly(material.mixed(4000))), 100)


def test_bars_that_trades_close_are_kept_once_beside_compiled_strategies(compiled: ModuleType) -> None:
    class Reader(SmaCross):
        interval = "tick:20"

        def on_start(self) -> None:
            self.seen = 0

        def on_bar(self, bar: Any) -> None:
            self.seen += 1
            kept = self.history(bar.symbol, 50)["close_px"]
            assert len(kept) == min(self.seen, 50)

    reader = Reader(symbols=("AAPL",))
    result = backtest([compiled.Momentum(), reader], material.trades(2000), instruments=(AAPL,), progress=False)
    assert not result.alarms
    assert reader.seen > 50


def test_on_book(compiled: ModuleType) -> None:
    assert_equal(*both(compiled.Leaner, python.Leaner, slowly(material.deltas(1500)), BTC), 10)


def test_what_a_callback_raises_halts_it_alone(compiled: ModuleType) -> None:
    ours, theirs = both(compiled.Faulty, python.Faulty, material.mixed(2000))
    assert_equal(ours, theirs, 1)
    (alarm,) = [a for a in ours.alarms if a.startswith("STRATEGY_FAILED")]
    assert "Faulty.on_trade raised ValueError: enough" in alarm
    assert "twins.pyx:" in alarm


@pytest.mark.parametrize(
    ("how", "words"),
    [
        (0, "44 more intents than fit into one callback"),
        (1, "is off the tick of 0.01"),
        (2, "order 77 is done"),
        (3, "Greedy.on_trade raised ZeroDivisionError"),
        (4, "Greedy.on_trade raised LookupError: no such instrument"),
    ],
)
def test_a_mistake_in_c_is_told_and_halts(compiled: ModuleType, how: int, words: str) -> None:
    result = backtest(compiled.Greedy(how=how), material.trades(2000), instruments=(AAPL,), progress=False)
    assert any(words in alarm for alarm in result.alarms), result.alarms


def test_beside_one_another_and_beside_python_strategies(compiled: ModuleType) -> None:
    data = slowly(material.mixed(2000))
    pairs = ((python.Quoter, python.Momentum), (compiled.Quoter, compiled.Momentum), (compiled.Quoter, python.Momentum))
    results = [backtest([c() for c in pair], data, instruments=(AAPL,), progress=False) for pair in pairs]
    assert len(results[0].fills) > 10
    assert results[0].digest == results[1].digest == results[2].digest


def test_the_session_sees_bars_that_compiled_strategies_want(compiled: ModuleType) -> None:
    class Reader(SmaCross):
        def on_bar(self, bar: Any) -> None:
            self.closes.append(bar.close_px)
            assert self.history(bar.symbol, 1)["close_px"].tolist() == [bar.close_px]

        def on_start(self) -> None:
            self.closes: list[int] = []

    reader, data = Reader(symbols=("AAPL",), interval="1m"), walk(300)
    result = backtest([compiled.SmaCross(symbols=("AAPL",), interval="1m"), reader], {"AAPL": data}, progress=False)
    assert reader.closes == data["close_px"].tolist()
    assert result.counts["bars"] == 300


@pytest.mark.real_data
def test_twins_on_a_recorded_morning(compiled: ModuleType, market_data: Path) -> None:
    (file,) = (market_data / "lobster").glob("*_AMZN_*_1.zip")
    source = open_history(f"lobster:{file}")
    data = next(iter(source.chunks()))[:5000]
    for name, fills in (("Quoter", 1), ("Momentum", 4)):
        a, b = (
            backtest(type(name, (getattr(of, name),), {"symbols": ("AMZN",)}), data, instruments=source.instruments, progress=False)
            for of in (compiled, python)
        )
        assert_equal(a, b, fills)


def test_parameters_are_those_of_the_python_part(compiled: ModuleType) -> None:
    assert set(compiled.SmaCross.parameters()) == {"symbols", "interval", "warmup", "fast", "slow", "quantity"}
    assert compiled.SmaCross(fast="7").fast == 7


def test_one_that_was_built_for_another_core_is_refused(compiled: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pyrt.sources.core_built", lambda: "0" * 64)
    with pytest.raises(ConfigError, match=r"built for another pyrt.*pyrt build"):
        backtest(compiled.Momentum, material.mixed(100), instruments=(AAPL,), progress=False)


def test_decided_at_once_or_by_the_rules_it_is_the_same_session(compiled: ModuleType) -> None:
    """Compiled strategies in a live session: with the fast lane, whose decision comes before the intent, and without."""
    rng = random.Random(5)
    makers = ((compiled.Quoter,), (compiled.Quoter, compiled.Momentum), (compiled.Quoter, python.Momentum), (compiled.Mixer,))
    for makes in makers:
        ours, theirs = (Room(*(make() for make in makes), fast=fast) for fast in (True, False))
        for _ in range(400):
            kind, bid, price = rng.random(), 100 + rng.randrange(-3, 4) / 100, rng.choice((99.99, 100, 100.01))
            pause = rng.choice((10**6, 10**8, 10**9))
            for room in (ours, theirs):
                room.tick(pause)
                if kind < 0.5:
                    room.quote(bid=bid, ask=bid + 0.02)
                elif kind < 0.6:
                    room.trade(price=price)
                elif kind < 0.85:
                    room.accept()
                    room.cancelled()
                else:
                    for number in [n for n, o in room.working.items() if o.status in ("new", "partially_filled")][:1]:
                        room.fill(number, price=str(price))
            for seen in ("facts", "commands", "timers", "alarms", "told"):
                assert getattr(ours.shell, seen) == getattr(theirs.shell, seen)
        assert ours.session.risk.state_digest() == theirs.session.risk.state_digest()
        assert ours.session.counts == theirs.session.counts
        assert ours.session.counts["orders"] > 20
        assert ours.session.lane is not None
        assert ours.session.lane.decided > 10
