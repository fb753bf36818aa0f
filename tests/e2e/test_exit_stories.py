"""Exits from a strategy over the venue's real HTTP and WebSocket server: entered, moved, filled in part, taken back, left alone."""

import asyncio
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from tests.e2e.adapter import Day, trade
from tests.e2e.test_activities import QUIET, exchanges, facts_of, happen, read_anew

from pyrt.clock import SECOND
from pyrt.model import CashMoved, ExternalSeen, Filled, OrderStatus, PositionAdjusted
from pyrt.strategies import Order
from pyrt.venues.sim.actions import Action
from pyrt.venues.sim.exchange.exchange import Exchange
from pyrt.venues.sim.library import SimulatedVenue, simulated_venue
from pyrt.venues.sim.market.market import DEFAULT_START

__all__ = ["exchanges"]

LATE = DEFAULT_START + 22_200 * SECOND  # 15:40 in New York


def far(day: Day, symbol: str = "AAPL") -> dict[str, Any]:
    """Exits that the market does not reach while a test lasts, in whole dollars: halves of them are on the tick."""
    middle = (day.hand.bid[symbol] + day.hand.ask[symbol]) / 2
    return {"take_profit": round(middle * 1.1), "stop_loss": round(middle * 0.9), "tif": "gtc"}


async def is_at(day: Day, order: Order | None, *statuses: OrderStatus) -> Order:
    assert order is not None
    await day.until(lambda: order.status in statuses, f"{statuses} of {order!r} {order.breaches}")
    return order


async def fill(day: Day, exchange: Exchange, order: Order, qty: str) -> None:
    """A fill of an order that no market offered."""
    known = day.session.execution.orders[order.number]
    px = str(order.limit or order.stop or round(Decimal(day.hand.bid[order.symbol]), 2))
    await happen(day, exchange, lambda ex, now: ex.force_fill(known.venue_order_id, qty, px, now))


async def bracket(day: Day, quantity: int = 10, symbol: str = "AAPL") -> Order:
    await day.fresh()
    entry = day.do(lambda: day.hand.buy(symbol, quantity, **far(day, symbol)))
    await day.filled(entry)
    await is_at(day, entry.take_profit, OrderStatus.ACCEPTED)
    await is_at(day, entry.stop_loss, OrderStatus.HELD)
    return entry


def held(day: Day, symbol: str = "AAPL") -> Decimal:
    return day.hand.position(symbol).quantity


def test_a_bracket_is_moved_filled_in_part_and_ended_by_its_stop(tmp_path: Path, exchanges: list[Exchange]) -> None:
    async def story(day: Day) -> None:
        entry = await bracket(day)
        stop, profit = entry.stop_loss, entry.take_profit
        assert stop is not None
        assert profit is not None
        moved = day.do(lambda: day.hand.replace(stop, stop=stop.stop + 1))
        await is_at(day, moved, OrderStatus.HELD)
        await is_at(day, stop, OrderStatus.REPLACED)
        await fill(day, exchanges[0], profit, "4")
        await day.until(lambda: held(day) == 6 and moved.quantity == 6, "the stop that shrank")
        again = day.do(lambda: day.hand.replace(profit, limit=profit.limit + 1))
        await is_at(day, again, OrderStatus.ACCEPTED, OrderStatus.PARTIAL)
        await fill(day, exchanges[0], moved, "6")
        await day.until(lambda: held(day) == 0 and again.is_done, "the end")
        assert not day.hand.open_orders()

    alarms = trade(tmp_path, story, adjusted=True)
    assert not QUIET & set(alarms)
    assert not facts_of(tmp_path, ExternalSeen)


