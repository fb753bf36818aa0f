"""Alpaca's historical market data over REST, page by page, as records."""

import time
from collections.abc import Callable, Iterator
from decimal import Decimal
from typing import Any

import msgspec
import numpy as np
import requests

from pyrt._core.types import PX_SCALE, Flag, RecordType, bar_dtype, to_units, trade_dtype
from pyrt.clock import DAY, MINUTE, SECOND
from pyrt.config import Secret, know, masked
from pyrt.errors import DataError, NotAuthorized, NotConnected
from pyrt.model import AssetClass, Instrument
from pyrt.venues.alpaca.keys import check_url
from pyrt.venues.alpaca.requests_session import read_whole
from pyrt.venues.alpaca.wire import format_time, parse_time

_TRIES = 5
_TIMEOUT = (5.0, 30.0)


class _Bar(msgspec.Struct):
    t: str
    o: Decimal
    h: Decimal
    l: Decimal  # noqa: E741 -- Alpaca's name
    c: Decimal
    v: Decimal
    n: int = 0
    vw: Decimal | None = None


_VOID = frozenset({"canceled", "incorrect"})


class _Trade(msgspec.Struct):
    t: str
    p: Decimal
    s: Decimal
    x: str | None = None
    c: list[str] | str | None = None
    i: int = 0
    z: str | None = None
    u: str | None = None  # canceled or incorrect: it counts no more; corrected: it stands in for an incorrect one


class _Page(msgspec.Struct):
    next_page_token: str | None = None
    bars: dict[str, list[_Bar]] | None = None
    trades: dict[str, list[_Trade]] | None = None


_page = msgspec.json.Decoder(_Page)


class History:
    """A client of the data host. Retries what may be retried, waits out a 429, never concludes from a failed page."""

    def __init__(self, *, url: str, key: Secret, secret: Secret, feed: str = "iex") -> None:
        check_url(url)
        know(key, secret)
        self._url = url.rstrip("/")
        self._feed = feed
        self._session = requests.Session()
        self._session.trust_env = False
        self._session.headers.update({"APCA-API-KEY-ID": key.reveal(), "APCA-API-SECRET-KEY": secret.reveal()})

    def close(self) -> None:
        """Give the connection back."""
        self._session.close()

    def bars(
        self,
        instrument: Instrument,
        interval: int,
        start: int,
        end: int,
        *,
        limit: int = 0,
        newest: bool = False,
        adjustment: str = "raw",
    ) -> Iterator[np.ndarray[Any, Any]]:
        """Pages of bars (bar_dtype) starting in [start, end] ns; interval: whole minutes, in ns; newest: backwards from the end.

        adjustment: "raw", or "split", as if a share had always been what it is now. A pair knows none.
        """
        params = {
            "symbols": instrument.symbol,
            "timeframe": timeframe(interval),
            "start": format_time(start),
            "end": format_time(end),
            "limit": str(min(limit or 10_000, 10_000)),
            "sort": "desc" if newest else "asc",
        }
        if instrument.asset_class != AssetClass.CRYPTO:
            params["adjustment"] = adjustment
        left = limit
        for page in self._pages(instrument, "bars", params):
            rows = (page.bars or {}).get(instrument.symbol, [])
            if limit:
                rows = rows[:left]
                left -= len(rows)
            if rows:
                yield _held(_bars, rows, instrument, interval)
            if limit and left <= 0:
                return

    def trades(self, instrument: Instrument, start: int, end: int) -> Iterator[np.ndarray[Any, Any]]:
        """Pages of trades (trade_dtype) in [start, end] ns, oldest first."""
        params = {
            "symbols": instrument.symbol,
            "start": format_time(start),
            "end": format_time(end),
            "limit": "10000",
        }
        for page in self._pages(instrument, "trades", params):
            rows = [row for row in (page.trades or {}).get(instrument.symbol, []) if row.u not in _VOID and row.p > 0]
            if rows:
                yield _held(_trades, rows, instrument)

    def _pages(self, instrument: Instrument, kind: str, params: dict[str, str]) -> Iterator[_Page]:
        if instrument.asset_class == AssetClass.CRYPTO:  # has one feed
            path = f"/v1beta3/crypto/us/{kind}"
        else:
            path = f"/v2/stocks/{kind}"
            params = {**params, "feed": self._feed}
        token: str | None = ""
        while token is not None:
            page = self._get(path, params if not token else {**params, "page_token": token})
            yield page
            before, token = token, page.next_page_token
            if token == before:
                raise DataError("the venue repeats a page", where=path)

    def _get(self, path: str, params: dict[str, str]) -> _Page:
        wait = 0.5
        for attempt in range(1, _TRIES + 1):
            try:
                answer = self._session.get(self._url + path, params=params, timeout=_TIMEOUT, allow_redirects=False, stream=True)
                body = read_whole(answer)
            except requests.RequestException as e:
                problem = type(e).__name__
            else:
                problem = str(answer.status_code)
                if answer.status_code == 200:
                    try:
                        return _page.decode(body)
                    except msgspec.ValidationError as e:  # another form than ours: it will not change
                        raise DataError(f"a page that does not read as market data: {e}", where=path) from None
                    except (msgspec.DecodeError, RecursionError) as e:  # cut on its way, or a proxy's page
                        problem = str(e)
                elif answer.status_code in (401, 403):
                    raise NotAuthorized(f"{answer.status_code} {_said(body)}", where=path, mend="check the keys and the data plan")
                elif answer.status_code < 500 and answer.status_code != 429:
                    raise DataError(f"{answer.status_code} {_said(body)}", where=path)
                wait = max(wait, _retry_after(answer))
            if attempt < _TRIES:
                time.sleep(wait)
                wait = min(wait * 2, 30.0)
        raise NotConnected(f"no page after {_TRIES} tries ({problem})", where=path, mend="check the connection and try again")


