"""The parameters of a data request, read and checked: what is wrong is a 400 or, where the plan does not hold it, a 403."""

from collections.abc import Mapping, Sequence

from pyrt.venues.sim.exchange.orders import VenueRefusal
from pyrt.venues.sim.market.archive import Ask
from pyrt.venues.sim.market.rows import Token, parse_timeframe, parse_token
from pyrt.venues.sim.server.edge import BadRequest
from pyrt.venues.sim.server.feeds import DELAY, FEED_NAMES
from pyrt.venues.sim.times import parse_time

ADJUSTMENTS = frozenset({"raw", "split", "dividend", "spin-off", "all"})
SILENT = frozenset({"boats", "overnight", "otc"})  # nothing that is listed here trades there

Query = Mapping[str, str]


class NotInPlan(VenueRefusal):
    """403 of the data host, which has no code."""

    def __init__(self, message: str) -> None:
        super().__init__(403, 40310000, message)
        self.body = {"message": message}


class Plan:
    """The feeds of shares that the account may have; with all but sip, sip is there when it is DELAY old."""

    def __init__(self, feeds: Sequence[str]) -> None:
        self._feeds = feeds
        self._default = next((name for name in ("sip", "iex") if name in feeds), "delayed_sip")

    def feed(self, query: Query) -> str:
        """The feed that is asked for. Raises BadRequest."""
        feed = query.get("feed") or self._default
        if feed not in FEED_NAMES:
            raise BadRequest(f"invalid feed: {feed}")
        return feed

    def until(self, feed: str, now: int, end: int) -> int:
        """How far a feed goes that is asked for up to `end`. Raises NotInPlan."""
        if feed == "delayed_sip":
            return now - DELAY
        if feed in self._feeds or (feed == "sip" and end <= now - DELAY):
            return now
        recent = "recent SIP" if feed == "sip" else feed.upper()
        raise NotInPlan(f"subscription does not permit querying {recent} data")


def read_symbols(query: Query, known: Mapping[str, object]) -> list[str]:
    """The symbols that are asked for and known, in order. Raises BadRequest where none is asked for."""
    symbols = {s.strip().upper() for s in query.get("symbols", "").split(",") if s.strip()}
    if not symbols:
        raise BadRequest("symbols is required")
    return sorted(symbols & known.keys())


def read_limit(query: Query, name: str = "limit", default: int = 1000, most: int = 10_000) -> int:
    """A count. Raises BadRequest."""
    text = query.get(name) or str(default)
    if not (text.isascii() and text.isdigit() and len(text) < 6 and 1 <= int(text) <= most):
        raise BadRequest(f"invalid {name}: it must be from 1 to {most}")
    return int(text)


def read_span(query: Query, now: int, midnight: int) -> tuple[int, int]:
    """Start and end, ns UTC; by default from `midnight` to the present. Raises BadRequest."""
    try:
        start = parse_time(query["start"]) if query.get("start") else midnight
        end = parse_time(query["end"]) if query.get("end") else now
    except ValueError as e:
        raise BadRequest(str(e)) from None
    if end < start and query.get("start") and query.get("end"):
        raise BadRequest("end should not be before start")
    return start, end


def read_terms(query: Query) -> str:
    """The adjustment, after a look at the other terms. Raises BadRequest."""
    if query.get("currency", "USD").upper() != "USD":
        raise BadRequest("invalid currency: this venue has USD alone")
    asof = query.get("asof") or "-"
    try:
        if asof != "-" and (len(asof) != 10 or parse_time(asof) < 0):
            raise ValueError(asof)
    except ValueError:
        raise BadRequest(f"invalid asof: {asof}") from None
    adjustment = query.get("adjustment") or "raw"
    if not ADJUSTMENTS.issuperset(adjustment.split(",")):
        raise BadRequest(f"invalid adjustment: {adjustment}")
    return adjustment


def read_ask(query: Query, kind: str, symbols: list[str], now: int, span: tuple[int, int]) -> Ask:
    """The question. Raises BadRequest."""
    order = query.get("sort") or "asc"
    if order not in ("asc", "desc"):
        raise BadRequest("invalid sort: it must be asc or desc")
    limit, adjustment = read_limit(query), read_terms(query)
    try:
        token: Token | None = parse_token(query["page_token"]) if query.get("page_token") else None
        timeframe = parse_timeframe(query.get("timeframe", "")) if kind == "bars" else None
    except ValueError as e:
        raise BadRequest(str(e)) from None
    if token is not None:
        now = min(now, token.now)
    return Ask(
        kind=kind,
        symbols=symbols,
        start=span[0],
        end=min(span[1], now),
        now=now,
        limit=limit,
        descending=order == "desc",
        token=token,
        timeframe=timeframe,
        adjustment=adjustment,
    )
