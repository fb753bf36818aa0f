"""Orders in flight as risk counts them: one reservation for an order and all its replacements."""

from collections.abc import Iterable

from msgspec.structs import replace

from pyrt._core.risk import Gate
from pyrt._core.types import Side
from pyrt.model import EXTERNAL, ExternalSeen, Intended, Intent, OrderChanged, OrderStatus, OrderType, Recalled
from pyrt.risk.groups import Exit, Group

PROVED = OrderStatus.ACCEPTED  # from here on the venue has told where the order is
_ANYTHING = (1 << 63) - 1  # px units: what a market order may pay
KEPT_EXITS = 1024
STOPS = (OrderType.STOP, OrderType.STOP_LIMIT, OrderType.TRAILING_STOP)


class Chain:
    """A chain of replaces: `head` works at the venue, `next` would stand in for it.

    That the venue shows `next` does not end `head`: until that one is proved replaced the replacement may still come to nothing.
    """

    __slots__ = (
        "canceling", "exit", "group", "head", "head_final", "keys", "next", "numbers", "proved", "root", "shown", "unknown",
    )  # fmt: skip

    def __init__(self, root: int, number: int) -> None:
        self.keys = [root]  # of its intents
        self.root = root  # key of the reservation
        self.head = number
        self.next = 0
        self.head_final = False
        self.shown = False  # the venue showed `next`
        self.numbers = [number]
        self.unknown: set[int] = set()
        self.proved = False  # the venue has shown its head
        self.canceling = False  # its end was asked for
        self.group: Group | None = None  # that it belongs to,
        self.exit: Exit | None = None  # and what it is there; None = the entry


