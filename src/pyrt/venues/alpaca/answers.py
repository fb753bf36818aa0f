"""What an HTTP answer proves about a request: pure functions from bytes to outcomes."""

from collections.abc import Callable, Mapping
from email.utils import parsedate_to_datetime
from typing import NamedTuple

from pyrt.errors import Misbehaved
from pyrt.ports import (
    AllCancelled,
    Cancel,
    CancelAll,
    CancelResult,
    Found,
    Lookup,
    LookupResult,
    Outcome,
    Replace,
    Submit,
    SubmitResult,
    VenueOrder,
)
from pyrt.venues.alpaca import wire
from pyrt.venues.alpaca.body import decode
from pyrt.venues.alpaca.session import Answer

DUPLICATE_CODE = 40010001
_LONGEST_TEXT = 1000
_LONGEST_WAIT = 65.0  # s; windows last a minute
_DEFAULT_WAIT = 1.0


class Refusal(NamedTuple):
    """An error body; `whole` when it has the venue's shape, a code and a message."""

    whole: bool
    code: int
    text: str


def refusal(answer: Answer) -> Refusal:
    """The error of an answer that is not 2xx."""
    try:
        body = decode(answer.body)
    except Misbehaved:
        return Refusal(False, 0, f"HTTP {answer.status} without a body in the venue's shape")
    if not isinstance(body, dict):
        return Refusal(False, 0, f"HTTP {answer.status} without a body in the venue's shape")
    code, message = body.get("code"), body.get("message")
    whole = type(code) is int and isinstance(message, str)
    text = message[:_LONGEST_TEXT] if isinstance(message, str) else f"HTTP {answer.status}"
    return Refusal(whole, code if type(code) is int else 0, text)


def submitted(command: Submit | Replace, answer: Answer, reader: wire.Reader, retry_at: int) -> SubmitResult:
    """The outcome of a POST or PATCH that got a whole HTTP answer. The first match wins; what proves nothing is AMBIGUOUS."""

    def result(outcome: Outcome, *, order: VenueOrder | None = None, code: int = 0, text: str = "") -> SubmitResult:
        return SubmitResult(
            number=command.request.number,
            attempt=command.attempt,
            outcome=outcome,
            order=order,
            http=answer.status,
            code=code,
            text=text,
            retry_at_mono=retry_at if outcome is Outcome.RATE_LIMITED else 0,
        )

    if 200 <= answer.status < 300:
        try:
            order = reader.order(decode(answer.body))
        except Misbehaved as error:
            return result(Outcome.AMBIGUOUS, text=error.what)
        if order.cid != command.request.cid:
            return result(Outcome.AMBIGUOUS, text="the answer is about another order")
        return result(Outcome.ACCEPTED, order=order)
    whole, code, text = refusal(answer)
    if answer.status == 422 and code == DUPLICATE_CODE and "client_order_id" in text:
        return result(Outcome.DUPLICATE, code=code, text=text)
    if answer.status == 429 and (is_json(answer) or _has_rate_headers(answer.headers)):
        return result(Outcome.RATE_LIMITED, code=code, text=text)
    # 408 is a time-out of somebody on the way: it does not say what the venue did.
    if 400 <= answer.status < 500 and answer.status not in (408, 429) and whole:
        return result(Outcome.REJECTED, code=code, text=text)
    return result(Outcome.AMBIGUOUS, code=code, text=text)


def cancelled(command: Cancel, answer: Answer) -> CancelResult:
    """The outcome of a DELETE."""
    accepted = 200 <= answer.status < 300
    _, code, text = (True, 0, "") if accepted else refusal(answer)
    return CancelResult(
        number=command.number, venue_order_id=command.venue_order_id, accepted=accepted, http=answer.status, code=code, text=text
    )


def all_cancelled(command: CancelAll, answer: Answer) -> AllCancelled:
    """The outcome of a DELETE of all: what the rows of a 207 say of each order. A row that says nothing readable is left out."""
    if answer.status != 207:
        _, code, text = refusal(answer)
        return AllCancelled(call=command.call, http=answer.status, code=code, text=text)
    try:
        rows = decode(answer.body)
    except Misbehaved as error:
        return AllCancelled(call=command.call, text=error.what)
    if not isinstance(rows, list):
        return AllCancelled(call=command.call, text="the answer is no list")
    told = [(row.get("id"), row.get("status")) for row in rows if isinstance(row, dict)]
    ends = {name: 200 <= status < 300 for name, status in told if isinstance(name, str) and type(status) is int}
    taken = tuple(name for name, end in ends.items() if end)
    refused = tuple(name for name, end in ends.items() if not end)
    return AllCancelled(call=command.call, http=207, taken=taken, refused=refused)


def looked_up(command: Lookup, answer: Answer, reader: wire.Reader) -> LookupResult:
    """The outcome of a GET by cid or by the venue's id. ABSENT only by a 404 in the venue's shape: a proxy's proves nothing."""
    if answer.status == 200:
        try:
            order = reader.order(decode(answer.body))
        except Misbehaved as error:
            return LookupResult(number=command.number, found=Found.FAILED, text=error.what)
        if order.id == command.venue_order_id if command.venue_order_id else order.cid == command.cid:
            return LookupResult(number=command.number, found=Found.FOUND, order=order)
        return LookupResult(number=command.number, found=Found.FAILED, text="the answer is about another order")
    whole, code, text = refusal(answer)
    absent = answer.status == 404 and whole and code // 100_000 == 404
    return LookupResult(number=command.number, found=Found.ABSENT if absent else Found.FAILED, text=text)


def retry_after(headers: Mapping[str, str], clocks: Callable[[], tuple[float, ...]]) -> float:
    """Seconds to wait after a 429: by Retry-After, else until X-RateLimit-Reset, else one.

    Reset is Unix time of the venue's machine. `clocks` are candidates for its now, in Unix seconds, the likeliest first; one
    that makes the wait longer than a window is another clock.
    """
    text = headers.get("Retry-After", "")
    if text.isascii() and text.isdigit():
        return min(float(text), _LONGEST_WAIT)
    reset = headers.get("X-RateLimit-Reset", "")
    if reset.isascii() and reset.isdigit():
        candidates: tuple[float, ...] = (date_of(headers.get("Date", "")), *clocks())
        for now in candidates:
            if -1.0 <= int(reset) - now <= _LONGEST_WAIT:
                return max(float(int(reset)) - now, 0.0)
    until = date_of(text)
    if until:
        for now in clocks():
            if 0.0 <= until - now <= _LONGEST_WAIT:
                return until - now
    return _DEFAULT_WAIT


def date_of(text: str) -> float:
    """Unix seconds of an HTTP date, 0 for none."""
    try:
        return parsedate_to_datetime(text).timestamp() if text else 0.0
    except (ValueError, OverflowError):
        return 0.0


def is_json(answer: Answer) -> bool:
    """Whether the body is a JSON object, as every error of the venue is, and no page of a proxy."""
    try:
        return isinstance(decode(answer.body), dict)
    except Misbehaved:
        return False


def _has_rate_headers(headers: Mapping[str, str]) -> bool:
    return any(f"X-RateLimit-{name}" in headers for name in ("Limit", "Remaining", "Reset"))
