"""How a venue is run, and where it then listens."""

from typing import Any, Literal

from pyrt.config import Veiled
from pyrt.venues.sim.actions import Action
from pyrt.venues.sim.exchange.activities import Fees
from pyrt.venues.sim.server.access import AccountConfig, Multiplier
from pyrt.venues.sim.server.feeds import PLAN

DEMO_KEY = "PKPYRTSIMDEMO"
DEMO_SECRET = "a-demonstration-pair-is-no-secret"  # noqa: S105


class SimConfig(Veiled, frozen=True, kw_only=True):
    """How a venue is run."""

    host: str = "127.0.0.1"
    port: int = 0  # 0 = any free one
    key: str = DEMO_KEY
    secret: str = DEMO_SECRET
    market: str = "generated"
    seed: int = 0
    speed: float = 1.0  # venue seconds a second; 0 = as fast as the clients take it
    start: int = 0  # venue ns at which a new venue begins; 0 = now
    cash: str = "100000"
    multiplier: Multiplier = 2
    account_fields: Literal["2026-07", "before"] = "2026-07"  # "before": with the day-trading fields and rules that left then
    accounts: tuple[AccountConfig, ...] = ()  # after the first, which is that of key and secret
    rate_limit: int = 200  # trading requests a minute of each account; 0 = none
    data_rate_limit: int = 10_000
    connection_limit: int = 1  # data streams of an account on one endpoint
    symbol_limit: int = 0  # symbols of trades and quotes on a data stream; 0 = none
    buffer: int = 16 << 20  # bytes waiting for one data client before it counts as slow
    auth_seconds: float = 10.0
    entry_latency: int = 0  # ns of venue time until an order is at the matcher,
    cancel_latency: int = 0  # a cancel,
    replace_latency: int = 0  # a replacement; 0 = at once, and no pending states
    queue: Literal["pessimistic", "proportional"] = "pessimistic"  # who of a shrinking level is taken to have canceled
    second_leg: Literal["held", "new"] = "held"  # status of a pair's stop while its take-profit works
    calendar: bool = False  # the hours of XNYS; otherwise always open
    state: str = ""  # a directory; empty = nothing is kept
    faults: str | tuple[dict[str, Any], ...] = ""  # the path of a fault script, or its [[fault]] tables
    feeds: tuple[str, ...] = PLAN  # of shares, that the plan holds: iex, sip, delayed_sip, boats, overnight, otc
    compression: bool = True  # of data streams, for clients that offer permessage-deflate
    ping_seconds: float = 60.0  # between pings on data streams
    actions: tuple[Action, ...] = ()  # corporate actions, of the accounts and of a generated market's prices
    fees: Fees | None = None  # what sales cost; None = nothing
    options_level: Literal[0, 1, 2, 3] = 3  # what accounts may trade in contracts: 0 nothing ... 3 spreads
    opra: bool = False  # whether the plan holds this feed of contracts; it shows what indicative shows


class Listening(Veiled, frozen=True, kw_only=True):
    """Where a venue answers, and to whom."""

    url: str
    data_url: str
    stream_url: str
    key: str
    secret: str
