"""The market-data streams of stocks and of crypto: what the market says, to whom it concerns."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from pyrt._core.encode import Encoder
from pyrt._core.types import NO_PRICE, Flag, RecordType, market_dtype, status_dtype
from pyrt.calendar import NEW_YORK
from pyrt.model import AssetClass, Instrument
from pyrt.venues.sim.market.depth import Depth
from pyrt.venues.sim.market.side import SideMarket
from pyrt.venues.sim.market.stream_bars import StreamBars
from pyrt.venues.sim.server.access import Access
from pyrt.venues.sim.server.data_session import BANDS, BAR_BITS, BITS, Session, SessionHub, Subscriptions
from pyrt.venues.sim.server.faults import Faults
from pyrt.venues.sim.server.feeds import Feed
from pyrt.venues.sim.server.floor import Floor, Records
from pyrt.venues.sim.server.mishaps import offset_ns
from pyrt.venues.sim.server.skew import moved_records
from pyrt.venues.sim.server.truth import Truth
from pyrt.venues.sim.times import CHICAGO

FRAME_RECORDS = 2000  # a frame stays far below the 1 MiB that many clients accept


class DataHub(SessionHub[Session]):
    """All data sockets, and what the market says to each of them."""

    make = Session

    def __init__(
        self,
        floor: Floor,
        instruments: Iterable[Instrument],
        access: Access,
        faults: Faults,
        truth: Truth,
        *,
        feed: Feed,
        side: SideMarket | None = None,
        **limits: Any,
    ) -> None:
        """`limits`: as of SessionHub."""
        super().__init__(floor, access, faults, truth, **limits)
        instruments = list(instruments)
        self.feed = feed
        self._side = side  # the market that is told, where it is not the one that is traded
        self.rows = max((i.id for i in instruments), default=0) + 1  # of a table by instrument
        self._own = np.zeros(self.rows, dtype=bool)
        instruments = [i for i in instruments if i.asset_class == feed.asset_class]
        self.ids = {i.symbol: i.id for i in instruments}
        self._own[list(self.ids.values())] = True
        self._all_own = bool(self._own[1:].all())
        self._books = Depth(instruments)
        self._instruments = instruments
        self.bars = self._fresh_bars()
        self._encoders: dict[str, Encoder] = {}
        for codec in ("msgpack", "json"):
            encoder = Encoder(codec)
            for i in instruments:
                encoder.register(i.symbol, i.id, qty_exp=i.qty_exp)
            self._encoders[codec] = encoder
        if instruments:
            floor.on_market.append(self.publish)

    def count(self, records: Records) -> None:
        """Take in trades of the minute in which the venue begins, from before it did, and the books as they are then."""
        own = records[self._own[records["instrument"]]]
        self.bars.count(own)
        self._books.apply(own)

    def _fresh_bars(self) -> StreamBars:
        crypto = self.feed.asset_class == AssetClass.CRYPTO
        return StreamBars(self._instruments, self._side or self._floor.market, CHICAGO if crypto else NEW_YORK)

    def whole_books(self, codec: str, fresh: npt.NDArray[np.uint32]) -> list[bytes]:
        """The books of the instruments whose `fresh` bits have orderbooks, one frame each."""
        wanted = np.flatnonzero(fresh & BITS["orderbooks"]).tolist()
        books = (self._books.whole(number, self._floor.now + offset_ns(self.faults)) for number in wanted if self._own[number])
        return [self._encoders[codec].encode(book) for book in books]

    def publish(self, records: Records, now: int) -> None:
        """Send a batch of the market, and the bars that it closed, to whom it concerns."""
        if self._side is not None and not self._sessions:
            self._side.close()
            return
        if self._side is not None:
            records = self._told_aside(self._side, now)
            now -= self._side.lag
        if len(records) and not self._all_own:
            records = records[self._own[records["instrument"]]]
        self._books.apply(records)
        bars = self.bars.take(records, now)
        if not self._sessions:
            return
        if skew_ns := offset_ns(self.faults):
            records, bars = moved_records(records, skew_ns), {kind: moved_records(rows, skew_ns) for kind, rows in bars.items()}
        made: dict[tuple[str, bytes], Sequence[bytes]] = {}
        for session in self._sessions.copy():
            wanted = session.subscriptions
            key = (session.codec, wanted.key)
            if wanted and key not in made:
                made[key] = self._frames(self._encoders[session.codec], wanted, records, bars)
            for frame in made.get(key, ()):
                session.send(frame)

    def _told_aside(self, side: SideMarket, now: int) -> Records:
        if side.is_open:
            return side.advance(now)
        before = side.open(now)
        self.bars = self._fresh_bars()
        self.count(before)
        return np.zeros(0, dtype=market_dtype)

    def _frames(self, encoder: Encoder, wanted: Subscriptions, records: Records, bars: dict[str, Records]) -> list[bytes]:
        frames = []
        if len(records):
            bits = wanted.table[records["instrument"]]
            chosen = records[(bits >> _places(records)) & 1 == 1] if bits.any() else records[:0]
            self.messages += len(chosen)
            chosen = _dated_back(chosen)
            frames += [encoder.encode(part) for part in _pieces(chosen)]
        for kind, channel in (("b", "bars"), ("u", "updatedBars"), ("d", "dailyBars")):
            closed = bars.get(kind)
            if closed is not None and len(closed):
                closed = closed[wanted.bars[closed["instrument"]] & BAR_BITS[channel] != 0]
                if len(closed):
                    frames.append(encoder.encode_bars(closed, kind))
        return frames


def _places(records: Records) -> npt.NDArray[np.uint16]:
    """The bit of each record in a table of what is wanted."""
    places: npt.NDArray[np.uint16] = records["type"]
    statuses = places == int(RecordType.STATUS)
    if statuses.any():
        bands = statuses & (records.view(status_dtype)["upper_px"] != NO_PRICE)
        places = np.where(bands, np.uint16(BANDS), places)
    return places


def _dated_back(records: Records) -> Records:
    """A correction carries the time of the print that it corrects, so that it counts in the minute of that print."""
    late = (records["seq"] > 0) & (records["flags"] & int(Flag.CORRECTED) != 0)
    if late.any():
        records = records.copy()
        records["ts_event"][late] = records["seq"][late]
    return records


def _pieces(records: Records) -> Iterator[Records]:
    """Of FRAME_RECORDS or a little more: an event of a book, and a correction, stay whole."""
    parts = (records["type"] == int(RecordType.DELTA)) & (records["flags"] & int(Flag.LAST) == 0)
    parts |= (records["type"] == int(RecordType.TRADE_CANCEL)) & (records["flags"] & int(Flag.CORRECTED) != 0)
    ends = np.flatnonzero(~parts) + 1
    begin = 0
    while begin < len(records):
        at = int(np.searchsorted(ends, begin + FRAME_RECORDS))
        end = int(ends[at]) if at < len(ends) else len(records)
        yield records[begin:end]
        begin = end
