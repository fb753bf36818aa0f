"""Round trips from fills."""

import pytest

from pyrt._core.types import Side
from pyrt.model import Filled, Instrument, Instruments
from pyrt.research.trades import round_trips

SHARE = 10**9


def fill(side: Side, qty: int, price: int, ts: int, fee: int = 0) -> Filled:
    return Filled(
        number=1,
        strategy=1,
        instrument=1,
        side=side,
        px=price * SHARE,
        qty=qty * SHARE,
        cum_qty=0,
        venue_order_id="",
        fee=fee,
        ts=ts,
    )


def instruments() -> Instruments:
    known = Instruments()
    known.add(Instrument(id=1, symbol="AAPL"))
    return known


@pytest.mark.row("S139")
def test_a_flip_ends_one_and_begins_the_next() -> None:
    fills = [
        fill(Side.BUY, 10, 100, 1, fee=SHARE),
        fill(Side.BUY, 10, 110, 2),
        fill(Side.SELL, 30, 120, 3, fee=3 * SHARE),
        fill(Side.BUY, 10, 125, 4),
    ]
    first, second = round_trips(fills, instruments())
    assert (first["qty"], first["entry_price"], first["exit_price"], first["fees"], first["pnl"]) == (
        20.0,
        105.0,
        120.0,
        3.0,
        297.0,
    )
    assert (second["side"], second["qty"], second["fees"], second["pnl"]) == (int(Side.SELL), 10.0, 1.0, -51.0)
    assert (first["entry_ts"], first["exit_ts"], second["entry_ts"], second["exit_ts"]) == (1, 3, 3, 4)


def test_what_is_open_is_no_round_trip() -> None:
    assert not len(round_trips([fill(Side.BUY, 10, 100, 1), fill(Side.SELL, 4, 100, 2)], instruments()))
