"""What the venue refuses, refused before the wire: each rule has a name, and says what to change.

The rules are Alpaca's, as far as they are known before an order is sent: they read the order, the asset, the account as last
seen, our own positions and open orders, and the exchange's hours. `RULES` is the table; docs/orders.md shows it.
"""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from pyrt._core.ledger import Ledger
from pyrt._core.screen import Screen
from pyrt._core.types import NO_PRICE, Side
from pyrt.calendar import Calendar
from pyrt.model import AccountSeen, AssetClass, AssetSeen, Breach, Instrument, Intent, OrderClass, OrderType, TimeInForce
from pyrt.risk.asked import AUCTIONS, SHORTS_NEED, Asked
from pyrt.risk.rule_table import Rule, features, rules_for

MENDS = {
    "SELF_MATCH": "cancel the opposite order first",
    "SHORT_NOT_ALLOWED": "sell no more than is held and not yet offered",
}


class Broken(NamedTuple):
    """A rule that an order breaks."""

    rule: Rule
    observed: str
    mend: str


class BrokerRules:
    """The rules for one account. `account` is what the journal last told of it; None = not yet seen, and then nothing is known."""

    def __init__(
        self, ledger: Ledger, refs: NDArray[np.void], calendar: Calendar | None, assets: Mapping[int, AssetSeen] | None = None
    ) -> None:
        self._assets = assets if assets is not None else {}  # by instrument, kept by their owner
        self._account: AccountSeen | None = None
        self._ledger = ledger
        self._refs = refs
        self._calendar = calendar
        self.screen = Screen(ledger, refs)

    @property
    def account(self) -> AccountSeen | None:
        """What the journal last told of the account."""
        return self._account

    @account.setter
    def account(self, seen: AccountSeen | None) -> None:
        self._account = seen
        if seen is None:
            self.screen.account(False, False, 0)
        else:
            self.screen.account(True, seen.shorting and seen.equity >= SHORTS_NEED, seen.buying_power)

    def broken(self, intent: Intent, instrument: Instrument, now: int, chain: int = 0) -> list[Broken]:
        """The rules that an order breaks at venue time `now`, before it is reserved; `chain`: key of what it replaces."""
        if not chain and self._is_clean(intent, instrument):
            return []
        asked = self._asked(intent, instrument, now, chain)
        found = []
        for rule in rules_for(instrument.asset_class, features(asked)):
            said = rule.test(asked)
            if said is not None:
                found.append(Broken(rule, *said))
        return found

    def _is_clean(self, i: Intent, instrument: Instrument) -> bool:
        """Whether it is a plain order of shares that surely breaks no rule: what most orders are, and one question."""
        if (
            instrument.asset_class is not AssetClass.US_EQUITY
            or i.order_class is not OrderClass.SIMPLE
            or i.type is OrderType.TRAILING_STOP
            or i.tif in AUCTIONS
            or i.extended_hours
            or i.trail_px
            or i.target_px
            or i.guard_px
            or i.guard_limit_px
        ):
            return False
        asset = self._assets.get(instrument.id, instrument)
        return asset.tradable and self.screen.clean(
            instrument.id,
            i.side,
            i.qty,
            i.limit_px,
            i.stop_px,
            10**instrument.qty_exp,
            today=i.tif is TimeInForce.DAY,
            shortable=asset.shortable,
            easy=asset.easy_to_borrow,
        )

    def _asked(self, intent: Intent, instrument: Instrument, now: int, chain: int) -> Asked:
        held = self._ledger.account(instrument.id)
        buy = intent.side == Side.BUY
        offered = held.buys if buy else held.sells
        old = self._ledger.reservation(chain) if chain else None
        if old is not None:
            offered -= max(old.leaves, old.pending)
        ref = self._refs[instrument.id]
        ask, bid, last = ref["ask_px"].item(), ref["bid_px"].item(), ref["last_px"].item()
        return Asked(
            intent=intent,
            instrument=instrument,
            asset=self._assets.get(instrument.id, instrument),
            account=self._account,
            calendar=self._calendar,
            now=now,
            one=10**instrument.qty_exp,
            replaces=chain != 0,
            filled=0 if old is None else old.filled,
            freed=0 if old is None else old.cost,
            position=held.qty,
            offered=offered,
            ask_px=_known(ask) or _known(last),
            bid_px=_known(bid) or _known(last),
            committed=self._ledger.committed,
        )


def _known(px: int) -> int:
    return 0 if px == NO_PRICE else px


def breaches(gate: tuple[Breach, ...], broken: list[Broken]) -> tuple[Breach, ...]:
    """What the gate said, with how to mend it, and after it the rules that none of its controls stands for."""
    named = {b.rule.control: b for b in broken}
    said = []
    for breach in gate:
        rule = named.get(breach.code)
        mend = rule.mend if rule is not None else MENDS.get(breach.code, "")
        name = rule.rule.name if rule is not None else ""
        said.append(
            Breach(code=breach.code, limit=breach.limit, observed=breach.observed, rule=name, mend=mend) if mend else breach
        )
    codes = {breach.code for breach in gate}
    said += [
        Breach(code=b.rule.code, limit=b.rule.says, observed=b.observed, rule=b.rule.name, mend=b.mend)
        for b in broken
        if b.rule.control not in codes
    ]
    return tuple(said)
