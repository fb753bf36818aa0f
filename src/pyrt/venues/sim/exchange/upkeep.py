"""What a venue does beside trading: halts, bands, auctions, corporate actions, money that moves, fills taken back, days."""

from collections.abc import Callable
from typing import ClassVar

from pyrt.model import AssetClass
from pyrt.venues.sim.exchange import activities, auctions, corporate, corrections, halts, state
from pyrt.venues.sim.exchange.trade import Trading
from pyrt.venues.sim.times import new_york


class Upkeep(Trading):
    """The verbs of an exchange's operator; each is told where it is defined."""

    _upkeep: ClassVar[dict[str, Callable[..., None]]] = {**auctions.HAPPENS, **halts.HAPPENS, **corporate.HAPPENS}

    halt, resume, set_bands = halts.halt, halts.resume, halts.set_bands
    bust, correct, restate = corrections.bust, corrections.correct, corrections.restate
    deposit, withdraw, journal, transfer = activities.deposit, activities.withdraw, activities.journal, activities.transfer
    schedule_action = corporate.schedule_action
    _restore = halts.restore

    def _keep_days(self, edge: int) -> None:
        """The official close of shares, and the begin of a New York day, where `edge` is one."""
        if self.hours.is_close(edge):
            shares = (i for i, one in self.assets_.instruments.items() if one.asset_class != AssetClass.CRYPTO)
            self.state.official = {i: px for i in shares if (px := self.mark(i))}
        if self._day(edge) != self._day(edge - 1):
            state.begin_day(self.state, self._day(edge), self.mark, self.assets_.instruments)

    def _day(self, ns: int) -> str:
        return new_york(ns).date().isoformat()
