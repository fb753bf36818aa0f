"""Orders for the closing auction, from a strategy over the venue's real HTTP and WebSocket server: filled, passed over, killed."""

from pathlib import Path

import msgspec
import requests
from tests.e2e.adapter import Day, trade
from tests.e2e.test_activities import QUIET, facts_of
from tests.e2e.test_exit_stories import LATE, held, is_at

from pyrt.clock import SECOND
from pyrt.live.control import KillReport
from pyrt.model import Filled, Intended, OrderStatus, TimeInForce
from pyrt.venues.sim.library import simulated_venue

CLOSE = LATE + 1200 * SECOND


def venue_time(day: Day) -> int:
    """By the venue's own clock: the session looks at it once a minute."""
    return int(requests.get(day.venue.url + "/sim/clock", timeout=30).json()["now_ns"])


def test_the_close_fills_what_its_price_allows_and_ends_the_rest(tmp_path: Path) -> None:
    async def story(day: Day) -> None:
        await day.fresh()
        market = day.do(lambda: day.hand.buy("AAPL", 3, tif="cls"))
        low = day.do(lambda: day.hand.buy("MSFT", 2, limit=round(day.hand.bid["MSFT"] * 0.97), tif="cls"))
        for order in (market, low):
            await is_at(day, order, OrderStatus.ACCEPTED)
        assert day.session.risk.ledger.open_orders == 2
        rest = await day.working(day.rest("AAPL"))
        await day.fault("day_roll", to="close")
        await day.filled(market)
        await day.canceled(low)
        await is_at(day, rest, OrderStatus.EXPIRED)
        assert held(day) == 3
        assert not day.session.risk.ledger.open_orders

    with simulated_venue(seed=5, start=LATE, calendar=True) as venue:
        alarms = trade(tmp_path, story, outside=venue, hours=True)
        [sent] = [order for order in venue.truth()["orders"] if order["status"] == "filled"]
    assert not QUIET & set(alarms)
    assert (sent["time_in_force"], sent["filled_qty"]) == ("cls", "3")
    [fill] = facts_of(tmp_path, Filled)
    assert (fill.qty, fill.side) == (3 * 10**9, 1)


def test_a_kill_leaves_nothing_for_the_close(tmp_path: Path) -> None:
    async def story(day: Day) -> None:
        await day.fresh()
        orders = [day.do(lambda symbol=symbol: day.hand.buy(symbol, 2, tif="cls")) for symbol in ("AAPL", "MSFT")]
        for order in orders:
            await is_at(day, order, OrderStatus.ACCEPTED)
        (tmp_path / "home" / "KILL").write_text('{"who": "somebody", "why": "before the close"}')
        for order in orders:
            await day.canceled(order)
        path = tmp_path / "home" / "kill.json"
        await day.until(lambda: path.exists() and msgspec.json.decode(path.read_bytes(), type=KillReport).verified, "the report")
        await day.fault("day_roll", to="close")
        await day.until(lambda: venue_time(day) > CLOSE, "the close")
        blocked = day.do(lambda: day.hand.buy("AAPL", 2, tif="cls"))
        assert "KILLED" in blocked.breaches

    with simulated_venue(seed=5, start=LATE, calendar=True) as venue:
        alarms = trade(tmp_path, story, outside=venue, hours=True)
        assert {order["status"] for order in venue.truth()["orders"]} == {"canceled"}
    assert "KILLED" in alarms
    assert not facts_of(tmp_path, Filled)
    assert {fact.intent.tif for fact in facts_of(tmp_path, Intended)} == {TimeInForce.CLS}