def _held(make: Callable[..., np.ndarray[Any, Any]], rows: list[Any], instrument: Instrument, *more: int) -> np.ndarray[Any, Any]:
    """Rows as records. Raises DataError for a number that a record cannot hold."""
    try:
        return make(rows, instrument, *more)
    except (ValueError, ArithmeticError) as e:
        raise DataError(f"a page with a number that we cannot hold: {e}", where=instrument.symbol) from None


def _said(body: bytes) -> str:
    return masked(body[:200].decode(errors="replace"))  # a venue, or a proxy before it, may quote what it was sent


def timeframe(interval: int) -> str:
    """Alpaca's word for a bar interval of whole minutes, hours or one day. Raises DataError for others."""
    minutes, rest = divmod(interval, MINUTE)
    if rest or not minutes:
        raise DataError(f"Alpaca keeps no bars of {interval / SECOND:g} s", mend="use whole minutes")
    if minutes < 60:
        return f"{minutes}Min"
    if interval == DAY:
        return "1Day"
    hours, rest = divmod(minutes, 60)
    if rest or hours > 23:
        raise DataError(f"Alpaca keeps no bars of {minutes} minutes", mend="use up to 59 minutes, up to 23 hours, or a day")
    return f"{hours}Hour"


def _retry_after(answer: requests.Response) -> float:
    try:
        if "Retry-After" in answer.headers:
            return min(float(answer.headers["Retry-After"]), 60.0)
        if answer.status_code != 429:  # the end of the window means nothing to an answer that is not about it
            return 0.0
        return min(max(float(answer.headers.get("X-RateLimit-Reset", 0)) - time.time(), 0.0), 60.0)
    except ValueError:
        return 0.0


def _rounded(value: Decimal, exp: int = PX_SCALE) -> int:
    """A number as the stream's would be read: what lies beyond the last decimal is rounded. Raises ValueError, ArithmeticError.

    Averages and middles of two prices have as many decimals as a division gives.
    """
    if value.as_tuple().exponent < -exp:  # type: ignore[operator]  # JSON has no NaN
        value = value.quantize(Decimal(1).scaleb(-exp))
    return to_units(value, exp)


def _bars(rows: list[_Bar], instrument: Instrument, interval: int) -> np.ndarray[Any, Any]:
    bars = np.zeros(len(rows), bar_dtype)
    bars["type"] = RecordType.BAR
    bars["instrument"] = instrument.id
    bars["interval"] = interval
    for i, row in enumerate(rows):
        start = parse_time(row.t)
        volume = _rounded(row.v, instrument.qty_exp)
        notional = _rounded(row.vw or row.c) * volume
        bars[i]["start"], bars[i]["ts_event"] = start, start + interval
        bars[i]["open_px"], bars[i]["high_px"] = _rounded(row.o), _rounded(row.h)
        bars[i]["low_px"], bars[i]["close_px"] = _rounded(row.l), _rounded(row.c)
        bars[i]["volume"], bars[i]["trades"] = volume, row.n
        bars[i]["notional_lo"], bars[i]["notional_hi"] = notional & (1 << 64) - 1, notional >> 64
    return bars


def _trades(rows: list[_Trade], instrument: Instrument) -> np.ndarray[Any, Any]:
    trades = np.zeros(len(rows), trade_dtype)
    trades["type"] = RecordType.TRADE
    trades["flags"] = Flag.BACKFILLED
    trades["instrument"] = instrument.id
    for i, row in enumerate(rows):
        letters = "".join(row.c) if row.c else ""
        trades[i]["ts_event"] = parse_time(row.t)
        trades[i]["px"], trades[i]["qty"] = _rounded(row.p), _rounded(row.s, instrument.qty_exp)
        trades[i]["trade_id"] = row.i
        trades[i]["conditions"] = int.from_bytes(letters.encode("ascii", "replace")[:4], "little")
        trades[i]["exchange"] = ord((row.x or "\0")[0])
        trades[i]["tape"] = ord((row.z or "\0")[0])
    return trades
