"""What the exchange remembers: one tree that is saved and loaded whole."""

from collections.abc import Callable
from hashlib import blake2b
from heapq import heappush
from typing import Any

import msgspec

from pyrt._core.types import format_units
from pyrt.errors import DataError
from pyrt.venues.sim.actions import Action
from pyrt.venues.sim.exchange.account import Account, Instruments, figures, read_money
from pyrt.venues.sim.exchange.activities import Entry, local_stamp
from pyrt.venues.sim.exchange.auctions import Cross
from pyrt.venues.sim.exchange.corporate import Split
from pyrt.venues.sim.exchange.corrections import Correction
from pyrt.venues.sim.exchange.halts import Bands
from pyrt.venues.sim.exchange.orders import Body, Row
from pyrt.venues.sim.times import format_time, new_york


class Fill(msgspec.Struct, kw_only=True):
    """One execution; the activity's id and the stream's execution id are different on purpose."""

    id: str
    execution_id: str
    number: int  # of the order
    ts: int
    px: int
    qty: int
    cum: int
    leaves: int
    type: str  # "partial_fill", "fill"
    busted: bool = False  # taken back: it counts no more


class Due(msgspec.Struct, order=True):
    """Something that happens by itself at an instant; of one instant, in the order in which they were put down."""

    at: int  # ns UTC
    seq: int
    kind: str  # a key of Exchange._happens
    what: dict[str, Any]


class State(msgspec.Struct, kw_only=True):
    """Orders, fills, accounts and what was refused, since the venue began."""

    version: int = 1
    seed: int
    now: int
    ids: int = 0  # how many ids were given out
    rows: list[Row] = msgspec.field(default_factory=list)
    fills: list[Fill] = msgspec.field(default_factory=list)
    accounts: dict[str, Account] = msgspec.field(default_factory=dict)
    refused: list[dict[str, Any]] = msgspec.field(default_factory=list)
    closes: dict[int, int] = msgspec.field(default_factory=dict)  # px units at the end of the last day
    marks: dict[int, int] = msgspec.field(default_factory=dict)  # px units when it was saved
    agenda: list[Due] = msgspec.field(default_factory=list)  # a heap
    put_down: int = 0  # how many things ever came onto the agenda
    entries: list[Entry] = msgspec.field(default_factory=list)  # activities that are no fills
    corrections: list[Correction] = msgspec.field(default_factory=list)
    splits: list[Split] = msgspec.field(default_factory=list)  # that were made
    actions: list[Action] = msgspec.field(default_factory=list)  # corporate actions, as scheduled
    halted: dict[int, str] = msgspec.field(default_factory=dict)  # instrument -> reason
    halts: dict[int, tuple[int, int]] = msgspec.field(default_factory=dict)  # those of our own making: begun, end (0 = open)
    bands: dict[int, Bands] = msgspec.field(default_factory=dict)  # limit up, limit down
    crosses: list[Cross] = msgspec.field(default_factory=list)  # auctions that have orders
    official: dict[int, int] = msgspec.field(default_factory=dict)  # px units at the last regular close, with a calendar
    listings: list[tuple[int, int, int]] = msgspec.field(default_factory=list)  # ns, underlying, px: what contracts were made of
    expiries: list[str] = msgspec.field(default_factory=list)  # "underlying:ns" that the agenda had
    requotes: bool = False  # the agenda has the next quotes of contracts

    def new_id(self) -> str:
        """A UUID (version 4) that depends on the seed and on how many there were."""
        self.ids += 1
        h = blake2b(f"{self.seed}:{self.ids}".encode(), digest_size=16).hexdigest()
        return f"{h[:8]}-{h[8:12]}-4{h[13:16]}-{'89ab'[int(h[16], 16) & 3]}{h[17:20]}-{h[20:]}"

    def put(self, at: int, kind: str, **what: Any) -> None:
        """Put something on the agenda."""
        self.put_down += 1
        heappush(self.agenda, Due(at, self.put_down, kind, what))

    def open_account(self, cash: str, multiplier: int) -> str:
        """A new account; multiplier 1, 2 or 4."""
        if multiplier not in (1, 2, 4):
            raise ValueError("multiplier is 1, 2 or 4")
        units = read_money(cash)
        account = Account(
            id=self.new_id(),
            number=f"PA3SIM{len(self.accounts) + 1:06d}",
            cash=units,
            multiplier=multiplier,
            created_at=self.now,
            start_cash=units,
            last_equity=units,
            balance_day=new_york(self.now).date().isoformat(),
        )
        self.accounts[account.id] = account
        return account.id

    def number_of(self, account: str) -> int:
        """A small number for an account: its place among them."""
        return list(self.accounts).index(account) + 1

    def add_fill(self, row: Row, px: int, qty: int, at: int) -> Fill:
        """Remember an execution of `row`, which already counts it."""
        fill = Fill(
            id=f"{local_stamp(at)}::{self.new_id()}",
            execution_id=self.new_id(),
            number=row.number,
            ts=at,
            px=px,
            qty=qty,
            cum=row.filled,
            leaves=row.leaves,
            type="fill" if row.status == "filled" else "partial_fill",
        )
        self.fills.append(fill)
        return fill


def begin_day(state: State, day: str, mark: Callable[[int], int], instruments: Instruments) -> None:
    """A New York day begins: what accounts and instruments were worth becomes yesterday's.

    With a calendar that is at the last regular close's prices, otherwise at those of midnight.
    """

    def last(instrument: int) -> int:
        return state.official.get(instrument) or mark(instrument)

    state.closes = {i: px for i in instruments if (px := last(i))}
    for account in state.accounts.values():
        worth = figures(account, instruments, last)
        account.last_equity, account.last_maintenance, account.balance_day = worth.equity, worth.maintenance, day
        account.day_power = worth.power(4) if worth.multiplier == 4 else 0
        for position in account.positions.values():
            position.day_qty, position.fresh = position.qty, 0


def show_activity(fill: Fill, row: Row, exp: int) -> Body:
    """One row of GET /v2/account/activities."""
    return {
        "id": fill.id,
        "activity_type": "FILL",
        "transaction_time": format_time(fill.ts),
        "type": fill.type,
        "price": format_units(fill.px),
        "qty": format_units(fill.qty, exp),
        "side": row.side.name.lower(),
        "symbol": row.symbol,
        "leaves_qty": format_units(fill.leaves, exp),
        "cum_qty": format_units(fill.cum, exp),
        "order_id": row.id,
        "order_status": "filled" if fill.type == "fill" else "partially_filled",
    }


def show_fill(state: State, fill: Fill, instruments: Instruments) -> Body:
    """A fill as /sim/truth tells it: the activity and what a client cannot know."""
    row = state.rows[fill.number - 1]
    shown = show_activity(fill, row, instruments[row.instrument].qty_exp)
    return {**shown, "account": row.account, "client_order_id": row.cid, "execution_id": fill.execution_id, "ts": fill.ts}


def encode(state: State) -> bytes:
    """The tree as JSON."""
    return msgspec.json.encode(state)


def decode(data: bytes) -> State:
    """The tree from JSON. Raises DataError."""
    try:
        state = msgspec.json.decode(data, type=State)
    except msgspec.MsgspecError as e:
        raise DataError(f"the saved venue cannot be read: {e}", mend="start with an empty state directory") from None
    if state.version != 1:
        raise DataError(f"the saved venue has version {state.version}", mend="start with an empty state directory")
    return state
