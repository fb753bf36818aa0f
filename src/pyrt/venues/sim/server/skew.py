"""A venue whose clock is off: every time that it tells moved by so many ns, and every time that it is asked about moved back."""

import re
from email.utils import formatdate
from typing import Any

import numpy as np
import numpy.typing as npt
from aiohttp import web

from pyrt.clock import SECOND
from pyrt.venues.sim.times import format_new_york, format_time, parse_time

Records = npt.NDArray[np.void]
_TIME = r"\d{4}-\d\d-\d\dT\d\d:\d\d(?::\d\d(?:\.\d+)?)?(?:Z|[+-]\d\d:\d\d)"
_WHOLE = re.compile(_TIME)
_IN_JSON = re.compile(f'"({_TIME})"'.encode())
_ASKED = ("after", "until", "start", "end")


def moved(text: str, ns: int) -> str:
    """An RFC 3339 time moved; New York's offset stays New York's."""
    at = parse_time(text) + ns
    return format_time(at) if text.endswith("Z") else format_new_york(at)


def moved_values(value: Any, ns: int) -> Any:
    """Every time in a tree of dicts and lists moved."""
    if isinstance(value, dict):
        return {key: moved_values(item, ns) for key, item in value.items()}
    if isinstance(value, list):
        return [moved_values(item, ns) for item in value]
    return moved(value, ns) if isinstance(value, str) and _WHOLE.fullmatch(value) else value


def moved_json(body: bytes, ns: int) -> bytes:
    """Every time in a JSON text moved; numbers keep their spelling."""
    return _IN_JSON.sub(lambda found: f'"{moved(found[1].decode(), ns)}"'.encode(), body)


def moved_records(records: Records, ns: int) -> Records:
    """Market records or bars with their times moved."""
    if not len(records):
        return records
    records = records.copy()
    for name in ("ts_event", "start"):
        if name in (records.dtype.names or ()):
            records[name] += ns
    return records


def asked(request: web.Request, ns: int) -> web.Request:
    """The request with the times in its query as the venue's own clock has them."""
    query = dict(request.query)
    for name in _ASKED:
        if _WHOLE.fullmatch(query.get(name, "")):
            query[name] = moved(query[name], -ns)
    return request.clone(rel_url=request.rel_url.with_query(query)) if query != dict(request.query) else request


def told(response: web.StreamResponse, real: float, ns: int) -> None:
    """Move what an answer tells; `real`: Unix seconds now."""
    response.headers["Date"] = formatdate(real + ns / SECOND, usegmt=True)
    if isinstance(response, web.Response) and isinstance(response.body, bytes) and response.content_type == "application/json":
        response.body = moved_json(response.body, ns)
