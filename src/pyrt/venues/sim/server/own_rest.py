"""The venue's own endpoints: clock, truth, faults. Loopback only, no keys, no rate limit."""

import time
from collections.abc import Sequence

import msgspec
from aiohttp import web

from pyrt.venues.sim.server.data_stream import DataHub
from pyrt.venues.sim.server.edge import BadRequest, answer, local
from pyrt.venues.sim.server.faults import AnyFault, DropData, DropStream, Faults
from pyrt.venues.sim.server.floor import Floor
from pyrt.venues.sim.server.options_stream import OptionHub
from pyrt.venues.sim.server.trading_stream import TradingHub
from pyrt.venues.sim.server.truth import Truth


class OwnRest:
    """The handlers of /sim."""

    def __init__(
        self, floor: Floor, faults: Faults, truth: Truth, data: Sequence[DataHub | OptionHub], trading: TradingHub
    ) -> None:
        self._floor = floor
        self._faults = faults
        self._truth = truth
        self._data = data
        self._trading = trading
        self._decode = msgspec.json.Decoder(AnyFault).decode

    def routes(self) -> list[web.RouteDef]:
        """Every path and method, each refused from elsewhere than this machine."""
        return [
            web.get("/sim/clock", local(self.clock), allow_head=False),
            web.get("/sim/truth", local(self.truth), allow_head=False),
            web.get("/sim/faults", local(self.faults), allow_head=False),
            web.post("/sim/faults", local(self.arm)),
            web.delete("/sim/faults", local(self.disarm)),
        ]

    async def clock(self, request: web.Request) -> web.Response:
        """GET /sim/clock."""
        return answer(self._floor.reading())

    async def truth(self, request: web.Request) -> web.Response:
        """GET /sim/truth?since=SEQ: requests and connections after SEQ; all orders and fills."""
        since = request.query.get("since", "0")
        if not (since.isascii() and since.isdigit() and len(since) < 19):
            raise BadRequest("since is not a sequence number")
        return answer({**self._floor.exchange.truth(), **self._truth.report(int(since)), "now_ns": self._floor.now})

    async def faults(self, request: web.Request) -> web.Response:
        """GET /sim/faults."""
        return answer(self._faults.report())

    async def arm(self, request: web.Request) -> web.Response:
        """POST /sim/faults."""
        try:
            fault = self._decode(await request.read())
        except (msgspec.DecodeError, UnicodeDecodeError) as e:
            raise BadRequest(str(e), 40010000) from None
        self._faults.arm(fault, time.monotonic_ns())
        if isinstance(fault, DropData):
            for hub in self._data:
                hub.cut("drop_data")
        elif isinstance(fault, DropStream):
            self._trading.cut("drop_stream")
        return answer(self._faults.report())

    async def disarm(self, request: web.Request) -> web.Response:
        """DELETE /sim/faults."""
        self._faults.disarm()
        return answer(self._faults.report())
