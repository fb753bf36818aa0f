"""What must hold, judged by the venue's own truth and by what the disk proved; never by what the product says of itself."""

import struct
from collections import deque
from typing import TYPE_CHECKING, Any

import msgspec
from tests.faults import folds
from tests.faults.kernel import PREEMPTED
from tests.faults.venue import VenueClock

from pyrt._core.log import crc32c_of
from pyrt._core.types import to_units
from pyrt.execution.cid import cid as make_cid
from pyrt.execution.cid import parse_cid
from pyrt.journal import codec
from pyrt.model import Filled, Intended, OrderChanged, OrderStatus, OrderType
from pyrt.ports import TradeUpdate, VenueSnapshot

if TYPE_CHECKING:
    from tests.faults.disk import Inode
    from tests.faults.world import Simulation

_HEAD = struct.Struct("<IIQQqHHI")
_ABSENT = (OrderStatus.ABANDONED, OrderStatus.REJECTED, OrderStatus.CANCELED_LOCAL)
_ENDED = (OrderStatus.FILLED, OrderStatus.CANCELED, OrderStatus.EXPIRED, OrderStatus.REPLACED)
WINDOW = 60 * 10**9
CLOCK = 5 * 10**9  # how far the measured clock of the venue may be off: its longest round trip


class Oracle:
    """Watches the first byte of each request, each sync, each fact."""

    def __init__(self, sim: "Simulation") -> None:
        self.sim = sim
        self.journal = ""  # its id
        self.proved = 0  # the last seq that the platter holds and a sync has confirmed
        self.durable: dict[int, Intended] = {}  # number -> intent, on the platter
        self.history: dict[int, tuple[int, bytes]] = {}  # seq -> record, as appended
        self.fills: set[tuple[str, int]] = set()  # of the journal as it stands
        self.born: set[int] = set()  # numbers intended in this life
        self.legs: dict[int, tuple[str, str]] = {}  # number of an exit -> cid of the request that made it, its role there
        self.killed_at = 0
        self.swept = False  # the product said of the kill that nothing is left, verified
        self.failed_at = 0  # the journal said that it failed
        self.sends: deque[int] = deque()
        self.strangers: set[str] = set()  # orders of others that an answer or the stream told to this life
        self.pending: dict[int, int] = {}  # number -> when its cancel or replacement was asked for
        self.doubt: dict[str, int] = {}  # cid -> requests of it that no answer explained
        self.orders = 0
        self.filled = 0
        self._scanned: dict[int, int] = {}  # inode -> next byte to read
        self._fill_truth: dict[tuple[str, int], tuple[int, int]] = {}
        self._fills_seen = 0

    def violate(self, number: str, text: str) -> None:
        self.sim.violate(number, text)

    # ------------------------------------------------------------------------------------------------ the disk
    def synced(self, inode: "Inode") -> None:
        """A file is on stable storage: read what is new in it, as the format says, from the platter."""
        data = inode.stable
        if data[:7] != b"PYRTLOG":
            return
        at = self._scanned.get(id(inode), 4096)
        while at + 40 <= len(data):
            length, check, seq, _, _, kind, flags, _ = _HEAD.unpack_from(data, at)
            end = at + ((length + 7) & ~7)
            if length < 40 or end > len(data) or check != crc32c_of(bytes(data[at : at + 4]) + data[at + 8 : end]):
                break
            payload = bytes(data[at + 40 : at + length])
            self.proved = max(self.proved, seq)
            fact = codec.decode(kind, flags, payload) if kind in (codec.Kind.INTENDED, codec.Kind.MESSAGE) else None
            if isinstance(fact, Intended):
                known = self.durable.setdefault(fact.number, fact)
                if known != fact:
                    self.violate("7", f"intent {fact.number} was durable and is now another")
            at = end
        self._scanned[id(inode)] = at

    def appended(self, seq: int, kind: int, payload: bytes) -> None:
        self.history[seq] = (kind, payload)

    def opened(self, journal: Any) -> None:
        """A recovery read the journal: it is a prefix of what was appended, and all that was proved is in it."""
        self.journal = journal.id
        last = 0
        self.fills.clear()
        self.legs.clear()  # numbers of intents that were lost are given again
        for record in journal.records():
            if record.seq > journal.replayed:
                break
            last = record.seq
            if record.type < 16:
                continue
            known = self.history.get(record.seq)
            if known is None or known != (record.type, record.payload):
                self.violate("7", f"record {record.seq} is not the one that was appended")
                break
            named = record.type == codec.Kind.MESSAGE and (b"Filled" in record.payload or b"Intended" in record.payload)
            if named or record.type in (codec.Kind.FILL, codec.Kind.INTENDED):
                fact = codec.decode(record.type, record.flags, record.payload)
                if isinstance(fact, Filled):
                    self.fills.add((fact.venue_order_id, fact.cum_qty))
                elif isinstance(fact, Intended):
                    self._name_legs(fact)
        if last < self.proved:
            self.violate("7", f"records {last + 1} to {self.proved} were durable and are gone")
        for seq in [seq for seq in self.history if seq > last]:
            del self.history[seq]
        self.proved = min(self.proved, last)
        self.born.clear()
        self.strangers.clear()
        self.sends.clear()
        self.failed_at = 0

    def went_on_from(self, seq: int) -> None:
        """A start took the state of a record: the newest that is anchored, for its file was durable before its anchor."""
        if seq != (newest := max(folds.anchors(self.history), default=0)):
            self.violate("6", f"the state of record {newest} is anchored, and a start went on from record {seq}")

    # ------------------------------------------------------------------------------------------------ requests
    def first_byte(self, method: str, target: str, body: bytes) -> str:
        """A request leaves; its cid where it may make an order."""
        now = self.sim.kernel.now
        if target.startswith("/v2/") and not target.startswith("/v2/stocks"):
            self.sends.append(now)
            while self.sends[0] <= now - WINDOW:
                self.sends.popleft()
            if len(self.sends) > self.sim.rate_limit:
                self.violate("17", f"{len(self.sends)} requests within 60 s, {self.sim.rate_limit} are allowed")
        if method not in ("POST", "PATCH"):
            return ""
        order = msgspec.json.decode(body)
        text = order.get("client_order_id", "")
        parsed = parse_cid(text)
        if parsed is None or parsed[0] != self.journal:
            self.violate("1", f"{method} with cid {text!r}")
            return ""
        intent = self.durable.get(parsed[1])
        if intent is None:
            self.violate("1", f"{text} leaves and its intent is not durable")
            return text
        wanted = intent.intent
        if not self._same(method, order, wanted):
            self.violate("2", f"{text} leaves with other terms than its intent")
        self._in_time(text, intent)
        if self.sim.net.flying.get(text, 0) and text not in self.sim.net.doubled:
            self.violate("4", f"{text} is sent again while a request of it is on its way")
        self.doubt[text] = self.doubt.get(text, 0) + 1
        if parsed[1] not in self.born:
            self.violate("2", f"{text} of an earlier life is sent again")
        if self.killed_at and not wanted.reduce_only:
            self.violate("20", f"{text} leaves {now - self.killed_at} ns after the kill")
        if self.failed_at and now > self.failed_at + 2 * 10**9:
            self.violate("9", f"{text} leaves {now - self.failed_at} ns after the journal failed")
        self._same_group(text, order, wanted)
        self.orders += 1
        return text

    def _same_group(self, text: str, order: dict[str, Any], wanted: Any) -> None:
        """The exits that leave are those that were intended."""
        target, guard = order.get("take_profit") or {}, order.get("stop_loss") or {}
        sent = (target.get("limit_price", ""), guard.get("stop_price", ""), guard.get("limit_price", ""))
        asked = (wanted.target_px, wanted.guard_px, wanted.guard_limit_px)
        if tuple(to_units(px) if px else 0 for px in sent) != asked:
            self.violate("2", f"{text} leaves with exits {sent}, {asked} were intended")

    @staticmethod
    def _same(method: str, order: dict[str, Any], wanted: Any) -> bool:
        """Whether a body says what its intent says; a PATCH leaves out what it cannot change."""
        if order.get("order_class") == "oco" or "qty" not in order:  # an exit's terms are those of its group
            return True
        px = tuple(to_units(str(order.get(name, 0))) for name in ("limit_price", "stop_price"))
        said = (to_units(str(order["qty"])), px, order["time_in_force"])
        if said != (wanted.qty, (wanted.limit_px, wanted.stop_px), wanted.tif.name.lower()):
            return False
        return method == "PATCH" or (order["side"], order["type"]) == (wanted.side.name.lower(), wanted.type.name.lower())

    def _in_time(self, text: str, intent: Intended) -> None:
        """By its own idea of the venue's time, a process sends nothing that is too old.

        Between the look at the clock and the first byte it may lose the processor once: nothing in the process can tell.
        """
        assert self.sim.shell is not None
        until = intent.intent.valid_until or intent.ts + self.sim.settings.valid_for
        late = self.sim.shell.clock.at(self.sim.machine.mono()) - until
        if late > PREEMPTED:
            self.violate("S9", f"{text} leaves {late / 1e9:.3f} s after its valid_until")

    def answered(self, text: str) -> None:
        """An answer that says what became of a request reached the process."""
        self.doubt[text] -= 1

    def landed(self) -> None:
        """The venue has taken an order: whatever of what is open now fills, no limit is exceeded.

        But by what strangers did in the symbol, and the venue by itself: perhaps it was not known when the order was decided.
        """
        self.sim.note("worst case")
        allowed = self.sim.position_limit
        for symbol, (q, buys, others, exits) in self.sim.beliefs.exposure().items():
            sells = others + exits
            worst = max(abs(q + buys), abs(q - sells))
            strange = self.sim.venue.strange[symbol]
            if worst > allowed + strange:
                self.violate("10", f"{symbol}: {q} held, {buys} to buy and {sells} to sell, {allowed} and {strange} allowed")
            if exits:
                self.sim.note("exits")
            if sells > max(q, 0) + strange:
                self.violate("10", f"{symbol}: {q} held and {sells} offered: nothing may be sold short")

    def heard(self, event: Any) -> None:
        """What the session is told next: of whose orders it knows from now on."""
        shown = event.orders if isinstance(event, VenueSnapshot) else (event.order,) if isinstance(event, TradeUpdate) else ()
        rows = self.sim.venue.exchange.state.rows
        for order in shown:
            row = next((row for row in rows if row.id == order.id), None)
            if row is not None and not self.is_mine(self.sim.venue.first_of(row).cid):
                self.strangers.add(row.id)

    def cancels_all(self) -> None:
        """The session decides to cancel whatever works on the account: none but ours may, as far as it was told."""
        self.sim.note("cancel all")
        theirs = [row.id for row in self.sim.venue.open_rows() if row.id in self.strangers]
        if theirs:
            self.violate("20", f"everything is cancelled while orders of others work: {theirs[:3]}")

    # ------------------------------------------------------------------------------------------------ facts
    def fact(self, fact: Any) -> None:
        """A fact is appended by the process that lives."""
        if isinstance(fact, Intended):
            self.born.add(fact.number)
            self._name_legs(fact)
            self.sim.mistakes.decided(fact)
            for judge in self.sim.listeners:
                judge.decided(fact)
            if abs(off := fact.ts - VenueClock.begin - self.sim.kernel.now) > CLOCK:
                self.violate("S9", f"intent {fact.number} is of an instant {off / 1e9:+.3f} s from the venue's")
        elif isinstance(fact, OrderChanged):
            self._changed(fact)
        elif isinstance(fact, Filled):
            self._filled(fact)

    def _name_legs(self, fact: Intended) -> None:
        first = make_cid(self.journal, fact.number)
        for number, leg in enumerate(fact.intent.legs, fact.number + 1):
            self.legs[number] = (first, "take_profit" if leg.type is OrderType.LIMIT else "stop_loss")

    def row_of(self, order: Any) -> Any:
        """The venue's order that an order of ours is; None = it has none."""
        if order.cid:
            return self.sim.venue.row_of(order.cid)
        return self.sim.venue.leg_of(*self.legs[order.number])

    def _leg_changed(self, fact: OrderChanged) -> None:
        """An exit of ours, which the venue named: its end is the venue's."""
        first, role = self.legs[fact.number]
        row = self.sim.venue.leg_of(first, role)
        if fact.venue_order_id and (row is None or row.id != fact.venue_order_id):
            self.violate("2", f"{first}'s {role} is {fact.venue_order_id} here and {row and row.id} at the venue")
        elif fact.status in _ABSENT and row is not None and row.status != "rejected":
            self.violate("4", f"{first}'s {role} is {fact.status.name} ({fact.reason}) here and {row.status} at the venue")
        elif fact.status in _ENDED and (row is None or row.status != fact.status.name.lower()) and not self.touched(row):
            self.violate("3", f"{first}'s {role} is {fact.status.name} here and {row and row.status} at the venue")

    def _changed(self, fact: OrderChanged) -> None:
        if fact.number in self.legs:
            self._leg_changed(fact)
            return
        if fact.number not in self.durable and fact.number not in self.born:
            return
        text = make_cid(self.journal, fact.number)
        if fact.status in (OrderStatus.PENDING_CANCEL, OrderStatus.PENDING_REPLACE):
            self.pending.setdefault(fact.number, self.sim.kernel.now)
        else:
            self.pending.pop(fact.number, None)
        if fact.status in _ABSENT:
            row = self.sim.venue.row_of(text)
            if row is not None and row.status != "rejected":
                self.violate("4", f"{text} is {fact.status.name} ({fact.reason}) here and {row.status} at the venue")
            if row is None and fact.status is not OrderStatus.ABANDONED and self.doubt.get(text, 0):
                self.violate("4", f"{text} is {fact.status.name} ({fact.reason}) and {self.doubt[text]} requests have no answer")
            if self.sim.net.flying.get(text, 0):
                self.violate("4", f"{text} is {fact.status.name} ({fact.reason}) while a request of it is on its way")
        elif fact.status in _ENDED:
            row = self.sim.venue.row_of(text)
            if (row is None or row.status != fact.status.name.lower()) and not self.touched(row):
                self.violate("3", f"{text} is {fact.status.name} here and {row and row.status} at the venue")

    def _filled(self, fact: Filled) -> None:
        key = (fact.venue_order_id, fact.cum_qty)
        if key in self.fills and not self._taken_back(key):
            self.violate("5", f"fill {key} is booked twice")
        self.fills.add(key)
        self.filled += 1
        told = self.truth().get(key)
        if told != (fact.px, fact.qty) and fact.venue_order_id not in self.sim.venue.touched:
            self.violate("5", f"fill {key} of {fact.qty} at {fact.px} is {told} at the venue")

    def touched(self, row: Any) -> bool:
        """Whether the venue filled an order beyond what it was, or took a fill of it back."""
        return row is not None and row.id in self.sim.venue.touched

    def _taken_back(self, key: tuple[str, int]) -> bool:
        """Whether the venue took a fill back: another one may come to the same cumulative quantity."""
        state = self.sim.venue.exchange.state
        return any(fill.busted and (state.rows[fill.number - 1].id, fill.cum) == key for fill in state.fills)

    def truth(self) -> dict[tuple[str, int], tuple[int, int]]:
        """Every fill of the venue by (order id, cumulative quantity)."""
        state = self.sim.venue.exchange.state
        for fill in state.fills[self._fills_seen :]:
            self._fill_truth[state.rows[fill.number - 1].id, fill.cum] = (fill.px, fill.qty)
        self._fills_seen = len(state.fills)
        return self._fill_truth

    # ------------------------------------------------------------------------------------------------ at the end
    def replayed(self) -> tuple[str, str]:
        """What the journal comes to in fresh components; where it notes a state's hash, theirs must be the same."""
        told, digests = folds.replayed(self.sim)
        for text in told:
            self.violate("6", text)
        self.sim.note("F32 replay")
        return digests

    def same_orders(self, session: Any) -> list[str]:
        """Where the orders here are not those at the venue; empty = nowhere."""
        found = []
        rows = {row.cid: row for row in self.sim.venue.exchange.state.rows if self.is_mine(row.cid)}
        orders = folds.orders_of(self.sim, session)
        for order in orders:
            if order.external:
                continue
            row = self.row_of(order)
            name = order.cid or f"{order.role} of {self.legs[order.number][0]}"
            if row is None:
                if order.status not in _ABSENT:
                    found.append(f"{name} is {order.status.name} and not at the venue")
                continue
            shown = row.status
            if order.filled != row.filled and not self.touched(row):
                found.append(f"{name} has {order.filled} filled here, {row.filled} at the venue ({shown})")
            final = shown in ("filled", "canceled", "expired", "rejected", "replaced")
            if order.status is OrderStatus.UNKNOWN or final != order.status.is_final:
                found.append(f"{name} is {order.status.name} here and {shown} at the venue")
            elif final and order.status.name.lower() != shown and not self.touched(row):
                found.append(f"{name} ended as {order.status.name} here and as {shown} at the venue")
        known = {order.cid for order in orders}
        for text, row in rows.items():
            if text not in known:
                found.append(f"{text} is {row.status} at the venue and not known here")
        return found

    def is_mine(self, text: str) -> bool:
        """Whether a cid is of this journal."""
        parsed = parse_cid(text)
        return parsed is not None and parsed[0] == self.journal

    def left_open(self, session: Any) -> list[str]:
        """After a kill: which of our orders still work; and none may be left unlooked for, nor unsaid that none is."""
        venue = self.sim.venue
        mine = [row.cid for row in venue.open_rows() if self.is_mine(venue.first_of(row).cid)]
        if mine or session.execution.sweeping:
            return [f"{len(mine)} orders outlive the kill: {mine[:3]}"]
        return [] if self.swept else ["nobody verified that the kill left nothing"]

    def all_cancelled(self) -> None:
        """The journal failed and the process ended by itself, where nothing but the disk is at fault: nothing of ours works."""
        mine = [row.cid for row in self.sim.venue.open_rows() if self.is_mine(self.sim.venue.first_of(row).cid)]
        self.sim.note("ended without a journal")
        if mine:
            self.violate("9", f"the journal failed, the process ended, and {len(mine)} orders still work: {mine[:3]}")

    def same_positions(self, session: Any) -> list[str]:
        """Where the positions are not the venue's."""
        ours = {session.instruments[number].symbol: qty for number, qty in session.execution.positions.items() if qty}
        theirs = self.sim.venue.positions()
        if self.sim.meddled:  # shares that no fill explains are told and latched, and stay until a human explains them
            for number, qty in session.execution.unexplained.items():
                symbol = session.instruments[number].symbol
                if f"instrument:{number}" in session.risk.latches:
                    ours[symbol] = ours.get(symbol, 0) + qty
            ours = {symbol: qty for symbol, qty in ours.items() if qty}
        return [] if ours == theirs else [f"positions are {ours}, at the venue {theirs}"]

    def same_fills(self, session: Any) -> list[str]:
        """Where the fills of our orders are not the venue's."""
        ids = {order.venue_order_id for order in folds.orders_of(self.sim, session) if order.venue_order_id}
        ids -= self.sim.venue.touched
        theirs = {key for key in self.truth() if key[0] in ids}
        mine = {key for key in self.fills if key[0] in ids}
        return [] if mine == theirs else [f"fills missing {sorted(theirs - mine)[:3]}, beyond {sorted(mine - theirs)[:3]}"]
