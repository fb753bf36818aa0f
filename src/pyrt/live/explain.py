"""What a human says of a difference between venue and journal, as a running session takes it: told back first, then booked."""

from typing import Any

from pyrt._core.types import PX_SCALE, format_units, to_units
from pyrt.live.plan import Live
from pyrt.model import EXTERNAL, Instrument
from pyrt.ports import Explain
from pyrt.session import Session

NOBODY = "EXTERNAL"  # whose the shares are that no strategy holds


def explain(live: Live, symbol: str, quantity: str, *, who: str, why: str, to: str, cost: str) -> dict[str, Any]:
    """Book a difference where `quantity` says exactly what it is; else only say what there is. All numbers are decimal text."""
    session = live.session
    instrument = session.instruments.get(symbol.upper())
    if instrument is None:
        return {"ok": False, "text": f"no symbol {symbol!r} in this session"}
    exp, difference = instrument.qty_exp, session.execution.differences.get(instrument.id, 0)
    try:
        qty = to_units(quantity, exp) if quantity else difference
        strategy = _holder(session, instrument, to, qty)
        wish = Explain(instrument=instrument.id, qty=qty, strategy=strategy, px=_price(session, instrument, cost), who=who, why=why)
    except ValueError as e:
        return {"ok": False, "text": f"{instrument.symbol}: {e}"}
    here = session.execution.positions.get(instrument.id, 0)
    told = {"symbol": instrument.symbol, "to": NOBODY if strategy == EXTERNAL else session.names[strategy]}
    told |= {"here": format_units(here, exp), "there": format_units(here + difference, exp)}
    told |= {"difference": format_units(difference, exp), "price": format_units(wish.px, PX_SCALE)}
    why_not = session.execution.refusal(wish)
    if quantity:
        live.shell.handle(wish)
        if not why_not and instrument.id in session.execution.differences:
            why_not = live.shell.failed or "it was not booked"  # a fault of ours came between
    latched = f"instrument:{instrument.id}" in session.risk.latches
    return {"ok": bool(quantity and not why_not), "text": why_not, "latched": latched, **told}


def _holder(session: Session, instrument: Instrument, to: str, qty: int) -> int:
    """Who gets the shares, or loses them. Raises ValueError where that must be said."""
    numbers = {name.upper(): number for number, name in session.names.items()} | {NOBODY: EXTERNAL}
    if to:
        number = numbers.get(to.upper())
        if number is None:
            raise ValueError(f"no strategy {to!r}; there are {', '.join([NOBODY, *session.names.values()])}")
        return number
    have = {number: session.risk.position(number, instrument.id).qty for number in numbers.values()}
    short = abs(qty) - max(0, have.pop(EXTERNAL) * (-1 if qty > 0 else 1))
    holders = {number: held for number, held in have.items() if held * qty < 0}
    if short > 0 and holders:  # else a strategy would think that it still has what is gone
        named = ", ".join(f"{session.names[number]} ({format_units(held, instrument.qty_exp)})" for number, held in holders.items())
        raise ValueError(f"who loses them? Say so with --to: {named}, or {NOBODY}")
    return EXTERNAL


def _price(session: Session, instrument: Instrument, cost: str) -> int:
    """What a share counts as having cost: as told, else what it is worth now, so that the day's result does not move."""
    if cost:
        return to_units(cost, PX_SCALE)
    here = session.execution.positions.get(instrument.id, 0)
    after = here + session.execution.differences.get(instrument.id, 0)
    px = session.market.mark(instrument.id, after or here)
    if not px:
        raise ValueError("no price of it is known here: name one with --cost")
    return px
