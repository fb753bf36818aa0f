"""When an instrument does not trade: halts, volatility pauses, price bands; told to the matcher and to the data stream."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
import numpy.typing as npt

from pyrt._core.types import (
    NO_PRICE,
    Flag,
    RecordType,
    TradingState,
    quote_dtype,
    status_dtype,
    to_units,
    trade_dtype,
)
from pyrt.model import Instrument
from pyrt.venues.sim.exchange.orders import VenueRefusal, invalid
from pyrt.venues.sim.market.status import LIMIT_STATE, PAUSE, halted_record, resumed_record, status_record

if TYPE_CHECKING:
    from pyrt.venues.sim.exchange.exchange import Exchange

Records = npt.NDArray[np.void]

PAUSES = frozenset({"LUDP", "LUDS", "T5", "M"})  # reasons that end by themselves


class Bands(msgspec.Struct):
    """Where an instrument may trade, px units, both ends included; `since`: ns UTC of the limit state, 0 = not in it."""

    lower: int
    upper: int
    since: int = 0


def _find(exchange: "Exchange", symbol: str) -> Instrument:
    instrument = exchange.assets_.find(symbol)
    if instrument is None:
        raise VenueRefusal(404, 40410000, f"asset not found for {symbol}")
    return instrument


def _tape(exchange: "Exchange", instrument: int) -> str:
    listed = str(exchange.assets_.shown[instrument]["exchange"])
    return {"NASDAQ": "C", "NYSE": "A"}.get(listed, "B")


def halt(exchange: "Exchange", symbol: str, now: int, reason: str = "T1", *, lasts: int | None = None) -> None:
    """Stop trading in an instrument: nothing matches, orders are taken and rest, cancels work.

    lasts: ns until it resumes by itself; None = five minutes for a volatility pause (LUDP, LUDS, T5, M), else until `resume`.
    Raises VenueRefusal 404 for an unknown symbol, 422 for a reason that is not 1 to 4 ASCII letters.
    """
    exchange.advance(now)
    instrument = _find(exchange, symbol).id
    if not (reason.isascii() and reason.isalnum() and len(reason) <= 4):
        raise invalid("a reason has 1 to 4 letters", 40010001)
    _halt(exchange, instrument, reason, lasts)


def _halt(exchange: "Exchange", instrument: int, reason: str, lasts: int | None = None) -> None:
    state = exchange.state
    if lasts is None and reason in PAUSES:
        lasts = PAUSE
    end = state.now + lasts if lasts else 0
    state.halted[instrument] = reason
    state.halts[instrument] = (state.now, end)
    _say(exchange, halted_record(instrument, state.now, _tape(exchange, instrument), reason))
    if end:
        state.put(end, "resume", instrument=instrument, begun=state.now)


def resume(exchange: "Exchange", symbol: str, now: int) -> None:
    """Let an instrument trade again: what waits meets the market at once. Raises VenueRefusal 404, or 422 where it trades."""
    exchange.advance(now)
    instrument = _find(exchange, symbol).id
    if instrument not in exchange.state.halted:
        raise invalid(f"{symbol} is not halted")
    _resume(exchange, instrument)


def _resume(exchange: "Exchange", instrument: int) -> None:
    state = exchange.state
    state.halted.pop(instrument, None)
    state.halts.pop(instrument, None)
    _say(exchange, resumed_record(instrument, state.now, _tape(exchange, instrument)))


def _due_resume(exchange: "Exchange", instrument: int, begun: int) -> None:
    if exchange.state.halts.get(instrument, (0, 0))[0] == begun:  # not one that began later
        _resume(exchange, instrument)


def set_bands(exchange: "Exchange", symbol: str, lower: str | int, upper: str | int, now: int) -> None:
    """Bands that a price must not leave: fifteen seconds after the market tries to, trading pauses for five minutes (LUDP).

    Told on `lulds`. They hold until set anew; 0, 0 ends them. Raises VenueRefusal 404, 422.
    """
    exchange.advance(now)
    instrument = _find(exchange, symbol).id
    try:
        low, high = to_units(lower), to_units(upper)
    except ValueError:
        raise invalid("a band is a price", 40010001) from None
    if not (low == high == 0 or 0 < low < high):
        raise invalid("the lower band is above zero and below the upper one", 40010001)
    if not high:
        exchange.state.bands.pop(instrument, None)
        return
    exchange.state.bands[instrument] = Bands(low, high)
    _say(exchange, status_record(instrument, exchange.state.now, _tape(exchange, instrument), code="B", bands=(low, high)))


def _due_pause(exchange: "Exchange", instrument: int, since: int) -> None:
    bands = exchange.state.bands.get(instrument)
    if bands is not None and bands.since == since:
        bands.since = 0
        if instrument not in exchange.state.halted:
            _halt(exchange, instrument, "LUDP")


def _say(exchange: "Exchange", record: Records) -> None:
    exchange.matcher.market(record)
    exchange._settle()
    exchange.statuses.append(record)


HAPPENS: dict[str, Callable[..., None]] = {"resume": _due_resume, "pause": _due_pause}


def restore(exchange: "Exchange") -> None:
    """After a load: tell the new matcher what is halted."""
    for instrument, reason in exchange.state.halted.items():
        exchange.matcher.market(halted_record(instrument, exchange.state.now, _tape(exchange, instrument), reason))


# ---------------------------------------------------------------------------------------------------- at the floor
def admit(exchange: "Exchange", records: Records) -> Records:
    """What of the market may happen: no trade outside the bands, no quote beyond them, no resumption of a halt that is ours.

    The market's own statuses are remembered, so that a restart knows them.
    """
    state = exchange.state
    told = records["type"] == int(RecordType.STATUS)
    if told.any():
        keep = np.ones(len(records), dtype=bool)
        for at in np.flatnonzero(told).tolist():
            keep[at] = _note(exchange, records[at : at + 1].view(status_dtype)[0])
        records = records[keep]
    for instrument, bands in state.bands.items():
        records = _within(exchange, records, instrument, bands)
    return records


def _note(exchange: "Exchange", row: Any) -> bool:
    state, instrument = exchange.state, int(row["instrument"])
    if not row["state"] or instrument not in exchange.assets_.instruments:
        return True
    if instrument in state.halts:
        return False
    if row["state"] == int(TradingState.TRADING):
        state.halted.pop(instrument, None)
    else:
        state.halted[instrument] = int(row["reason"]).to_bytes(4, "little").rstrip(b"\0").decode("ascii", "replace")
    return True


def _within(exchange: "Exchange", records: Records, instrument: int, bands: Bands) -> Records:
    mine = records["instrument"] == instrument
    if not mine.any():
        return records
    state, records = exchange.state, records.copy()
    beyond = _clamp(records, mine, bands)
    begun, end = state.halts.get(instrument, (0, 0))
    fresh = beyond & (records["ts_event"] >= end) if end or not begun else beyond[:0]
    if fresh.any() and not bands.since:
        bands.since = int(records["ts_event"][np.argmax(fresh)])
        state.put(bands.since + LIMIT_STATE, "pause", instrument=instrument, since=bands.since)
    kept: Records = records[~(beyond & _trades(records))]
    return kept


def published(exchange: "Exchange", records: Records) -> Records:
    """A batch of the market as the data stream tells it: with the statuses that we made, without the trades that they stopped."""
    made, halts = exchange.statuses, exchange.state.halts
    if not made and not halts:
        return records
    exchange.statuses = []
    keep = np.ones(len(records), dtype=bool)
    trades, times = _trades(records), records["ts_event"]
    for instrument in sorted({int(r["instrument"][0]) for r in made} | set(halts)):
        mine = trades & (records["instrument"] == instrument)
        states = [r.view(status_dtype)[0] for r in made if r["instrument"][0] == instrument]
        changes = [(int(r["ts_event"]), r["state"] != int(TradingState.TRADING)) for r in states if r["state"]]
        stopped = not changes[0][1] if changes else instrument in halts
        begin = 0
        for at, stops in [*changes, (2**63 - 1, False)]:
            if stopped:
                keep &= ~(mine & (times >= begin) & (times < at))
            begin, stopped = at, stops
    whole = np.concatenate([*made, records[keep]])
    ordered: Records = whole[np.argsort(whole["ts_event"], kind="stable")]
    return ordered


def _trades(records: Records) -> npt.NDArray[np.bool_]:
    """Which records are trades of their moment, not what became of an earlier one."""
    fresh: npt.NDArray[np.bool_] = (records["type"] == int(RecordType.TRADE)) & (records["flags"] & int(Flag.CORRECTED) == 0)
    return fresh


def _clamp(records: Records, mine: npt.NDArray[np.bool_], bands: Bands) -> npt.NDArray[np.bool_]:
    """Which records want to leave the bands; quotes are brought back to them, an offer or bid that cannot trade is taken away."""
    trades, quotes = records.view(trade_dtype), records.view(quote_dtype)
    beyond = mine & _trades(records) & ((trades["px"] > bands.upper) | (trades["px"] < bands.lower))
    told = mine & (records["type"] == int(RecordType.QUOTE))
    bids, asks = quotes["bid_px"], quotes["ask_px"]
    high = told & (bids != NO_PRICE) & (bids >= bands.upper)
    low = told & (asks != NO_PRICE) & (asks <= bands.lower)
    for name, px, qty, where in (
        ("ask_px", NO_PRICE, "ask_qty", told & (asks > bands.upper) & (asks != NO_PRICE)),
        ("bid_px", NO_PRICE, "bid_qty", told & (bids < bands.lower) & (bids != NO_PRICE)),
    ):
        quotes[name][where], quotes[qty][where] = px, 0
    quotes["bid_px"][high], quotes["ask_px"][low] = bands.upper, bands.lower
    wants_out: npt.NDArray[np.bool_] = beyond | high | low
    return wants_out
