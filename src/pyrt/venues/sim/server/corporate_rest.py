"""Corporate actions as the data host lists them: GET /v1/corporate-actions (and /v1beta1)."""

from collections.abc import Sequence
from datetime import date, datetime
from fractions import Fraction
from hashlib import blake2b
from typing import Any

from aiohttp import web

from pyrt.calendar import NEW_YORK
from pyrt.clock import SECOND
from pyrt.venues.sim.actions import Action
from pyrt.venues.sim.server.edge import BadRequest, answer
from pyrt.venues.sim.server.floor import Floor

KINDS = (
    "reverse_split", "forward_split", "unit_split", "cash_dividend", "stock_dividend", "spin_off", "cash_merger", "stock_merger",
    "stock_and_cash_merger", "redemption", "name_change", "worthless_removal", "rights_distribution",
)  # fmt: skip
LIMIT = 1000


class CorporateRest:
    """The handler. Actions are known from the beginning, as announced ones are."""

    def __init__(self, floor: Floor, actions: Sequence[Action]) -> None:
        self._floor = floor
        self._actions = sorted(actions, key=lambda a: (a.ex_date, a.symbol, a.id))

    def routes(self) -> list[web.RouteDef]:
        """Both versions of the path."""
        return [web.get(f"/{version}/corporate-actions", self.actions, allow_head=False) for version in ("v1", "v1beta1")]

    async def actions(self, request: web.Request) -> web.Response:
        """GET /v1/corporate-actions?symbols&cusips&types&start&end&ids&limit&page_token&sort."""
        query = request.query
        order = query.get("sort") or "asc"
        if order not in ("asc", "desc"):
            raise BadRequest("invalid sort: it must be asc or desc")
        found = self._by_ids(query.get("ids", "")) if query.get("ids") else self._by_terms(request)
        found = found if order == "asc" else found[::-1]
        limit, begin = _whole(request, "limit", LIMIT), _whole(request, "page_token", 0)
        page = found[begin : begin + limit]
        token = str(begin + limit) if len(found) > begin + limit else None
        groups: dict[str, list[dict[str, Any]]] = {}
        for action in page:
            groups.setdefault(f"{action.kind}s", []).append(show_action(action))
        return answer({"corporate_actions": groups, "next_page_token": token})

    def _by_ids(self, text: str) -> list[Action]:
        wanted = set(text.split(","))
        return [a for a in self._actions if a.id in wanted]

    def _by_terms(self, request: web.Request) -> list[Action]:
        query = request.query
        symbols, cusips, types = (_list(query.get(name, "")) for name in ("symbols", "cusips", "types"))
        unknown = types - set(KINDS)
        if unknown:
            raise BadRequest(f"invalid type: {', '.join(sorted(unknown))}")
        today = datetime.fromtimestamp(self._floor.now // SECOND, NEW_YORK).date()
        start, end = _day(request, "start", today), _day(request, "end", today)
        if end < start:
            raise BadRequest("end should not be before start")
        return [
            a
            for a in self._actions
            if (not symbols or a.symbol in symbols)
            and (not cusips or cusip(a.symbol) in cusips)
            and (not types or a.kind in types)
            and start <= a.ex_date <= end
        ]


def cusip(symbol: str) -> str:
    """Nine characters that stand for a symbol; no real number."""
    return f"{int.from_bytes(blake2b(symbol.encode(), digest_size=4).digest()) % 10**8:08d}0"


def show_action(action: Action) -> dict[str, Any]:
    """One action in Alpaca's shape, dates that are not known left out."""
    body: dict[str, Any] = {"id": action.id, "symbol": action.symbol, "ex_date": action.ex_date.isoformat()}
    own = cusip(action.symbol)
    if action.kind == "cash_dividend":
        body |= {"cusip": own, "rate": float(action.rate), "special": action.special, "foreign": action.foreign}
        body["process_date"] = (action.payable_date or action.ex_date).isoformat()
    else:
        ratio = Fraction(action.new_rate, action.old_rate)
        body |= {"new_rate": ratio.numerator, "old_rate": ratio.denominator, "process_date": action.ex_date.isoformat()}
        body |= {"cusip": own} if action.kind == "forward_split" else {"old_cusip": own, "new_cusip": own}
    dates = {"record_date": action.record_date, "payable_date": action.payable_date}
    return body | {name: day.isoformat() for name, day in dates.items() if day is not None}


def _list(text: str) -> set[str]:
    return {part.strip() for part in text.split(",") if part.strip()}


def _day(request: web.Request, name: str, default: date) -> date:
    text = request.query.get(name, "")
    try:
        return date.fromisoformat(text[:10]) if text else default
    except ValueError:
        raise BadRequest(f"{name} is not a date") from None


def _whole(request: web.Request, name: str, default: int) -> int:
    text = request.query.get(name, "")
    if not text:
        return default
    if not (text.isascii() and text.isdigit() and len(text) < 8) or (name == "limit" and not 1 <= int(text) <= LIMIT):
        raise BadRequest(f"invalid {name}")
    return int(text)
