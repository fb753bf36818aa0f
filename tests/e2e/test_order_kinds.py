"""Trailing stops and auction orders through the whole chain: strategy, risk, journal, wire, exchange, fills, position."""

from decimal import Decimal
from pathlib import Path

from tests.e2e.one_process import MONDAY, World

from pyrt.clock import MINUTE
from pyrt.model import Intended, OrderStatus, OrderType, TimeInForce

QTY = 10**9


def test_a_trailing_stop_lives_at_the_venue_and_sells_when_the_price_turns(tmp_path: Path) -> None:
    world = World(tmp_path)
    [entry] = world.do(lambda: world.hand.buy("AAPL", 10))
    [stop] = world.do(lambda: world.hand.protect("AAPL", trail_percent="2"))
    assert (entry.status, stop.status) == (OrderStatus.FILLED, OrderStatus.ACCEPTED)
    [_, shown] = world.at_venue()
    assert (shown["type"], shown["trail_percent"], shown["time_in_force"]) == ("trailing_stop", "2", "gtc")
    world.later(2)
    world.trade("AAPL", "110.00")
    world.later(2)
    [tighter] = world.do(lambda: world.hand.replace(stop, trail_percent=1))
    world.later(2)
    assert (stop.status, tighter.status) == (OrderStatus.REPLACED, OrderStatus.ACCEPTED)
    world.trade("AAPL", "108.80")
    world.trade("AAPL", "108.79")
    world.later(2)
    assert (tighter.status, tighter.filled) == (OrderStatus.FILLED, Decimal(10))
    assert not world.hand.position("AAPL")
    assert not world.session.risk.ledger.open_orders
    intents = [fact.intent for fact in world.close() if isinstance(fact, Intended)]
    assert [(i.type, i.trail_ratio) for i in intents[1:]] == [
        (OrderType.TRAILING_STOP, 20_000_000),
        (OrderType.TRAILING_STOP, 10_000_000),
    ]


def test_an_order_for_the_close_is_taken_until_ten_minutes_before_it(tmp_path: Path) -> None:
    world = World(tmp_path, hours=True)
    [close, limit] = world.do(
        lambda: world.hand.buy("AAPL", 10, tif="cls"), lambda: world.hand.buy("MSFT", 5, limit=100, tif="opg")
    )
    assert close.status is OrderStatus.ACCEPTED
    assert limit.breaches == ("MARKET_CLOSED",)  # the opening is over
    [shown] = world.at_venue()
    assert (shown["time_in_force"], shown["type"]) == ("cls", "market")
    world.session.risk.gate.account(10**30, world.now.venue)
    world.now = type(world.now)(MONDAY + 347 * MINUTE, world.now.mono + 347 * MINUTE)  # 15:51 New York
    world.quote("MSFT", "100.00", "100.02")
    [late] = world.do(lambda: world.hand.buy("MSFT", 5, tif="cls"))
    assert late.breaches == ("MARKET_CLOSED",)
    [fact] = [fact for fact in world.close() if isinstance(fact, Intended)]
    assert fact.intent.tif is TimeInForce.CLS
