"""One engine driven by hand: time moves when told, timers fire when told, every fact is journaled and folded."""

from typing import Any

from pyrt._core.types import Side
from pyrt.clock import SECOND, Now
from pyrt.execution import ExecutionEngine, Settings, cid
from pyrt.model import Approved, Fact, Instrument, Instruments, Intent, OrderType, TimeInForce
from pyrt.ports import (
    Append,
    Command,
    Event,
    Start,
    StreamState,
    TakeSnapshot,
    TimerFired,
    TradeUpdate,
    VenueAccount,
    VenueFill,
    VenueOrder,
    VenuePosition,
    VenueSnapshot,
)

EPOCH = 1_770_000_000 * SECOND
JOURNAL = "k3v9q2xa"
SHARE = SECOND  # qty units
ACCOUNT = VenueAccount(id="a", cash="1000", buying_power="1000", equity="1000", last_equity="1000", multiplier="2", blocked=False)


class Bench:
    """Drives one engine by hand: time moves only when told, timers fire only when told."""

    def __init__(self, facts: list[Fact] | None = None, **settings: Any) -> None:
        instruments = Instruments()
        instruments.add(Instrument(id=1, symbol="AAPL"))
        self.facts: list[Fact] = list(facts or [])
        self.engine = ExecutionEngine(JOURNAL, instruments, settings=Settings(**settings))
        for fact in self.facts:
            self.engine.apply(fact)
        self.t, self.source = 0, 0
        self.timers: dict[str, int] = {}
        self.commands: list[Command] = []

    def on(self, event: Event) -> list[Command]:
        self.commands = self.engine.on(event, Now(venue=EPOCH + self.t, mono=self.t))
        for command in self.commands:
            if isinstance(command, Append):
                self.facts.append(command.fact)
                self.engine.apply(command.fact)
            elif type(command).__name__ == "SetTimer":
                self.timers[command.key] = command.at
        return self.commands

    def fire(self, key: str) -> list[Command]:
        """Let time run to a timer."""
        self.t = max(self.t, self.timers[key])
        return self.on(TimerFired(key=key, at=self.timers.pop(key), clock=1))

    def start(self, **parts: Any) -> list[Command]:
        self.on(Start(epoch=self.engine.epoch + 1))
        self.on(StreamState(stream="trading", up=True))
        return self.snapshot(**parts)

    def snapshot(self, **parts: Any) -> list[Command]:
        """Answer the snapshot that was asked for."""
        [query] = self.asked(TakeSnapshot)
        whole = {"begun": EPOCH + self.t, "since": query.since, "account": ACCOUNT, "positions": (), "orders": (), "fills": ()}
        return self.on(VenueSnapshot(query=query.query, **(whole | parts)))

    def asked(self, kind: type) -> list[Any]:
        return [command for command in self.commands if isinstance(command, kind)]

    def told(self, kind: type) -> list[Any]:
        """The facts of the last event."""
        return [c.fact for c in self.commands if isinstance(c, Append) and isinstance(c.fact, kind)]

    def codes(self) -> list[str]:
        return [c.code for c in self.commands if type(c).__name__ == "Alarm"]

    def approve(self, **changes: Any) -> list[Command]:
        self.source += 1
        approval = {"epoch": self.engine.epoch, "approval": self.source, "valid_until_mono": self.t + SECOND}
        approval |= {k: changes.pop(k) for k in list(changes) if k in (*approval, "replaces")}
        intent = Intent(
            **(
                {
                    "strategy": 1,
                    "source": self.source,
                    "instrument": 1,
                    "side": Side.BUY,
                    "type": OrderType.LIMIT,
                    "tif": TimeInForce.DAY,
                    "qty": 10 * SHARE,
                    "limit_px": 190 * SECOND,
                    "valid_until": EPOCH + self.t + 30 * SECOND,
                }
                | changes
            )
        )
        return self.on(Approved(intent=intent, limits_version=1, ref_px=0, **approval))

    @property
    def status(self) -> str:
        """Of the newest order."""
        return self.engine.orders[max(self.engine.orders)].status.name


def order(number: int = 1, **changes: Any) -> VenueOrder:
    """The venue's view of an order of ours."""
    shown = {
        "id": f"v{number}",
        "cid": cid(JOURNAL, number),
        "symbol": "AAPL",
        "side": Side.BUY,
        "type": "limit",
        "tif": "day",
        "qty": "10",
        "filled_qty": "0",
        "limit_price": "190",
        "status": "new",
        "created_at": EPOCH,
    }
    return VenueOrder(**(shown | changes))


def update(event: str, shown: VenueOrder, **changes: Any) -> TradeUpdate:
    return TradeUpdate(event=event, order=shown, **({"ts": EPOCH + 1} | changes))


def execution(cum: str, qty: str, *, price: str = "190", status: str = "", number: int = 1, **changes: Any) -> TradeUpdate:
    status = status or ("filled" if cum == "10" else "partially_filled")
    event = "fill" if status == "filled" else "partial_fill"
    shown = order(number, filled_qty=cum, status=status, **changes)
    return update(event, shown, price=price, qty=qty, execution_id=f"x{cum}")


def activity(cum: str, qty: str, *, price: str = "190", venue_id: str = "v1", ts: int = EPOCH + 1) -> VenueFill:
    return VenueFill(
        activity_id=f"a{cum}", order_id=venue_id, symbol="AAPL", side=Side.BUY, price=price, qty=qty, cum_qty=cum, ts=ts
    )


def position(qty: str, symbol: str = "AAPL") -> VenuePosition:
    return VenuePosition(symbol=symbol, qty=qty, avg_entry_price="150")
