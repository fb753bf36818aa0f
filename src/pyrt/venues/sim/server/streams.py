"""All data streams of a venue, each at its path."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

from aiohttp import web

from pyrt.model import Instrument
from pyrt.venues.sim.market.generator import Records
from pyrt.venues.sim.market.market import Market
from pyrt.venues.sim.market.side import TEST_ID, SideMarket, fakepaca_market
from pyrt.venues.sim.server.access import Access
from pyrt.venues.sim.server.data_stream import DataHub
from pyrt.venues.sim.server.faults import Faults
from pyrt.venues.sim.server.feeds import CRYPTO, CRYPTO_PATHS, DELAY, NEWS, STOCK_PATHS, STOCKS, TEST_SYMBOL
from pyrt.venues.sim.server.floor import Floor
from pyrt.venues.sim.server.truth import Truth


class DataStreams:
    """The hubs of the feeds: iex and sip are one, the others have connections of their own.

    `plan`: names of the feeds of shares that clients may have; `again`: the market that is traded, from an instant on;
    `limits`: further settings of DataHub.
    """

    def __init__(
        self,
        floor: Floor,
        instruments: Sequence[Instrument],
        access: Access,
        faults: Faults,
        truth: Truth,
        *,
        plan: Sequence[str],
        again: Callable[[int], Market],
        seed: int,
        **limits: Any,
    ) -> None:
        self.interest = asyncio.Event()  # somebody changed what is wanted
        common: dict[str, Any] = {"interest": self.interest, **limits}

        def hub(listed: Sequence[Instrument], **own: Any) -> DataHub:
            return DataHub(floor, listed, access, faults, truth, **{"feed": STOCKS, **common, **own})

        self.stocks = hub(instruments, granted="iex" in plan or "sip" in plan)
        self.crypto = hub(instruments, feed=CRYPTO)
        self._paths: dict[str, DataHub] = dict.fromkeys(CRYPTO_PATHS, self.crypto)
        for path, name in STOCK_PATHS.items():
            if name in ("iex", "sip"):
                self._paths[path] = self.stocks if name in plan else hub((), granted=False)
            elif name == "test":
                listed = [Instrument(id=TEST_ID, symbol=TEST_SYMBOL)]
                self._paths[path] = hub(listed, side=fakepaca_market(TEST_SYMBOL, seed, floor.now))
            elif name == "delayed_sip" and name in plan:
                self._paths[path] = hub(instruments, side=SideMarket(again, lag=DELAY))
            else:  # nothing listed here trades there
                self._paths[path] = hub((), granted=name in plan)

        self.news = hub((), feed=NEWS, granted=False)

    @property
    def hubs(self) -> list[DataHub]:
        """Every hub once."""
        return list(dict.fromkeys((*self._paths.values(), self.news)))

    def count(self, records: Records) -> None:
        """Take in what came before the venue began, in its minute."""
        self.stocks.count(records)
        self.crypto.count(records)

    def routes(self) -> list[web.RouteDef]:
        """Every path but that of the news, which REST has too."""
        return [web.get(path, hub.serve, allow_head=False) for path, hub in self._paths.items()]
