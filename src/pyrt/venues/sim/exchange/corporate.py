"""Splits and dividends, as they come over accounts: shares, cost, open orders, cash and the entries that tell of them.

A split is made at 02:00 New York of its ex date. Whole shares and what is left of the smallest unit decide: the quantity is rounded
towards zero to the instrument's unit, or to whole shares with the rest paid in cash at the new price where the action says
`cash_in_lieu` or the asset cannot be held in fractions. Who holds shares at that instant of a dividend's ex date is paid at 02:00
of its payable date; who is short pays. Open orders: see Action.orders.
"""

from collections.abc import Callable
from fractions import Fraction
from math import ceil, floor
from typing import TYPE_CHECKING

import msgspec
import numpy as np

from pyrt._core.types import NO_PRICE, RecordType, Side, format_units, market_dtype, quote_dtype, to_units, trade_dtype
from pyrt.errors import ConfigError
from pyrt.model import Instrument
from pyrt.venues.sim.actions import Action
from pyrt.venues.sim.exchange.account import Account, Position, money, read_money
from pyrt.venues.sim.exchange.activities import cents, enter
from pyrt.venues.sim.exchange.corrections import rewrite
from pyrt.venues.sim.exchange.orders import FINAL, SHARE, Row

if TYPE_CHECKING:
    from pyrt.venues.sim.exchange.exchange import Exchange


class Split(msgspec.Struct, kw_only=True):
    """A split that was made, so that fills before it can be counted again."""

    ts: int
    instrument: int
    fills: int  # how many fills there were before it
    new_rate: int
    old_rate: int
    whole: bool  # fractions were paid out
    px: int  # of a new share

    def apply(self, position: Position, exp: int) -> int:
        """Split a position; money units paid for the fraction of a share that is not kept."""
        ratio, unit = Fraction(self.new_rate, self.old_rate), 10**exp if self.whole else 1
        exact = abs(position.qty) * ratio
        kept = int(exact / unit) * unit
        sign = 1 if position.qty > 0 else -1
        paid = 0
        if self.whole and exact > kept:
            part = floor(position.cost * (exact - kept) / exact)
            paid = sign * cents(money(self.px, int(exact - kept), exp))
            position.cost -= part
            position.realised += paid - part
        position.qty = sign * kept
        position.day_qty = sign * min(int(abs(position.day_qty) * ratio), kept)
        return paid


def schedule_action(exchange: "Exchange", action: Action) -> None:
    """Let a corporate action happen when it is due; one that is known, or whose instant is past, does nothing more.

    Raises ConfigError for a symbol that is not traded here.
    """
    if exchange.assets_.find(action.symbol) is None:
        raise ConfigError(f"{action.symbol} is not traded here", where="actions", mend="name a symbol of the market")
    state = exchange.state
    if any(known.id == action.id for known in state.actions):
        return
    state.actions.append(action)
    if action.ex > state.now:
        state.put(action.ex, "split" if action.is_split else "ex_dividend", action=action.id)


def _known(exchange: "Exchange", id_: str) -> tuple[Action, Instrument]:
    action = next(a for a in exchange.state.actions if a.id == id_)
    instrument = exchange.assets_.find(action.symbol)
    assert instrument is not None
    return action, instrument


# ---------------------------------------------------------------------------------------------------- splits
def _due_split(exchange: "Exchange", action: str) -> None:
    told, instrument = _known(exchange, action)
    state = exchange.state
    fractionable = bool(exchange.assets_.shown[instrument.id]["fractionable"])
    waiting = _lift(exchange, instrument.id)
    _rescale_market(exchange, instrument.id, 1 / told.ratio)
    split = Split(
        ts=state.now,
        instrument=instrument.id,
        fills=len(state.fills),
        new_rate=told.new_rate,
        old_rate=told.old_rate,
        whole=told.cash_in_lieu or not fractionable,
        px=exchange.mark(instrument.id),
    )
    state.splits.append(split)
    for prices in (state.closes, state.official, state.marks):
        if instrument.id in prices:
            prices[instrument.id] = _scaled(prices[instrument.id], 1 / told.ratio)
    for account in state.accounts.values():
        _split_account(exchange, account, instrument, told, split)
    _stand(exchange, told, instrument)
    for row in waiting:
        if row.status not in FINAL:
            exchange._route(row, state.now)


def _split_account(exchange: "Exchange", account: Account, instrument: Instrument, action: Action, split: Split) -> None:
    position, exp = account.positions.get(instrument.id), instrument.qty_exp
    if position is None or not position.qty:
        return
    before, exact = position.qty, position.qty * action.ratio
    paid = split.apply(position, exp)
    text = f"{action.symbol} {action.new_rate}:{action.old_rate} {action.kind.replace('_', ' ')}"
    for qty in (-before, position.qty):
        enter(exchange, account.id, "SPLIT", 0, text, symbol=action.symbol, qty=format_units(qty, exp))
    if split.whole and exact != position.qty:
        rest = format_units(int(exact - position.qty), exp)
        text = f"cash in lieu of fractional shares ({action.symbol})"
        enter(exchange, account.id, "CIL", paid, text, symbol=action.symbol, qty=rest, price=format_units(split.px))


