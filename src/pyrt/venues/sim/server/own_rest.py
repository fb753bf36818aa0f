"""The venue's own endpoints: clock, truth, faults. Loopback only, no keys, no rate limit."""

from collections.abc import Callable

import msgspec
from aiohttp import web
from msgspec.structs import replace

from pyrt.venues.sim.exchange.orders import VenueRefusal
from pyrt.venues.sim.server.edge import BadRequest, answer, local
from pyrt.venues.sim.server.faults import Faults
from pyrt.venues.sim.server.floor import Floor
from pyrt.venues.sim.server.kinds import AnyFault
from pyrt.venues.sim.server.mishaps import offset_ns
from pyrt.venues.sim.server.script import Script
from pyrt.venues.sim.server.truth import Truth

Arm = Callable[[AnyFault], None]


class OwnRest:
    """The handlers of /sim."""

    def __init__(self, floor: Floor, faults: Faults, truth: Truth, arm: Arm, script: Script) -> None:
        self._floor = floor
        self._faults = faults
        self._truth = truth
        self._arm = arm
        self._script = script
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
        reading, offset = self._floor.reading(), offset_ns(self._faults)
        return answer(replace(reading, now_ns=reading.now_ns + offset, epoch_ns=reading.epoch_ns + offset))

    async def truth(self, request: web.Request) -> web.Response:
        """GET /sim/truth?since=SEQ: requests, connections and firings of faults after SEQ; all orders, fills and armings."""
        since = request.query.get("since", "0")
        if not (since.isascii() and since.isdigit() and len(since) < 19):
            raise BadRequest("since is not a sequence number")
        told = {**self._floor.exchange.truth(), **self._truth.report(int(since)), "now_ns": self._floor.now}
        return answer({**told, "faults": {**self._faults.truth(int(since)), "scheduled": self._script.report()}})

    async def faults(self, request: web.Request) -> web.Response:
        """GET /sim/faults."""
        return answer({**self._faults.report(), "scheduled": self._script.report()})

    async def arm(self, request: web.Request) -> web.Response:
        """POST /sim/faults."""
        try:
            fault = self._decode(await request.read())
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as e:
            raise BadRequest(str(e), 40010000) from None
        try:
            self._arm(fault)
        except VenueRefusal as e:
            raise BadRequest(e.message, 40010000) from None
        return answer({**self._faults.report(), "scheduled": self._script.report()})

    async def disarm(self, request: web.Request) -> web.Response:
        """DELETE /sim/faults."""
        self._faults.disarm()
        return answer({**self._faults.report(), "scheduled": self._script.report()})
