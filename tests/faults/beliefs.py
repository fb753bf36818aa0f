"""What the product believes beside its orders, against the venue's truth: exposure, subscriptions, the record of the market."""

from typing import TYPE_CHECKING, Any

from tests.faults.folds import latches
from tests.faults.hours import is_open
from tests.faults.trader import SYMBOLS
from tests.faults.venue import VenueClock

from pyrt._core.risk import Level
from pyrt._core.types import Flag, RecordType, trade_dtype
from pyrt.model import OrderStatus

if TYPE_CHECKING:
    from tests.faults.world import Simulation

_UNDER_WAY = (OrderStatus.PENDING_CANCEL, OrderStatus.PENDING_REPLACE)
PATIENCE = 40 * 10**9  # ns of silence of the data stream after which the feed must have left it: stale_after, and a step


class Beliefs:
    """Asked after each event, and at the end."""

    def __init__(self, sim: "Simulation") -> None:
        self.sim = sim
        self.blind = False  # a frame of the data stream was lost in a way that nobody can notice
        self.unordered = False  # prints come late
        self._tape: dict[str, list[int]] = {symbol: [] for symbol in SYMBOLS}  # ids of its trades, in order
        self._place: dict[int, int] = {}  # trade id -> place in its list
        self._read = 0  # of the venue's tape
        self._last: dict[int, int] = {}  # instrument -> place of the last trade that was heard in this life
        self._flagged: set[int] = set()  # instruments with a GAP since

    # ------------------------------------------------------------------------------------------------ exposure
    def exposure(self) -> dict[str, tuple[int, int, int, int]]:
        """Symbol -> held, open buys, open sells, open exits at the venue; of an order and its replacement the larger."""
        venue = self.sim.venue
        held, rows = venue.positions(), venue.open_rows()
        by_id = {row.id: row for row in rows}
        replaced = {row.replaces for row in rows if row.replaces}
        found = {}
        for symbol in SYMBOLS:
            sides = {"BUY": 0, "SELL": 0}
            pairs: dict[int, int] = {}  # the exits of a group: one of them fills, so the larger counts
            for row in rows:
                if row.symbol != symbol or row.id in replaced or row.waits:  # what waits for its entry gives back what that took
                    continue
                old = by_id.get(row.replaces)
                if row.flying and row.replaces and old is None:  # what it would replace has ended: it will be rejected
                    continue
                leaves = max(row.qty - row.spent, old.qty - old.spent if old is not None else 0)
                if row.group and row.role != "entry":
                    pairs[row.group] = max(pairs.get(row.group, 0), leaves)
                else:
                    sides[row.side.name] += leaves
            found[symbol] = (held.get(symbol, 0), sides["BUY"], sides["SELL"], sum(pairs.values()))
        return found

    def _exited(self, symbol: str) -> int:
        """What exits sold and nobody heard of yet: they give back what an entry took, which may not be known either."""
        state = self.sim.venue.exchange.state
        rows = [(state.rows[fill.number - 1], fill) for fill in state.fills]
        known = self.sim.oracle.fills
        return sum(
            fill.qty
            for row, fill in rows
            if row.symbol == symbol and row.group and row.role != "entry" and (row.id, fill.cum) not in known
        )

    def covered(self, session: Any) -> None:
        """Risk counts at least what may happen at the venue, in both directions, whatever it has been told so far."""
        for symbol, (q, buys, sells, _) in self.exposure().items():  # exits only reduce, and count when their entry is known
            instrument = session.instruments.get(symbol)
            if instrument is None:
                continue
            up, down = session.risk.ledger.worst_case(instrument.id)
            strange = self.sim.venue.strange[symbol]  # perhaps nobody told it yet
            if up + strange < q + buys or down - strange > q - sells + self._exited(symbol):
                self.sim.violate("10", f"{symbol} may come to {q + buys} or {q - sells}, risk counts {up} and {down}")

    # ------------------------------------------------------------------------------------------------ the market
    def begin(self) -> None:
        """A life begins: it has heard nothing."""
        self._last.clear()
        self._flagged.clear()
        self.blind = False

    def heard(self, records: Any, session: Any) -> None:
        """Records of the feed: each trade follows the one before it, or a GAP says that some are missing."""
        tape = self.sim.venue.tape.trades
        for _, symbol, _, _, number in tape[self._read :]:
            self._place[number] = len(self._tape[symbol])
            self._tape[symbol].append(number)
        self._read = len(tape)
        columns = records["type"], records["instrument"], records["flags"], records.view(trade_dtype)["trade_id"]
        for kind, instrument, flags, number in zip(*(column.tolist() for column in columns), strict=True):
            if kind == RecordType.GAP:
                self._flagged.add(instrument)
                self.blind = False
            elif kind == RecordType.TRADE and not flags & (Flag.BACKFILLED | Flag.CORRECTED):
                self._trade(instrument, number, session)

    def _trade(self, instrument: int, number: int, session: Any) -> None:
        place, last = self._place.get(number), self._last.get(instrument)
        if place is None:
            self.sim.violate("15", f"trade {number} was never printed")
            return
        if last is not None and place > last + 1 and instrument not in self._flagged and not (self.blind or self.unordered):
            symbol = session.instruments[instrument].symbol
            self.sim.violate("15", f"{symbol}: {place - last - 1} trades are missing before {number} and no gap says so")
        self._last[instrument] = place
        self._flagged.discard(instrument)

    def silent(self, wire: Any) -> None:
        """A data stream has been silent for so long: it must have been left."""
        if wire.silent and not wire.closed and not wire.machine.dead:
            self.sim.violate("11", f"the data stream was silent for {PATIENCE // 10**9} s and is still believed")

    # ------------------------------------------------------------------------------------------------ at rest
    def settled(self, session: Any, healed: int) -> list[tuple[str, str]]:
        """What is not as it must be when all is well: (invariant, words)."""
        found = self._subscribed()
        if not self.sim.venue.touched:  # an order whose fills contradict each other waits for a human
            found += self._stuck(session, healed)
        if not self.sim.meddled:
            found += [*self._ledger(session), *self._alone(session)]
        return found

    def _alone(self, session: Any) -> list[tuple[str, str]]:
        """Where exits are demanded and nobody decides anything: of what is held, each share has an exit, or is offered.

        But for a symbol of which something is bought as well: the venue refuses orders on both sides. While a latch of the whole
        is closed, perhaps since an earlier life, nothing is sent, no exit either: as the journal has it, not as risk says.
        """
        told = latches(self.sim.oracle.history)
        whole = {scope: Level[told.get(scope, "ACTIVE")] for scope in ("system", "account")}
        wrong = [scope for scope, level in whole.items() if session.risk.gate.level(scope) != level]
        if wrong:
            return [("20", f"{scope} is latched as the journal does not say") for scope in wrong]
        shut = max(whole.values()) >= Level.HALTED
        if not (self.sim.plan.require_exit and self.sim.idle) or self.sim.oracle.killed_at or shut:
            return []
        if self.sim.hours is not None and not is_open(VenueClock.begin + self.sim.kernel.now):
            return []  # nothing is sent while the exchange is closed, no exit either
        free = {symbol: q - sells - exits for symbol, (q, buys, sells, exits) in self.exposure().items() if not buys}
        return [("exits", f"{symbol}: {qty} held have no exit") for symbol, qty in free.items() if qty > 0]

    def _subscribed(self) -> list[tuple[str, str]]:
        mine = [wire for wire in self.sim.net.wires if not wire.closed and wire.machine is self.sim.machine]
        found = []
        data = [wire.session for wire in mine if wire.path != "/stream" and wire.session in wire.hub._sessions]
        for channel in ("trades", "quotes"):
            got = [sorted(session.subscriptions._wanted[channel]) for session in data]
            if got != [sorted(SYMBOLS)]:
                found.append(("11", f"the venue sends {channel} of {got}"))
        listening = [wire.session for wire in mine if wire.path == "/stream" and "trade_updates" in wire.session.listening]
        return found if len(listening) == 1 else [*found, ("11", f"{len(listening)} streams listen to trade updates")]

    def _stuck(self, session: Any, healed: int) -> list[tuple[str, str]]:
        since = self.sim.oracle.pending
        orders = [o for o in session.execution.open_orders() if o.status in _UNDER_WAY and since.get(o.number, healed) < healed]
        return [("3", f"order {o.cid} is {o.status.name} since before the healing") for o in orders]

    def _ledger(self, session: Any) -> list[tuple[str, str]]:
        found = []
        paid = dict.fromkeys(SYMBOLS, 0)
        state = self.sim.venue.exchange.state
        for fill in state.fills:
            row = state.rows[fill.number - 1]
            paid[row.symbol] += fill.px * fill.qty * (1 if row.side.name == "BUY" else -1)
        changing = any(o.status is OrderStatus.PENDING_REPLACE for o in session.execution.open_orders())
        for symbol, (q, buys, sells, exits) in self.exposure().items():
            known = session.risk.account(session.instruments[symbol].id)
            if known.qty != q:
                found.append(("5", f"{symbol}: risk holds {known.qty}, the venue {q}"))
            elif known.cost - known.realised != paid[symbol]:
                found.append(("6", f"{symbol}: cost less gains are {known.cost - known.realised}, the fills cost {paid[symbol]}"))
            elif not changing and not exits and (known.buys, known.sells) != (buys, sells):
                found.append(("10", f"{symbol}: risk reserves {(known.buys, known.sells)}, open are {(buys, sells)}"))
        return found
