"""Named lists of assets that an account's owner keeps (/v2/watchlists)."""

from typing import Any

import msgspec

from pyrt.venues.sim.exchange.orders import Body, VenueRefusal, invalid
from pyrt.venues.sim.times import format_time

NAME_MAX = 64
LISTS_MAX = 200  # of an account
ASSETS_MAX = 1000  # of a list


class Watchlist(msgspec.Struct, kw_only=True):
    """One list; its assets by instrument id, in the order in which they were added."""

    id: str
    name: str
    created_at: int
    updated_at: int
    assets: list[int] = msgspec.field(default_factory=list)


Lists = dict[str, Watchlist]


def show(found: Watchlist, account: str, assets: dict[int, Body] | None) -> Body:
    """The object of GET /v2/watchlists/{id}; without `assets` that of the list of all."""
    body = {
        "id": found.id,
        "account_id": account,
        "created_at": format_time(found.created_at),
        "updated_at": format_time(found.updated_at),
        "name": found.name,
    }
    return body if assets is None else {**body, "assets": [assets[number] for number in found.assets if number in assets]}


def find(lists: Lists, id_: str | None, name: str | None) -> Watchlist:
    """By id, or by name. Raises VenueRefusal 404."""
    named = (entry for entry in lists.values() if entry.name == name)
    found = next(named, None) if id_ is None else lists.get(id_)
    if found is None:
        raise VenueRefusal(404, 40410000, f"watchlist not found: {name if id_ is None else id_}")
    return found


def read_name(lists: Lists, value: Any, own: Watchlist | None = None) -> str:
    """A name that no other list has. Raises VenueRefusal 422."""
    if not isinstance(value, str) or not value.strip():
        raise invalid("watchlist name is required", 40010001)
    if len(value) > NAME_MAX:
        raise invalid(f"watchlist name must be no more than {NAME_MAX} characters", 40010001)
    if any(entry.name == value and entry is not own for entry in lists.values()):
        raise invalid("watchlist name must be unique")
    return value


def read_symbols(value: Any) -> list[str]:
    """The symbols of a body. Raises VenueRefusal."""
    if value is None:
        return []
    if not isinstance(value, list) or not all(isinstance(symbol, str) for symbol in value):
        raise VenueRefusal(400, 40010000, "request body format is invalid: symbols is not a list of text")
    if len(value) > ASSETS_MAX:
        raise invalid(f"a watchlist holds no more than {ASSETS_MAX} assets", 40010001)
    return value