def test_a_pair_an_oto_and_a_trailing_stop_are_taken_back_and_closed(tmp_path: Path, exchanges: list[Exchange]) -> None:
    async def story(day: Day) -> None:
        await day.filled(day.take("AAPL", 10))
        exits = far(day)
        pair = day.do(lambda: day.hand.protect("AAPL", take_profit=exits["take_profit"], stop_loss=exits["stop_loss"]))
        await is_at(day, pair, OrderStatus.ACCEPTED)
        await is_at(day, pair.stop_loss, OrderStatus.HELD)
        day.do(lambda: day.hand.cancel(pair.stop_loss))
        await day.canceled(pair)
        await day.canceled(pair.stop_loss)
        trail = day.do(lambda: day.hand.protect("AAPL", trail_percent=5))
        await is_at(day, trail, OrderStatus.ACCEPTED)
        tighter = day.do(lambda: day.hand.replace(trail, trail_percent=4))
        await is_at(day, tighter, OrderStatus.ACCEPTED)
        await is_at(day, trail, OrderStatus.REPLACED)
        day.do(lambda: day.hand.cancel(tighter))
        await day.canceled(tighter)
        await day.fresh()
        await day.filled(day.do(lambda: day.hand.close("AAPL")))
        await day.fresh()
        exits = far(day, "MSFT")
        oto = day.do(lambda: day.hand.buy("MSFT", 5, stop_loss=exits["stop_loss"], tif="gtc"))
        await day.filled(oto)
        stop = await is_at(day, oto.stop_loss, OrderStatus.ACCEPTED)
        await fill(day, exchanges[0], stop, "5")
        await day.until(lambda: not held(day, "MSFT"), "the stop of an OTO")

    alarms = trade(tmp_path, story)
    assert not QUIET & set(alarms)
    assert not facts_of(tmp_path, ExternalSeen)


def test_an_entry_filled_in_part_and_taken_back_leaves_its_exits_as_the_venue_does(
    tmp_path: Path, exchanges: list[Exchange]
) -> None:
    async def story(day: Day) -> None:
        await day.fresh()
        limit = round(day.hand.bid["AAPL"] * 0.97, 2)
        entry = day.do(lambda: day.hand.buy("AAPL", 10, limit=limit, **far(day)))
        await is_at(day, entry, OrderStatus.ACCEPTED)
        await fill(day, exchanges[0], entry, "4")
        await day.until(lambda: held(day) == 4, "a part")
        assert [leg.status for leg in entry.legs] == [OrderStatus.HELD] * 2
        day.do(lambda: day.hand.cancel(entry))
        await day.canceled(entry)
        await day.until(lambda: all(leg.is_done for leg in entry.legs), "exits that end with their entry")
        await read_anew(day)
        assert not day.session.risk.ledger.open_orders
        await day.fresh()
        stop = day.do(lambda: day.hand.protect("AAPL", stop_loss=far(day)["stop_loss"]))
        await is_at(day, stop, OrderStatus.ACCEPTED)
        assert stop.quantity == 4

    alarms = trade(tmp_path, story)
    assert not QUIET & set(alarms)


class Nights:
    """One venue and one journal over several sessions."""

    def __init__(self, tmp_path: Path, venue: SimulatedVenue) -> None:
        self._tmp_path, self._venue = tmp_path, venue

    def day(self, story: Any, **settings: Any) -> list[str]:
        return trade(self._tmp_path, story, outside=self._venue, **settings)

    def fill(self, exchange: Exchange, venue_order_id: str, qty: str) -> None:
        """A fill of an order that no market offered."""

        async def there() -> None:
            exchange.force_fill(venue_order_id, qty, "200", exchange.state.now)

        asyncio.run_coroutine_threadsafe(there(), self._venue._loop).result(30)  # type: ignore[arg-type]

    def pass_(self, to: str = "open") -> None:
        """Nobody looks while the venue's clock goes on."""
        self._venue.fault("day_roll", to=to)

        async def told() -> None:
            while not self._venue.truth()["faults"]["firings"]:
                await asyncio.sleep(0.05)

        asyncio.run(asyncio.wait_for(told(), 30))
        self._venue.disarm()


