"""Market-data REST of pairs: history, latest, order books and snapshots. As at Alpaca, no keys are needed for it."""

from aiohttp import web

from pyrt.model import AssetClass
from pyrt.venues.sim.market.archive import Archive
from pyrt.venues.sim.server.archive_thread import ArchiveThread
from pyrt.venues.sim.server.data_query import read_ask, read_span, read_symbols
from pyrt.venues.sim.server.edge import answer
from pyrt.venues.sim.server.feeds import CRYPTO_PLACES
from pyrt.venues.sim.server.floor import Floor
from pyrt.venues.sim.times import CHICAGO, day_start

KINDS = "bars|trades|quotes"
BASE = f"/v1beta3/crypto/{{place:{'|'.join(CRYPTO_PLACES)}}}"


class CryptoRest:
    """The handlers of /v1beta3/crypto."""

    def __init__(self, floor: Floor, archive: Archive, thread: ArchiveThread) -> None:
        self._floor = floor
        self._archive = archive
        self._there = thread.run
        self._known = archive.symbols(AssetClass.CRYPTO)

    def routes(self) -> list[web.RouteDef]:
        """Every path."""
        paths = {
            f"{BASE}/latest/orderbooks": self.orderbooks,
            f"{BASE}/latest/{{kind:{KINDS}}}": self.latest,
            f"{BASE}/snapshots": self.snapshots,
            f"{BASE}/{{kind:{KINDS}}}": self.history,
        }
        return [web.get(path, handler, allow_head=False) for path, handler in paths.items()]

    async def history(self, request: web.Request) -> web.Response:
        """GET /v1beta3/crypto/us/{bars,trades,quotes}."""
        kind, now = request.match_info["kind"], self._floor.catch_up()
        symbols = read_symbols(request.query, self._known)
        span = read_span(request.query, now, day_start(now, CHICAGO))
        rows, token = await self._there(self._archive.page, read_ask(request.query, kind, symbols, now, span))
        return answer({kind: rows, "next_page_token": token})

    async def latest(self, request: web.Request) -> web.Response:
        """GET /v1beta3/crypto/us/latest/{bars,trades,quotes}."""
        kind, now = request.match_info["kind"], self._floor.catch_up()
        found = {s: await self._there(self._archive.latest, kind, s, now) for s in read_symbols(request.query, self._known)}
        return answer({kind: {symbol: row for symbol, row in found.items() if row is not None}})

    async def orderbooks(self, request: web.Request) -> web.Response:
        """GET /v1beta3/crypto/us/latest/orderbooks."""
        now = self._floor.catch_up()
        found = {s: await self._there(self._archive.orderbook, s, now) for s in read_symbols(request.query, self._known)}
        return answer({"orderbooks": {symbol: book for symbol, book in found.items() if book is not None}})

    async def snapshots(self, request: web.Request) -> web.Response:
        """GET /v1beta3/crypto/us/snapshots."""
        now = self._floor.catch_up()
        found = {s: await self._there(self._archive.snapshot, s, now) for s in read_symbols(request.query, self._known)}
        return answer({"snapshots": {symbol: snapshot for symbol, snapshot in found.items() if snapshot is not None}})
