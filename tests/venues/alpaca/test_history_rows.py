"""Rows of the venue's history as it writes them: what it divides has more decimals than a price, what it does not know is null."""

from typing import Any

import msgspec
import pytest

from pyrt.clock import MINUTE
from pyrt.config import Secret
from pyrt.errors import DataError
from pyrt.model import AssetClass, Instrument
from pyrt.venues.alpaca import history
from pyrt.venues.alpaca.history import History

PAIR = Instrument(id=7, symbol="BTC/USD", asset_class=AssetClass.CRYPTO, lot=1, tick=1, sub_tick=1)
BAR: dict[str, Any] = {
    "t": "2026-03-02T15:04:00Z",
    "o": 61999.5,
    "h": 62001,
    "l": 61990.25,
    "c": 62000.5,
    "v": 0.5,
    "n": 3,
    "vw": 61999,
}
TRADE: dict[str, Any] = {"t": "2026-03-02T15:04:00.5Z", "p": 61999.5, "s": 0.25, "i": 9, "tks": "B"}


def told(monkeypatch: pytest.MonkeyPatch, kind: str, *rows: dict[str, Any], tokens: tuple[str, ...] = ()) -> History:
    left = list(tokens)

    def get(self: History, path: str, params: dict[str, str]) -> Any:
        page = {kind: {"BTC/USD": rows}, "next_page_token": left.pop(0) if left else None}
        return history._page.decode(msgspec.json.encode(page))

    monkeypatch.setattr(History, "_get", get)
    return History(url="http://127.0.0.1:1", key=Secret("k"), secret=Secret("s"))


@pytest.mark.parametrize(
    ("name", "value", "column", "want"),
    [
        ("vw", 23388.8512853133, "notional_lo", 23_388_851_285_313 * 500_000_000),
        ("v", 0.30000000000000004, "volume", 300_000_000),
        ("c", 0.0000123455005, "close_px", 12_346),  # the middle of two prices
    ],
)
def test_decimals_beyond_a_price_are_rounded(
    monkeypatch: pytest.MonkeyPatch, name: str, value: float, column: str, want: int
) -> None:
    [bars] = told(monkeypatch, "bars", {**BAR, name: value}).bars(PAIR, MINUTE, 0, 1)
    assert int(bars[column][0]) == want & (1 << 64) - 1


def test_a_trade_without_exchange_and_tape(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = (TRADE, {**TRADE, "x": None, "z": None, "c": None, "u": None, "s": 0.1000000000000000055}, {**TRADE, "p": 0})
    [trades] = told(monkeypatch, "trades", *rows).trades(PAIR, 0, 1)
    assert trades[["px", "qty", "exchange", "tape"]].tolist() == [
        (61_999_500_000_000, 250_000_000, 0, 0),
        (61_999_500_000_000, 100_000_000, 0, 0),
    ]  # a price of 0 is none, on the stream too


@pytest.mark.parametrize("row", [{"v": 1e40}, {"n": -1}, {"c": 1e300}])
def test_a_number_that_no_record_holds_is_an_error_with_a_name(monkeypatch: pytest.MonkeyPatch, row: dict[str, Any]) -> None:
    """The session ends in order, or asks again; a fault of ours would end it in the middle."""
    with pytest.raises(DataError, match="cannot hold"):
        list(told(monkeypatch, "bars", {**BAR, **row}).bars(PAIR, MINUTE, 0, 1))


@pytest.mark.parametrize("row", [{"i": -1}, {"x": "\u2713"}, {"s": 1e30}])
def test_a_trade_that_no_record_holds(monkeypatch: pytest.MonkeyPatch, row: dict[str, Any]) -> None:
    with pytest.raises(DataError, match="cannot hold"):
        list(told(monkeypatch, "trades", {**TRADE, **row}).trades(PAIR, 0, 1))


def test_pages_that_lead_back_to_themselves_end(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(DataError, match="repeats"):
        list(told(monkeypatch, "trades", TRADE, tokens=("a", "a")).trades(PAIR, 0, 1))
