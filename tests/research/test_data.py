"""Files and directories as the data of a backtest."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.research.conftest import walk

from pyrt import Bar, Strategy
from pyrt._core.types import RecordType
from pyrt.clock import MINUTE
from pyrt.errors import ConfigError, DataError
from pyrt.history import Catalog, open_history
from pyrt.research import backtest


class Closes(Strategy):
    symbols = ("AAPL", "MSFT")
    interval = "1m"

    def on_start(self) -> None:
        self.closes: dict[str, list[int]] = {}

    def on_bar(self, bar: Bar) -> None:
        self.closes.setdefault(bar.symbol, []).append(bar.close_px)


def csv_of(bars: Any, path: Path, volume: bool = True) -> Path:
    lines = ["time,open,high,low,close" + (",volume" if volume else "")]
    for bar in bars:
        prices = [f"{int(bar[name]) / 1e9:.2f}" for name in ("open_px", "high_px", "low_px", "close_px")]
        lines.append(",".join([str(int(bar["start"])), *prices, *([str(int(bar["volume"]) // 10**9)] if volume else [])]))
    path.write_text("\n".join(lines) + "\n")
    return path


def test_csv_files_name_their_symbols(tmp_path: Path) -> None:
    bars = {"AAPL": walk(50), "MSFT": walk(50, seed=2)}
    paths = [csv_of(b, tmp_path / f"{s}.csv") for s, b in bars.items()]
    strategy = Closes()
    backtest(strategy, paths, progress=False)
    assert strategy.closes == {s: b["close_px"].tolist() for s, b in bars.items()}


def test_one_file_is_of_the_one_symbol_and_may_lack_volume(tmp_path: Path) -> None:
    class Buys(Closes):
        def on_bar(self, bar: Bar) -> None:
            super().on_bar(bar)
            if len(self.closes[bar.symbol]) == 1:
                self.buy(bar.symbol, 10)

    strategy = Buys(symbols=("SPY",))
    result = backtest(strategy, csv_of(walk(50), tmp_path / "prices.csv", volume=False), progress=False)
    assert strategy.closes["SPY"] == walk(50)["close_px"].tolist()
    assert len(result.fills) == 1


def test_a_directory_of_downloads(tmp_path: Path) -> None:
    catalog = Catalog(tmp_path)
    bars = {"AAPL": walk(50), "MSFT": walk(50, seed=2)}
    for symbol, series in bars.items():
        catalog.add_bars(symbol, MINUTE, series)
    strategy = Closes()
    backtest(strategy, tmp_path, progress=False)
    assert strategy.closes == {s: b["close_px"].tolist() for s, b in bars.items()}
    with pytest.raises(DataError, match="no bars of SPY"):
        backtest(Closes(symbols=("SPY",)), tmp_path, progress=False)


def test_symbols_that_have_no_data_are_named(tmp_path: Path) -> None:
    paths = [csv_of(walk(5), tmp_path / "AAPL.csv"), csv_of(walk(5), tmp_path / "SPY.csv")]
    with pytest.raises(ConfigError, match="no data for MSFT"):
        backtest(Closes(), paths, progress=False)


def test_an_array_of_bars_of_two_instruments() -> None:
    first, second = walk(50), walk(50, seed=2)
    first["instrument"], second["instrument"] = 1, 2
    strategy = Closes()
    backtest(strategy, np.concatenate([first, second]), progress=False)
    assert strategy.closes == {"AAPL": first["close_px"].tolist(), "MSFT": second["close_px"].tolist()}


@pytest.mark.real_data
@pytest.mark.row("S003", "S138")
def test_a_recorded_day_gives_the_same_twice(market_data: Path) -> None:
    class Touches(Strategy):
        symbols = ("AMZN",)
        interval = "1m"

        def on_bar(self, bar: Bar) -> None:
            if self.position("AMZN"):
                self.close("AMZN")
            elif not self.open_orders():
                self.buy("AMZN", 1)

    files = sorted(market_data.rglob("*AMZN*_1.zip"))
    assert files, "no LOBSTER file of AMZN in the data"
    results = [backtest(Touches(), f"lobster:{files[0]}", progress=False) for _ in range(2)]
    records = np.concatenate(list(open_history(f"lobster:{files[0]}").chunks()))
    minutes = np.unique(records["ts_event"][records["type"] == RecordType.TRADE] // MINUTE)
    assert results[0].counts["bars"] == len(minutes)
    assert len(results[0].fills) > 100
    assert results[0].to_bytes() == results[1].to_bytes()
