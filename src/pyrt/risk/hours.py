"""When an instrument trades: its session, the venue's statuses, and a stop of the whole market."""

from pyrt._core.risk import Gate
from pyrt._core.types import NO_PRICE, TradingState
from pyrt.calendar import Calendar
from pyrt.errors import DataError
from pyrt.model import AssetClass, Instrument
from pyrt.risk.permits import Permits

BREAKERS = (b"1", b"2", b"3", b"MWC0", b"MWC1", b"MWC2", b"MWC3")  # reasons of a halt of the whole market
_STANDING = (TradingState.HALTED, TradingState.PAUSED, TradingState.QUOTING)


class Hours:
    """Tells the gate the session of each instrument. calendar: None = all trades always."""

    def __init__(self, gate: Gate, calendar: Calendar | None, permits: Permits) -> None:
        self._gate = gate
        self._calendar = calendar
        self._permits = permits
        self._known: dict[int, tuple[int, int]] = {}  # instrument -> from when until when its session is known, venue ns
        self._stopped = False  # a circuit breaker stopped all shares

    def schedule(self, instrument: Instrument, venue: int) -> None:
        """Tell the gate the session now or next. A calendar that does not know closes the market."""
        since, until = self._known.get(instrument.id, (0, 0))
        if since <= venue < until:
            return
        if self._calendar is None or instrument.asset_class == AssetClass.CRYPTO:
            self._known[instrument.id] = (0, 1 << 63)
            self._gate.session(instrument.id, 0, 0)
            return
        try:
            s = self._calendar.session_from(venue)
        except DataError:
            self._gate.no_session(instrument.id)
            return
        if until:
            self._gate.bands(instrument.id, 0, 0)  # those of the session before
        self._known[instrument.id] = (venue, s.post_close)
        pre_open = self._permits.pre_open(instrument, s.pre_open)
        self._gate.session(instrument.id, s.open, s.close, pre_open=pre_open, post_close=s.post_close)

    def stopped(self, instrument: Instrument) -> bool:
        """Whether a circuit breaker stops an instrument."""
        return self._stopped and instrument.asset_class != AssetClass.CRYPTO

    def known(self, instrument: int) -> tuple[int, int]:
        """From when until when the gate knows an instrument's session, venue ns."""
        return self._known.get(instrument, (0, 0))

    def forget(self, instrument: int) -> None:
        """What decides an instrument's session has changed."""
        self._known.pop(instrument, None)

    def forget_all(self) -> None:
        """What decides every session has changed."""
        self._known.clear()

    def status(self, instrument: int, lower_px: int, upper_px: int, state: int = 0, reason: int = 0) -> None:
        """Take in a trading status: its price bands, where it carries any (NO_PRICE = none), and a stop of the whole market."""
        if state in _STANDING and reason.to_bytes(4, "little").rstrip(b"\0") in BREAKERS:
            self._stopped = True
            self._gate.halt_market(True)
        elif self._stopped and state == TradingState.TRADING:
            self._stopped = False
            self._gate.halt_market(False)
        if lower_px != NO_PRICE and upper_px != NO_PRICE:
            self._gate.bands(instrument, lower_px, upper_px)