class Chains:
    """Follows order numbers through the facts and keeps the gate's reservations right."""

    def __init__(self, gate: Gate) -> None:
        self._gate = gate
        self._by_number: dict[int, Chain] = {}
        self._by_key: dict[int, Chain] = {}  # key of any intent in the chain
        self._intents: dict[int, Intended] = {}  # of open orders, and of those proved absent, which are watched
        self._absent: set[int] = set()
        self._external: dict[str, int] = {}  # venue order id -> number
        self._over: dict[int, tuple[Exit, Group]] = {}  # the last exits that ended: one of a pair may fill all the same
        self.unmatched = 0  # changes of orders that no chain knows

    def key_of(self, number: int, venue_order_id: str = "") -> int:
        """The reservation key of an order, by number or by the venue's id of an external one; 0 = none."""
        chain = self._by_number.get(number or self._external.get(venue_order_id, 0))
        if chain is None:
            return 0
        return chain.group.carrier if chain.group is not None and chain.exit is not None else chain.root

    def exit_of(self, key: int) -> "tuple[Exit, Group] | None":
        """The exit that an intent's key names, and its group."""
        chain = self._by_key.get(key)
        return (chain.exit, chain.group) if chain is not None and chain.exit is not None and chain.group is not None else None

    def root_of(self, key: int) -> int:
        """The reservation key of the chain that an intent's key belongs to; 0 = none is open."""
        chain = self._by_key.get(key)
        return chain.root if chain else 0

    def head_of(self, root: int) -> Intended | None:
        """The order that works for a reservation, or would stand in for it; None for what is not ours, or not a fact yet."""
        chain = self._by_key.get(root)
        return self._intents.get(chain.next or chain.head) if chain else None

    def intent_of(self, number: int) -> Intent | None:
        """What an open order was intended as."""
        fact = self._intents.get(number)
        return fact.intent if fact is not None else None

    def name_of(self, root: int) -> str:
        """An order in words, by its reservation key."""
        strategy, source = root >> 48, root & (1 << 48) - 1
        if strategy == EXTERNAL:
            return next((f"external order {v}" for v, n in self._external.items() if n == root), f"external order {root}")
        chain = self._by_key.get(root)
        return f"order {chain.head} of strategy {strategy}" if chain else f"order {source} of strategy {strategy}, approved"

    def intended(self, fact: Intended) -> None:
        """An order became a fact: firm from here on."""
        intent = fact.intent
        chain = self._by_number.get(fact.replaces) if fact.replaces else None
        if chain is not None and chain.exit is not None and chain.group is not None:
            chain.exit.pending = intent
            chain.group.arm(self._gate)
            self._follow(chain, fact)
            return
        key = intent.key
        self._gate.confirm(
            key,
            intent.strategy,
            intent.instrument,
            intent.side,
            intent.type,
            intent.qty,
            intent.limit_px,
            intent.stop_px,
            ref_px=fact.ref_px,
            at=fact.ts,
            trail=intent.trail,
            replaces=chain.root if chain else 0,
        )
        if chain is None:
            chain = Chain(key, fact.number)
            self._by_number[fact.number] = self._by_key[key] = chain
            self._intents[fact.number] = fact
            if intent.order_class:
                self._begin_group(chain, fact)
        else:
            if chain.shown:  # one replacement on another that is not proved yet
                self._stands_in(chain)
            self._follow(chain, fact)

    def _follow(self, chain: Chain, fact: Intended) -> None:
        chain.next = fact.number
        chain.numbers.append(fact.number)
        chain.keys.append(fact.intent.key)
        self._by_number[fact.number] = self._by_key[fact.intent.key] = chain
        self._intents[fact.number] = fact

    def _begin_group(self, first: Chain, fact: Intended) -> None:
        """The exits of one request hold their places; what they may trade counts when the entry is filled."""
        group = first.group = Group.of(fact.number, fact.intent)
        first.exit = group.exit(fact.number)
        for number, leg in enumerate(fact.intent.legs, fact.number + 1):
            chain = Chain(leg.key, number)
            chain.group, chain.exit = group, group.exit(number)
            self._by_number[number] = self._by_key[leg.key] = chain
            self._gate.attach(leg.key, leg.strategy, leg.instrument, leg.side, fact.ts)
        if group.live:
            group.arm(self._gate)

    def filled(self, number: int, qty: int) -> "tuple[Group, int] | None":
        """An exit filled: its group, and how much more than the group had, where both exits filled."""
        chain = self._by_number.get(number)
        if chain is not None and chain.group is not None and chain.exit is not None:
            exit_, group = chain.exit, chain.group
        elif number in self._over:
            exit_, group = self._over[number]
        else:
            return None
        exit_.filled += qty
        before = max(group.exited - group.qty, 0)
        group.exited += qty
        over = max(group.exited - group.qty, 0) - before
        return (group, over) if over else None

    def protection(self, strategy: int, instrument: int, side: Side) -> int:
        """Qty units of a side that working stops of a strategy cover."""
        cover = 0
        for chain in {id(chain): chain for chain in self._by_number.values()}.values():
            if not chain.proved or chain.canceling or chain.unknown:
                continue
            if chain.exit is not None and chain.group is not None:
                group = chain.group
                mine = (group.strategy, group.instrument, group.side) == (strategy, instrument, side)
                if mine and group.live and chain.exit.open and chain.exit.stop_px:
                    cover += max(min(chain.exit.qty - chain.exit.filled, group.qty - group.exited), 0)
                continue
            head = self._intents.get(chain.head)
            if head is None or head.intent.type not in STOPS:
                continue
            if (head.intent.strategy, head.intent.instrument, head.intent.side) == (strategy, instrument, side):
                known = self._gate.ledger.reservation(chain.root)
                cover += known.leaves if known is not None else 0
        return cover

    def guards(self, root: int) -> bool:
        """Whether what its strategy holds is what an order would take away, so that it may be an exit of it."""
        order = self._gate.ledger.reservation(root)
        if order is None:
            return False
        held = self._gate.ledger.position(order.strategy, order.instrument).qty
        return held < 0 if order.side == Side.BUY else held > 0

    def arm(self, number: int) -> None:
        """An exit is about to fill: it works, whatever was told of its entry."""
        chain = self._by_number.get(number)
        if chain is not None and chain.group is not None and chain.exit is not None and not chain.group.live:
            chain.group.live = True
            chain.group.arm(self._gate)

    def external(self, fact: ExternalSeen) -> None:
        """An order that is not ours: it counts in full until it is final."""
        chain = self._by_number.get(fact.number)
        if fact.status.is_final:
            if chain:
                self._drop(chain, 0)
            return
        if chain is None and fact.qty > fact.filled_qty:
            anywhere = ((1 << 63) - 1) if fact.side == 1 else 0
            px, cross = fact.limit_px or fact.stop_px, fact.limit_px or anywhere
            self._gate.adopt(fact.number, fact.instrument, fact.side, fact.qty - fact.filled_qty, px, cross, fact.ts)
            self._by_number[fact.number] = Chain(fact.number, fact.number)
            self._external[fact.venue_order_id] = fact.number

    def changed(self, fact: OrderChanged) -> None:
        """Follow one order's status."""
        chain = self._by_number.get(fact.number)
        if chain is None:
            chain = self._returned(fact)
            if chain is None:
                return
        if fact.qty or fact.limit_px or fact.stop_px:
            self._restated(chain, fact)
        if fact.status == OrderStatus.UNKNOWN:
            chain.unknown.add(fact.number)
            self._gate.unknown(chain.root, True)
        elif fact.status >= PROVED:
            chain.unknown.discard(fact.number)
            chain.proved = True
            chain.canceling = fact.status == OrderStatus.PENDING_CANCEL
            if not chain.unknown:
                self._gate.unknown(chain.root, False)
            if fact.status.is_final:
                self._ended(chain, fact)
            else:
                self._gate.seen(chain.root, fact.ts)
                self._works(chain, fact.number)

    def _returned(self, fact: OrderChanged) -> Chain | None:
        # What was proved absent may yet appear at the venue: then it counts again.
        if fact.number not in self._absent or fact.status.is_final or fact.status < PROVED:
            self.unmatched += fact.number not in self._absent
            return None
        self._absent.discard(fact.number)
        self.intended(self._intents[fact.number])
        return self._by_number[fact.number]

    def let_go(self, numbers: Iterable[int]) -> None:
        """What was proved absent so long ago is not waited for any more."""
        for number in numbers:
            if number in self._absent:
                self._absent.remove(number)
                self._intents.pop(number, None)

    def recalled(self, fact: Recalled) -> None:
        """What was let go is waited for again."""
        known = {one.number: one for one in fact.facts if isinstance(one, Intended)}
        ended = {one.number: one.status for one in fact.facts if isinstance(one, OrderChanged)}
        for number, status in ended.items():
            if status == OrderStatus.ABANDONED and number in known:
                self._absent.add(number)
                self._intents[number] = known[number]

    def _restated(self, chain: Chain, fact: OrderChanged) -> None:
        if chain.exit is not None and chain.group is not None:
            chain.group.restate(chain.exit, fact)
            chain.group.arm(self._gate)
            return
        known = self._gate.ledger.reservation(chain.root)
        held = self._intents.get(fact.number)
        if known is None or held is None or fact.number != chain.head:
            return
        intent = held.intent
        limit_px, stop_px = fact.limit_px or intent.limit_px, fact.stop_px or intent.stop_px
        intent = replace(intent, qty=fact.qty or intent.qty, limit_px=limit_px, stop_px=stop_px)
        self._intents[fact.number] = replace(held, intent=intent)
        cross = limit_px or (_ANYTHING if intent.side == 1 else 0)
        self._gate.resize(chain.root, max(intent.qty - known.filled, 0), limit_px, stop_px, cross)

    def _works(self, chain: Chain, number: int) -> None:
        if number == chain.next:
            chain.shown = True
            if chain.head_final:
                self._stands_in(chain)

    def _stands_in(self, chain: Chain) -> None:
        number = chain.next
        chain.head, chain.next, chain.head_final, chain.shown = number, 0, False, False
        if chain.exit is not None and chain.group is not None:
            chain.exit.number = number
            chain.exit.replaced()
            chain.group.arm(self._gate)
        else:
            self._gate.settle(chain.root, True)

    def _ended(self, chain: Chain, fact: OrderChanged) -> None:
        canceled_at = fact.ts if fact.status == OrderStatus.CANCELED else 0
        if fact.status == OrderStatus.ABANDONED and fact.number in self._intents:
            self._absent.add(fact.number)
        if fact.status == OrderStatus.FILLED and chain.group is not None and chain.exit is None:
            self._entered(chain.group, chain.root)
        if fact.number == chain.next:
            if fact.status is not OrderStatus.FILLED and not chain.head_final:
                chain.next, chain.shown = 0, False
                if chain.exit is not None and chain.group is not None:
                    chain.exit.pending = None
                    chain.group.arm(self._gate)
                else:
                    self._gate.settle(chain.root, False)
            elif not chain.head_final:
                chain.next, chain.shown = 0, False  # what it replaced may have fills that were not told yet: it goes last
            else:
                self._drop(chain, canceled_at)
        elif fact.number == chain.head and chain.next:
            chain.head_final = True  # the replace under way may yet be an order: count until its answer
            if chain.shown or fact.status is OrderStatus.REPLACED:
                self._stands_in(chain)
        elif fact.number == chain.head:
            self._drop(chain, canceled_at)

    def _drop(self, chain: Chain, canceled_at: int) -> None:
        if chain.exit is not None and chain.group is not None:
            self._exit_ended(chain.exit, chain.group)
        else:
            if chain.group is not None and chain.group.live:
                self._entered(chain.group, chain.root)
            self._gate.release(chain.root, canceled_at=canceled_at)
        for number in chain.numbers:
            self._by_number.pop(number, None)
            if number not in self._absent:
                self._intents.pop(number, None)
        for key in chain.keys:
            self._by_key.pop(key, None)
        for venue_order_id in [v for v, n in self._external.items() if n in chain.numbers]:
            del self._external[venue_order_id]

    def _entered(self, group: Group, root: int) -> None:
        """The entry is wholly filled: its exits work."""
        known = self._gate.ledger.reservation(root)
        group.qty = known.filled if known is not None else group.qty
        group.live = True
        group.arm(self._gate)

    def _exit_ended(self, exit_: Exit, group: Group) -> None:
        # The carrier stands for the other one too: it goes last.
        exit_.open = False
        self._over[exit_.number] = (exit_, group)
        if len(self._over) > KEPT_EXITS:
            del self._over[next(iter(self._over))]
        if exit_.root != group.carrier:
            self._gate.release(exit_.root)
        if group.open():
            group.arm(self._gate)
        else:
            self._gate.release(group.carrier)

    def state(self) -> bytes:
        """The durable part, for the state hash."""
        rows = sorted((n, c.root, c.head, c.next, c.head_final, c.shown, sorted(c.unknown)) for n, c in self._by_number.items())
        groups = sorted((n, c.group.state()) for n, c in self._by_number.items() if c.group is not None)
        return repr((rows, sorted(self._absent), sorted(self._external.items()), *((groups,) if groups else ()))).encode()