def _lift(exchange: "Exchange", instrument: int) -> list[Row]:
    """Take the working orders of an instrument out of the matcher: nobody meets the prices that only tell."""
    rows = [row for (_, i), open_ in exchange._open.items() if i == instrument for row in open_ if row.working]
    for row in rows:
        exchange._withdraw(row)
    return sorted(rows, key=lambda row: row.number)


def _rescale_market(exchange: "Exchange", instrument: int, ratio: Fraction) -> None:
    """Let what the matcher displays be in new shares."""
    bid, bid_qty, ask, ask_qty, last = exchange.matcher.top(instrument)
    trade, quote = np.zeros(1, dtype=trade_dtype), np.zeros(1, dtype=quote_dtype)
    trade["type"], trade["px"] = int(RecordType.TRADE), _scaled(last, ratio) if last else 0
    quote["type"], quote["bid_qty"], quote["ask_qty"] = int(RecordType.QUOTE), bid_qty, ask_qty
    quote["bid_px"] = _scaled(bid, ratio) if bid else NO_PRICE
    quote["ask_px"] = _scaled(ask, ratio) if ask else NO_PRICE
    for record in (trade.view(market_dtype), quote.view(market_dtype)):
        record["instrument"], record["ts_event"] = instrument, exchange.state.now
        exchange.matcher.market(record)


def _scaled(px: int, ratio: Fraction) -> int:
    return max(int(px * ratio), 1)


# ---------------------------------------------------------------------------------------------------- orders
def _stand(exchange: "Exchange", action: Action, instrument: Instrument) -> None:
    """Let open orders go on in new terms, or end them, as the action says."""
    rows = [row for (_, i), open_ in exchange._open.items() if i == instrument.id for row in open_]
    for row in sorted(rows, key=lambda row: row.number):
        if row.status in FINAL:  # another of its group took it along
            continue
        terms = {} if action.standing == "keep" else _adjusted(action, row, instrument)
        if action.standing == "cancel" or terms.get("qty") == row.qty - row.leaves:
            exchange.end(row, "canceled", exchange.state.now)
        elif terms:
            rewrite(exchange, row, **terms)


def _adjusted(action: Action, row: Row, instrument: Instrument) -> dict[str, int]:
    """The terms that are as good as the old ones: rounded to the tick away from a trade, to whole shares or units below."""
    if not action.is_split:
        return _reduced(action, row)
    ratio = action.ratio
    unit = 10**instrument.qty_exp if row.leaves % 10**instrument.qty_exp == 0 else 1
    terms = {"qty": row.qty - row.leaves + int(row.leaves * ratio / unit) * unit}
    if row.limit_px:
        terms["limit_px"] = _on_tick(row.limit_px / ratio, up=row.side is Side.SELL)
    if row.stop_px:
        terms["stop_px"] = _on_tick(row.stop_px / ratio, up=row.side is Side.BUY)
    if row.trails:
        terms |= {"trail_px": ceil(row.trail_px / ratio), "hwm": int(row.hwm / ratio)}
    if row.unit_px:
        terms["unit_px"] = ceil(row.unit_px / ratio)
    return terms


def _reduced(action: Action, row: Row) -> dict[str, int]:
    """Of a dividend: buy limits and sell stops, which the drop of the price would reach by itself, are lowered by it."""
    rate, terms = to_units(action.rate), {}
    if row.side is Side.BUY and row.limit_px > rate:
        terms["limit_px"] = _on_tick(Fraction(row.limit_px - rate), up=False)
    if row.side is Side.SELL and row.stop_px > rate:
        terms["stop_px"] = _on_tick(Fraction(row.stop_px - rate), up=False)
    return terms


def _on_tick(px: Fraction, *, up: bool) -> int:
    tick = 10_000_000 if px >= SHARE else 100_000
    return max((ceil(px / tick) if up else floor(px / tick)) * tick, tick)


# ---------------------------------------------------------------------------------------------------- dividends
def _due_ex_dividend(exchange: "Exchange", action: str) -> None:
    told, instrument = _known(exchange, action)
    state = exchange.state
    for account in state.accounts.values():
        position = account.positions.get(instrument.id)
        if position is not None and position.qty:
            state.put(told.pay, "dividend", action=action, account=account.id, qty=position.qty)
    _stand(exchange, told, instrument)


def _due_dividend(exchange: "Exchange", action: str, account: str, qty: int) -> None:
    told, instrument = _known(exchange, action)
    rate, exp = to_units(told.rate), instrument.qty_exp
    net = cents(money(rate, qty, exp))
    shown = {"symbol": told.symbol, "qty": format_units(qty, exp), "per_share": format_units(rate)}
    text = f"Cash DIV @ {format_units(rate)}, Pos QTY: {format_units(qty, exp)}, Rec Date: {told.record_date or told.ex_date}"
    enter(exchange, account, "DIV", net, text, **shown)
    tax = cents(net * read_money(told.withheld) // 10**18) if net > 0 else 0
    if tax:
        enter(exchange, account, "DIVNRA", -tax, f"tax withheld ({told.symbol})", **shown)


HAPPENS: dict[str, Callable[..., None]] = {"split": _due_split, "ex_dividend": _due_ex_dividend, "dividend": _due_dividend}
