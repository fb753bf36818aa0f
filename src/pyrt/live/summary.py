"""What a session did, in numbers a person can check."""

from collections import Counter
from decimal import Decimal

import msgspec


class Summary(msgspec.Struct, kw_only=True):
    """The end of a run. Money is Decimal in the account's currency; `unexplained` are shares at the venue that no fill explains."""

    venue: str
    account: str
    seconds: float
    messages: int = 0
    bars: int = 0
    signals: int = 0
    intents: int = 0
    orders: int = 0
    fills: int = 0
    refusals: dict[str, int] = {}
    realised: Decimal = Decimal(0)
    unrealised: Decimal = Decimal(0)
    fees: Decimal = Decimal(0)
    positions: dict[str, Decimal] = {}
    unresolved: int = 0  # orders whose fate the venue has not proved yet
    unexplained: Decimal = Decimal(0)
    open_orders: int = 0
    failed: str = ""

    def count(self, counts: Counter[str]) -> None:
        """Take over the session's counters."""
        for name in ("messages", "bars", "signals", "intents", "orders", "fills"):
            setattr(self, name, counts[name])

    def lines(self) -> list[str]:
        """The summary as lines of text."""
        refused = ", ".join(f"{n} {code}" for code, n in sorted(self.refusals.items())) or "none"
        held = ", ".join(f"{q} {s}" for s, q in sorted(self.positions.items())) or "flat"
        lines = [
            f"session on {self.venue}, account {self.account}, {self.seconds:.1f} s",
            f"  messages {self.messages:,}   bars {self.bars:,}   signals {self.signals:,}",
            f"  intents {self.intents:,}   orders {self.orders:,}   fills {self.fills:,}   open {self.open_orders}",
            f"  refusals: {refused}",
            f"  P&L: realised {self.realised:,.2f}   unrealised {self.unrealised:,.2f}   fees {self.fees:,.2f}",
            f"  positions: {held}",
            f"  unknown orders: {self.unresolved}   unexplained shares: {self.unexplained}",
        ]
        return [*lines, f"  ended by a failure: {self.failed}"] if self.failed else lines
