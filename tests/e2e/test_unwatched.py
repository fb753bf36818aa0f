"""What somebody bought by hand, in a symbol that no feed here tells of, counts: at the simulated venue's own value of it."""

from pathlib import Path

import numpy as np
from tests.e2e.one_process import PX, QTY, World, refusals

from pyrt._core.types import RecordType, market_dtype, quote_dtype
from pyrt.model import Instrument

GME = Instrument(id=3, symbol="GME")
MONEY = 10**18


def bought_by_hand(directory: Path, **limits: float) -> World:
    """A session whose feed is silent about GME, of which somebody else bought 100 at 100.02."""
    world = World(directory, limits, more=(GME,))
    world.session.market.refs[3] = 0
    order = {"symbol": "GME", "qty": "100", "side": "buy", "type": "market", "time_in_force": "day"}
    world.exchange.submit(order, world.now.venue)
    world._pump()
    world.later(61)
    for symbol in ("AAPL", "MSFT"):
        world.quote(symbol, "100.00", "100.02")
    return world


def only_the_venue_sees(world: World, bid: float) -> None:
    """Its market moves, our feed is silent, and the next snapshot is read."""
    record = np.zeros(1, quote_dtype)
    record["type"], record["instrument"], record["ts_event"] = RecordType.QUOTE, 3, world.now.venue
    record["bid_px"], record["ask_px"] = round(bid * 100) * PX // 100, round(bid * 100 + 2) * PX // 100
    record["bid_qty"] = record["ask_qty"] = 1000 * QTY
    world.exchange.on_market(record.view(market_dtype))
    world.later(61)
    for symbol in ("AAPL", "MSFT"):
        world.quote(symbol, "100.00", "100.02")


def test_it_counts_in_the_exposure_with_the_haircut(tmp_path: Path) -> None:
    world = bought_by_hand(tmp_path / "a", max_gross_exposure=11_900, max_net_exposure=250_000)  # 100 x 100.02 x 1.1 = 11,002.2
    assert [a.code for a in world.alarms if a.code == "VENUE_PRICED"] == ["VENUE_PRICED"]
    world.do(lambda: world.hand.buy("AAPL", 8, limit=100))
    assert not refusals(world.close())
    world = bought_by_hand(tmp_path / "b", max_gross_exposure=11_900, max_net_exposure=250_000)
    world.do(lambda: world.hand.buy("AAPL", 9, limit=100))
    [refused] = refusals(world.close())
    assert refused.keys() == {"GROSS_EXPOSURE"}


def test_its_loss_is_a_loss_and_exits_stay_open(tmp_path: Path) -> None:
    world = bought_by_hand(tmp_path, max_daily_loss=500)
    world.do(lambda: world.hand.buy("AAPL", 5))
    only_the_venue_sees(world, 96.00)
    assert "account" not in world.session.risk.latches
    only_the_venue_sees(world, 94.90)
    assert world.session.risk.latches["account"].code == "DAILY_LOSS"
    world.do(lambda: world.hand.buy("AAPL", 1, limit=99))
    world.do(lambda: world.hand.sell("AAPL", 5))
    assert world.session.risk.position(1, 1).qty == 0
    assert [set(refused) >= {"KILLED"} for refused in refusals(world.close())] == [True]