@pytest.mark.row("X08")
@pytest.mark.parametrize("kind", ["cash_dividend", "forward_split", pytest.param("reverse_split", marks=pytest.mark.nightly)])
def test_a_night_with_a_corporate_action_is_explained_and_the_exits_stand(tmp_path: Path, kind: str) -> None:
    rates = {
        "cash_dividend": {"rate": "0.25", "withheld": "0.1"},
        "forward_split": {"new_rate": 2},
        "reverse_split": {"old_rate": 5},
    }
    action = Action(kind=kind, symbol="AAPL", ex_date=date(2026, 3, 3), **rates[kind])  # type: ignore[arg-type]
    shown: dict[str, Any] = {}

    async def evening(day: Day) -> None:
        entry = await bracket(day)
        await day.filled(day.take("MSFT", 2))
        today = day.do(lambda: day.hand.protect("MSFT", stop_loss=far(day, "MSFT")["stop_loss"], tif="day"))
        await is_at(day, today, OrderStatus.ACCEPTED)
        shown.update(today=today.number, exits=[(leg.quantity, leg.limit, leg.stop) for leg in entry.legs])

    async def morning(day: Day) -> None:
        await read_anew(day)
        ratio = Decimal(action.new_rate) / action.old_rate
        assert held(day) == 10 * ratio
        assert not day.session.execution.unexplained
        assert day.session.execution.orders[shown["today"]].status is OrderStatus.EXPIRED
        assert held(day, "MSFT") == 2
        exits = [(o.quantity, o.limit, o.stop) for o in day.hand.open_orders("AAPL")]
        if kind == "reverse_split":
            assert exits == []  # the venue cancels what stands
        else:
            assert exits == [(q * ratio, limit and limit / ratio, stop and stop / ratio) for q, limit, stop in shown["exits"]]
        await day.fresh()
        if exits:
            [profit, stop] = day.hand.open_orders("AAPL")
            moved = day.do(lambda: day.hand.replace(stop, stop=stop.stop + Decimal("0.5")))
            await is_at(day, moved, OrderStatus.HELD)
            day.do(lambda: day.hand.cancel(profit))
            await day.until(lambda: not day.hand.open_orders("AAPL"), "no exits")
        await day.filled(day.do(lambda: day.hand.close("AAPL")))

    with simulated_venue(seed=5, start=LATE, calendar=True, actions=(action,)) as venue:
        nights = Nights(tmp_path, venue)
        alarms = nights.day(evening, hours=True)
        nights.pass_()
        alarms += nights.day(morning, adjusted=action.is_split, hours=True)
    assert not QUIET & set(alarms)
    assert not facts_of(tmp_path, ExternalSeen)
    moved = [(f.type, f.net) for f in facts_of(tmp_path, CashMoved) if f.type.startswith("DIV")]
    paid = [("DIV", 2_500_000_000), ("DIVNRA", -250_000_000)]
    assert sorted(moved) == (paid if kind == "cash_dividend" else [])
    adjusted = [f.qty for f in facts_of(tmp_path, PositionAdjusted)]
    assert adjusted == {"cash_dividend": [], "forward_split": [10**10], "reverse_split": [-8 * 10**9]}[kind]
    assert facts_of(tmp_path, Filled)


def test_exits_that_fill_while_nobody_looks_are_found_at_the_next_start(tmp_path: Path, exchanges: list[Exchange]) -> None:
    """And those that both filled are bought back."""
    legs: list[str] = []

    async def first(day: Day) -> None:
        for symbol in ("AAPL", "MSFT"):
            entry = await bracket(day, symbol=symbol)
            legs.extend(day.session.execution.orders[leg.number].venue_order_id for leg in entry.legs)

    async def second(day: Day) -> None:
        await day.until(lambda: not held(day) and not held(day, "MSFT"), "flat positions")
        await read_anew(day)
        assert not day.session.risk.ledger.open_orders
        sides = [o["side"] for o in (await day.truth())["orders"] if o["symbol"] == "MSFT"]
        assert sides == ["buy", "sell", "sell", "buy"]

    with simulated_venue(seed=5, start=LATE) as venue:
        nights = Nights(tmp_path, venue)
        alarms = nights.day(first)
        for venue_order_id in (legs[1], *legs[2:]):
            nights.fill(exchanges[0], venue_order_id, "10")
        assert not QUIET & set(alarms)
        alarms = nights.day(second, adjusted=True)
    assert alarms.count("EXITS_RACED") == 1
    assert not QUIET & set(alarms)


def test_an_order_for_the_opening_fills_in_its_auction(tmp_path: Path) -> None:
    async def story(day: Day) -> None:
        await day.fresh()
        order = day.do(lambda: day.hand.buy("AAPL", 3, tif="opg"))
        await is_at(day, order, OrderStatus.ACCEPTED)
        close = day.do(lambda: day.hand.buy("MSFT", 2, tif="cls"))
        await is_at(day, close, OrderStatus.ACCEPTED)
        day.do(lambda: day.hand.cancel(close))
        await day.canceled(close)
        await day.fault("day_roll", to="open")
        await day.filled(order)

    with simulated_venue(seed=5, start=DEFAULT_START - 600 * SECOND, calendar=True) as venue:
        alarms = trade(tmp_path, story, outside=venue, hours=True)
    assert not QUIET & set(alarms)
    assert [(f.qty, f.side) for f in facts_of(tmp_path, Filled)] == [(3 * 10**9, 1)]
