"""A halt whose end was not told ends with the first price behind the stream's return, and with nothing less."""

from types import SimpleNamespace
from typing import Any

import numpy as np

from pyrt._core.types import Flag, GapCause, RecordType, TradingState, market_dtype, status_dtype, trade_dtype
from pyrt.clock import SECOND
from pyrt.live.backfill import Backfill
from pyrt.market.backfill import Holes
from pyrt.market.data import MarketData
from pyrt.market.halts import Halts
from pyrt.market.sequencer import Records, gap_record
from pyrt.model import Instrument, Instruments

T = 1_772_463_846 * SECOND


class Told:
    """What a session hears of two shares, with their halts."""

    def __init__(self) -> None:
        instruments = Instruments()
        self.market = MarketData(instruments, grace=0)
        for number, symbol in enumerate(("AAPL", "MSFT"), 1):
            instruments.add(Instrument(id=number, symbol=symbol))
            self.market.watch(instruments[symbol])
        self.holes, self.halts = Holes(), Halts(lambda: self.market.refs)
        self.holes.on_loss = self.halts.lost

    def tell(self, *records: Records) -> list[int]:
        """The instruments whose halt ends by it."""
        whole = np.concatenate(records)
        self.run(whole)
        self.holes.heard(whole)
        if not self.halts.doubted:
            return []
        out = self.halts.heard(whole)
        self.run(out)
        return [int(i) for i in out["instrument"]]

    def run(self, records: Records) -> None:
        at = 0
        while at < len(records):
            at = self.market.pipeline.run(records, at)  # type: ignore[arg-type]

    @property
    def halted(self) -> list[int]:
        return np.flatnonzero(self.market.refs["flags"] & Flag.HALTED).tolist()  # type: ignore[no-any-return]


def status(at: float, state: TradingState, instrument: int = 1) -> Records:
    return record(status_dtype, RecordType.STATUS, at, instrument, state=state)


def trade(at: float, instrument: int = 1, conditions: bytes = b"@") -> Records:
    terms = {"px": 190 * SECOND, "qty": SECOND, "conditions": int.from_bytes(conditions, "little")}
    return record(trade_dtype, RecordType.TRADE, at, instrument, **terms)


def record(kind: Any, type: RecordType, at: float, instrument: int, **fields: int) -> Records:
    out = np.zeros(1, kind)
    out["type"], out["instrument"], out["ts_event"] = type, instrument, T + int(at * SECOND)
    for name, value in fields.items():
        out[name] = value
    return out.view(market_dtype)


def loss(at: float, instrument: int = 1) -> Records:
    ts = T + int(at * SECOND)
    return gap_record(instrument, GapCause.SLOW, ts=ts, from_ts=ts - 9 * SECOND, to_ts=ts)


def test_the_first_price_behind_the_return_ends_a_halt() -> None:
    told = Told()
    assert told.tell(trade(0), status(1, TradingState.PAUSED), status(1, TradingState.HALTED, 2)) == []
    assert told.tell(loss(20), loss(20, 2)) == []
    assert told.halted == [1, 2]  # nobody knows yet
    assert told.tell(trade(19)) == []  # a deal of before, told late
    assert told.tell(trade(21, conditions=b"Z"), trade(21, 2, b"I")) == []  # out of sequence, an odd lot: no price of the present
    assert told.tell(trade(21.5)) == [1]
    assert told.halted == [2]
    assert told.tell(trade(22), trade(23)) == []
    assert told.tell(trade(24, 2)) == [2]
    assert (told.halted, told.halts.resumed, told.halts.doubted) == ([], 2, {})


def test_what_the_venue_says_itself_goes_before() -> None:
    told = Told()
    told.tell(status(1, TradingState.PAUSED), status(1, TradingState.PAUSED, 2))
    told.tell(loss(20), loss(20, 2))
    assert told.tell(status(21, TradingState.TRADING), status(21, TradingState.HALTED, 2)) == []
    assert told.tell(trade(22), trade(22, 2)) == []  # of the second: told late, of before its new halt
    assert told.halted == [2]


def test_a_session_is_fed_what_is_proved() -> None:
    told = Told()
    alarms: list[Any] = []
    session = SimpleNamespace(market=told.market, instruments=told.market.instruments)
    shell = SimpleNamespace(watchers=[], inbox=SimpleNamespace(), handle_market=told.run, alarm=alarms.append)
    backfill = Backfill(session, shell, None)  # type: ignore[arg-type]
    for records in (status(1, TradingState.PAUSED), loss(20), trade(21)):
        told.run(records)
        shell.heard(records)
    assert (told.halted, backfill.halts.resumed) == ([], 1)
    assert [(a.code, a.text.split()[0]) for a in alarms] == [("RESUMED", "AAPL")]


def test_without_a_loss_a_halt_stands() -> None:
    told = Told()
    told.tell(status(1, TradingState.PAUSED))
    assert told.tell(trade(2)) == []
    assert told.halted == [1]
    told.tell(loss(3, 2))
    assert (told.tell(trade(4)), told.halted) == ([], [1])  # of another instrument
