"""The market at an instant, from whatever is left of a recording: nobody's strategy is needed for it."""

from pyrt._core.types import market_dtype
from pyrt.journal.runs import RecordedRun
from pyrt.live.why import Market, market_of
from pyrt.market import MarketData
from pyrt.model import Instrument, Instruments


def market_at(run: RecordedRun, instrument: Instrument, ts: int) -> Market | None:
    """What the last records of an instrument said, those of the entry at `ts` (venue ns) included; None = there are none before it.

    Raises DataError.
    """
    instruments = Instruments()
    instruments.add(instrument)
    market = MarketData(instruments, grace=0)
    market.watch(instrument)
    heard = False
    for entry in run.entries():
        if entry.now.venue > ts:
            break
        if not entry.is_records or entry.body.dtype != market_dtype:
            continue
        own = entry.body[entry.body["instrument"] == instrument.id]
        if len(own):
            heard = True
            records, at = market.sequence(own), 0
            while at < len(records):
                at = market.pipeline.run(records, at)  # type: ignore[arg-type]  # before 3.12 nothing says that an array is a buffer
    return market_of(market.refs, instrument.id, ts) if heard else None
