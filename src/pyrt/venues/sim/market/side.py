"""A market beside the one that is traded: the same one some time ago, or the test symbol. It costs nothing while nobody listens."""

from collections.abc import Callable

from pyrt.clock import DAY
from pyrt.venues.sim.market.archive import this_minute
from pyrt.venues.sim.market.generator import FIRST_DAY, Listing, Records
from pyrt.venues.sim.market.market import NEVER, GeneratedMarket, Market, share_tape

TEST_ID = 900
FORTNIGHT = 14 * DAY


class SideMarket:
    """Opened anew when somebody begins to listen. `lag`: ns behind the venue; `shift`: ns that its own stamps are ahead of it."""

    def __init__(self, begin: Callable[[int], Market], *, lag: int = 0, shift: int = 0) -> None:
        self._begin = begin
        self._market: Market | None = None
        self.lag = lag
        self._shift = shift

    @property
    def is_open(self) -> bool:
        """Somebody listens."""
        return self._market is not None

    def open(self, now: int) -> Records:
        """Begin after venue time `now`; what came before in its minute."""
        at = now - self.lag + self._shift
        self._market = self._begin(at + 1)
        return self._stamped(this_minute(self._market, at + 1))

    def close(self) -> None:
        """Nobody listens any more."""
        self._market = None

    def advance(self, now: int) -> Records:
        """What is due by venue time `now`."""
        assert self._market is not None
        return self._stamped(self._market.advance(now - self.lag + self._shift))

    def history_bars(self, symbol: str, start: int, end: int, interval: int, now: int = NEVER) -> Records:
        """Bars as of venue time `now`."""
        assert self._market is not None
        shift = self._shift
        bars = self._market.history_bars(symbol, start + shift, end + shift, interval, now - self.lag + shift)
        if shift:
            bars = bars.copy()
            bars["start"] -= shift
            bars["ts_event"] -= shift
        return bars

    def _stamped(self, records: Records) -> Records:
        if self._shift and len(records):
            records = records.copy()
            records["ts_event"] -= self._shift
            records["ts_recv"] = records["ts_event"]
            records["seq"][records["seq"] > 0] -= self._shift
        return records


def fakepaca_market(symbol: str, seed: int, now: int) -> SideMarket:
    """The market of the test stream; it goes on in times in which no market is generated, too."""
    missing = (FIRST_DAY + 2) * DAY - now
    listing = Listing(symbol, 100.0, 0.01, (55, 30, 10, 4, 1), 4.0, 1.0, "C")

    def begin(at: int) -> Market:
        return GeneratedMarket(at, [share_tape(TEST_ID, listing, seed, 4.0)])

    return SideMarket(begin, shift=-(-missing // FORTNIGHT) * FORTNIGHT if missing > 0 else 0)
