"""`pyrt doctor --against alpaca-paper`: the same requests to the simulated venue and to Alpaca's paper venue, answer by answer.

What is sent is fixed and safe: reads, refusals, and limit orders of one share far below the market, which are cancelled again.
Compared are the status, the error's code, and the form of the JSON: which keys, and of what kind each value is. Values are not.
"""

import re
import secrets
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import msgspec

from pyrt.config import Secret, mask_logs
from pyrt.errors import ConfigError, NotAuthorized, NotConnected
from pyrt.venues.alpaca.keys import PAPER, SIM, Keys, check_url, load_keys
from pyrt.venues.alpaca.link import PAPER as PAPER_ADDRESSES
from pyrt.venues.alpaca.session import Attempt, Broken, Ended, VenueSession
from pyrt.venues.alpaca.transport import venue_session
from pyrt.venues.sim.child import SimProcess

PATIENCE = 15.0  # seconds for one answer
SYMBOL = "AAPL"
LOW, LESS_LOW = "1.00", "1.01"  # prices that no order of ours is filled at
_NOBODY = "00000000-0000-4000-8000-000000000000"
WAIT_GONE = 10.0  # seconds for a cancel to be done

_FORMS = (
    ("number text", re.compile(r"-?[0-9]+(\.[0-9]+)?")),
    ("uuid", re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")),
    ("time", re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9:.]+(Z|[+-][0-9]{2}:[0-9]{2})")),
    ("date", re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")),
)


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """What a venue said to one request; `body` is None where it was no JSON."""

    status: int
    body: Any = None
    empty: bool = False


class Difference(msgspec.Struct, frozen=True, kw_only=True):
    """One point in which the venues answer differently; a `note` says what may depend on the account or the hour."""

    request: str
    where: str
    sim: str
    venue: str
    note: bool = False


class Comparison(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that was asked and found."""

    against: str
    asked: int
    same: int
    differences: list[Difference]
    left: list[str]  # orders that could not be cancelled, at either venue


class Asker:
    """One venue with its hosts."""

    def __init__(self, trading: str, data: str, keys: Keys) -> None:
        self.name = check_url(trading)
        self._hosts = {"trading": venue_session(trading, keys), "data": venue_session(data, keys)}
        self._wrong = venue_session(trading, Keys(keys.key, Secret("wrong" + secrets.token_hex(16))))

    def ask(self, method: str, path: str, body: Any = None, *, host: str = "trading", keys: bool = True) -> Answer:
        """One request. Raises NotConnected."""
        session = self._hosts[host] if keys else self._wrong
        attempt = Attempt()
        timer = threading.Timer(PATIENCE, _end, (session, attempt))
        timer.start()
        raw = body if isinstance(body, bytes) or body is None else msgspec.json.encode(body)
        try:
            answer = session.exchange(attempt, method, path, raw, PATIENCE)
        except (Broken, Ended) as e:
            raise NotConnected(f"no answer to {method} {path.partition('?')[0]} ({e})", where=self.name) from None
        finally:
            timer.cancel()
        try:
            return Answer(status=answer.status, body=msgspec.json.decode(answer.body), empty=not answer.body)
        except (msgspec.DecodeError, RecursionError):
            return Answer(status=answer.status, empty=not answer.body)

    def close(self) -> None:
        """Let the connections go."""
        for session in (*self._hosts.values(), self._wrong):
            session.close()


def _end(session: VenueSession, attempt: Attempt) -> None:
    attempt.end()
    session.shut(attempt)


def compare(sim: Asker, venue: Asker) -> Comparison:
    """Ask both, request by request. Raises NotAuthorized where the keys are refused, NotConnected."""
    found: list[Difference] = []
    same = asked = 0
    mark = f"pyrt-doctor-{secrets.token_hex(6)}"
    left: list[str] = []
    try:
        for name, mine, theirs in _conversation(sim, venue, mark):
            if not asked and theirs.status in (401, 403):
                raise NotAuthorized("the venue refused the keys", where=venue.name, mend="check the keys and what they are for")
            new = list(differences(name, mine, theirs))
            asked += 1
            same += not any(not d.note for d in new)
            found += new
    finally:
        for who in (sim, venue):
            if asked:
                left += _sweep(who, mark)
    return Comparison(against=venue.name, asked=asked, same=same, differences=found, left=left)


def _conversation(sim: Asker, venue: Asker, mark: str) -> Iterator[tuple[str, Answer, Answer]]:
    for name, arguments, options in _reads():
        yield name, sim.ask(*arguments, **options), venue.ask(*arguments, **options)
    for number, (name, body) in enumerate(_refused()):
        if isinstance(body, dict):  # should one be taken by mistake, it is known as ours
            body.setdefault("client_order_id", f"{mark}-r{number}")
        yield f"order: {name}", sim.ask("POST", "/v2/orders", body), venue.ask("POST", "/v2/orders", body)
    yield from _life_of_an_order(sim, venue, mark)


def _reads() -> Iterator[tuple[str, tuple[Any, ...], dict[str, Any]]]:
    day, minutes = "start=2026-03-02&end=2026-03-06", "start=2026-03-02T15:00:00Z&end=2026-03-02T15:05:00Z"
    for name, path in (
        ("account", "/v2/account"),
        ("configurations", "/v2/account/configurations"),
        ("clock", "/v2/clock"),
        ("calendar", f"/v2/calendar?{day}"),
        ("asset", f"/v2/assets/{SYMBOL}"),
        ("unknown asset", "/v2/assets/NOSUCHSYMBOL"),
        ("positions", "/v2/positions"),
        ("unknown position", "/v2/positions/NOSUCHSYMBOL"),
        ("orders", "/v2/orders?status=all&limit=5"),
        ("orders, wrong status", "/v2/orders?status=nonsense"),
        ("unknown order", f"/v2/orders/{_NOBODY}"),
        ("order by what is no id", "/v2/orders/nonsense"),
        ("order by an unknown client id", "/v2/orders:by_client_order_id?client_order_id=pyrt-doctor-nobody"),
        ("activities", "/v2/account/activities?page_size=5"),
        ("activities, unknown kind", "/v2/account/activities/NONSENSE"),
        ("portfolio history", "/v2/account/portfolio/history?period=1W&timeframe=1D"),
        ("watchlists", "/v2/watchlists"),
        ("no such path", "/v2/nonsense"),
    ):
        yield name, ("GET", path), {}
    for name, path in (
        ("bars", f"/v2/stocks/bars?symbols={SYMBOL}&timeframe=1Min&{minutes}&feed=iex"),
        ("bars, wrong timeframe", f"/v2/stocks/bars?symbols={SYMBOL}&timeframe=1Fortnight&{day}&feed=iex"),
        ("trades", f"/v2/stocks/trades?symbols={SYMBOL}&start=2026-03-02T15:00:00Z&end=2026-03-02T15:01:00Z&limit=5&feed=iex"),
        ("latest quote", f"/v2/stocks/quotes/latest?symbols={SYMBOL}&feed=iex"),
        ("latest trade", f"/v2/stocks/trades/latest?symbols={SYMBOL}&feed=iex"),
        ("snapshot", f"/v2/stocks/snapshots?symbols={SYMBOL}&feed=iex"),
    ):
        yield f"data: {name}", ("GET", path), {"host": "data"}
    yield "wrong secret", ("GET", "/v2/account"), {"keys": False}
    yield "cancel an unknown order", ("DELETE", f"/v2/orders/{_NOBODY}"), {}
    yield "replace an unknown order", ("PATCH", f"/v2/orders/{_NOBODY}", b'{"qty":"1"}'), {}


def _order(**changes: Any) -> dict[str, Any]:
    """A limit order of one share that nobody fills, with changes; None takes a field out."""
    whole = {"symbol": SYMBOL, "qty": "1", "side": "buy", "type": "limit", "limit_price": LOW, "time_in_force": "day", **changes}
    return {name: value for name, value in whole.items() if value is not None}


def _refused() -> Iterator[tuple[str, Any]]:
    """Orders that no venue takes; each would be far from the market if one did."""
    yield "nothing in it", {}
    yield "no JSON", b"{"
    yield "no side", _order(side=None)
    yield "unknown symbol", _order(symbol="NOSUCHSYMBOL")
    yield "unknown side", _order(side="hold")
    yield "unknown type", _order(type="wish")
    yield "unknown time in force", _order(time_in_force="tomorrow")
    yield "no quantity", _order(qty=None)
    yield "quantity zero", _order(qty="0")
    yield "quantity below zero", _order(qty="-1")
    yield "quantity that is no number", _order(qty="many")
    yield "limit without a price", _order(limit_price=None)
    yield "price below zero", _order(limit_price="-1.00")
    yield "price finer than a penny", _order(limit_price="1.001")
    yield "a fraction good till cancelled", _order(qty="0.5", time_in_force="gtc")
    yield "quantity and notional", _order(notional="1")
    yield "stop without a trigger", _order(type="stop", limit_price=None)
    yield "bracket without exits", _order(order_class="bracket")
    yield "client id too long", _order(client_order_id="x" * 129)


def _life_of_an_order(sim: Asker, venue: Asker, mark: str) -> Iterator[tuple[str, Answer, Answer]]:
    who = (sim, venue)

    def both(method: str, path: Callable[[str], str], ids: tuple[str, str], body: Any = None) -> tuple[Answer, Answer]:
        pair = [at.ask(method, path(number), body) for at, number in zip(who, ids, strict=True)]
        return pair[0], pair[1]

    order = _order(client_order_id=f"{mark}-1")
    pair = both("POST", lambda _: "/v2/orders", ("", ""), order)
    yield "order: far from the market", *pair
    if not all(first := _ids(pair)):
        return
    yield "order: the same client id again", *both("POST", lambda _: "/v2/orders", first, order)
    yield "order: read by id", *both("GET", lambda number: f"/v2/orders/{number}", first)
    yield "order: read by client id", *both("GET", lambda _: f"/v2/orders:by_client_order_id?client_order_id={mark}-1", first)
    yield "orders: open", *both("GET", lambda _: "/v2/orders?status=open&limit=5", first)
    better = {"limit_price": LESS_LOW, "client_order_id": f"{mark}-2"}
    pair = both("PATCH", lambda number: f"/v2/orders/{number}", first, better)
    yield "order: replaced", *pair
    last = second if all(second := _ids(pair)) else first
    yield "order: cancelled", *both("DELETE", lambda number: f"/v2/orders/{number}", last)
    for at in who:
        _sweep(at, mark)  # a cancel takes its time
    yield "order: cancelled again", *both("DELETE", lambda number: f"/v2/orders/{number}", last)
    yield "order: read when it is gone", *both("GET", lambda number: f"/v2/orders/{number}", last)


def _ids(pair: tuple[Answer, Answer]) -> tuple[str, str]:
    one, two = (str(a.body.get("id", "")) if a.status == 200 and isinstance(a.body, dict) else "" for a in pair)
    return one, two


def _sweep(who: Asker, mark: str) -> list[str]:
    """Cancel every open order whose client id begins with the mark, whatever was answered to it; what is left in the end."""
    give_up = time.monotonic() + WAIT_GONE
    left = [f"{who.name}: its open orders could not be read; look for client ids that begin with {mark}"]
    while True:
        try:
            answer = who.ask("GET", "/v2/orders?status=open&limit=500")
            if answer.status == 200 and isinstance(answer.body, list):
                ids = [o["id"] for o in answer.body if str(o.get("client_order_id", "")).startswith(mark)]
                left = [f"{who.name}: {number}" for number in ids]
                if not ids:
                    return []
                for number in ids:
                    who.ask("DELETE", f"/v2/orders/{number}")
        except NotConnected:
            pass  # asked again until the time is over
        if time.monotonic() > give_up:
            return left
        time.sleep(0.25)


# ---------------------------------------------------------------------------------------------------- how two answers differ
def differences(request: str, sim: Answer, venue: Answer) -> Iterator[Difference]:
    """Status, emptiness, error code, and the form of the JSON."""
    if sim.status != venue.status:
        yield Difference(request=request, where="status", sim=str(sim.status), venue=str(venue.status))
        if (sim.status < 300) != (venue.status < 300):
            return  # an answer and a refusal have nothing else in common
    if venue.status >= 400 and isinstance(sim.body, dict) and isinstance(venue.body, dict):
        for name, note in (("code", False), ("message", True)):
            mine, theirs = sim.body.get(name), venue.body.get(name)
            if mine != theirs:
                yield Difference(request=request, where=name, sim=_short(mine), venue=_short(theirs), note=note)
    mine, theirs = forms(sim), forms(venue)
    for where in sorted({*mine, *theirs}):
        if where not in theirs or where not in mine:
            if not _inside_of_nothing(where, mine if where not in mine else theirs):
                yield Difference(request=request, where=where, sim=_said(mine, where), venue=_said(theirs, where))
        elif (a := mine[where]) != (b := theirs[where]):
            seen = [{"list" if kind == "no elements" else kind for kind in kinds} - {"null"} for kinds in (a, b)]
            note = not all(seen) or bool(seen[0] & seen[1])  # a null, or an empty list, shows no form to compare
            yield Difference(request=request, where=where, sim=_said(mine, where), venue=_said(theirs, where), note=note)


def forms(answer: Answer) -> dict[str, set[str]]:
    """Of each place in an answer's JSON the kinds of what is there; the elements of a list share one place."""
    found: dict[str, set[str]] = {}

    def walk(place: str, value: Any) -> None:
        kinds = found.setdefault(place or "body", set())
        if isinstance(value, dict):
            kinds.add("object")
            for key, inner in value.items():
                walk(f"{place}.{key}" if place else key, inner)
        elif isinstance(value, list):
            kinds.add("list" if value else "no elements")
            for inner in value:
                walk(f"{place}[]", inner)
        else:
            kinds.add(_kind(value))

    if answer.empty:
        return {"body": {"nothing"}}
    if answer.body is None:
        return {"body": {"no JSON"}}
    walk("", answer.body)
    return found


def _kind(value: Any) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true or false"
    if isinstance(value, (int, float)):
        return "number"
    return next((name for name, form in _FORMS if form.fullmatch(value)), "text")


def _inside_of_nothing(where: str, other: dict[str, set[str]]) -> bool:
    """Whether the other side has, at a place above, a null or an empty list: then it cannot be seen what would be there."""
    for end in [m.start() for m in re.finditer(r"\.|\[\]", where)][::-1]:
        kinds = other.get(where[:end] or "body")
        if kinds is not None:
            return not kinds - {"null", "no elements"}
    return False


def _said(found: dict[str, set[str]], where: str) -> str:
    return " or ".join(sorted(found[where])) if where in found else "-"


def _short(value: Any) -> str:
    text = str(value)
    return text if len(text) <= 80 else text[:77] + "..."


# ---------------------------------------------------------------------------------------------------- the verb's part
def against(name: str) -> Comparison:
    """Compare a new simulated venue with the one that is named: alpaca-paper, or the address of a simulated one on loopback.

    Raises ConfigError for another; keys come from the environment.
    """
    if name == PAPER:
        trading, data = PAPER_ADDRESSES.trading, PAPER_ADDRESSES.data
    elif name.startswith("http://"):
        check_url(name, SIM)
        trading = data = name
    else:
        mend = f"use {PAPER}, whose account gets orders far from the market that are cancelled again"
        raise ConfigError(f"there is no comparing with {name!r}", where="--against", mend=mend)
    keys = load_keys()
    mask_logs(*keys)
    with ExitStack() as stack:
        state = Path(stack.enter_context(TemporaryDirectory(prefix="pyrt-")))
        own = stack.enter_context(SimProcess(state=state)).address
        sim = Asker(own.url, own.url, Keys(Secret(own.key), Secret(own.secret)))
        stack.callback(sim.close)
        venue = Asker(trading, data, keys)
        stack.callback(venue.close)
        return compare(sim, venue)


def tell(found: Comparison, notes: bool = True) -> Iterator[str]:
    """The comparison as lines of a table."""
    rows = [d for d in found.differences if notes or not d.note]
    table = [
        ("request", "where", "sim", found.against),
        *((d.request, d.where + (" (note)" if d.note else ""), d.sim, d.venue) for d in rows),
    ]
    widths = [max(len(row[n]) for row in table) for n in range(3)]
    if rows:
        for row in table:
            yield "  ".join([*(cell.ljust(width) for cell, width in zip(row, widths, strict=False)), row[3]]).rstrip()
    yield f"{found.asked} requests to each, {found.same} answered alike"
    for order in found.left:
        yield f"NOT CANCELLED: {order} -- cancel it by hand"
