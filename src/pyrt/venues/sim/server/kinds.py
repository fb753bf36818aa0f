"""What can be made to go wrong, as data: one struct a fault.

`POST /sim/faults {"kind": "gateway_timeout", "every": 3}` arms one. The same kind under the same `name` replaces it, another name
stands beside it. `for` is how many seconds of real time it stays armed; without it, until it is replaced or disarmed.

A fault that bites at occasions (a request, a trade update, a fill) lets `every - 1` of them pass, then bites with `probability`
(its own dice, from `seed`), and `count` times in all; None = no end.
"""

from typing import Annotated, Literal

import msgspec

Count = Annotated[int, msgspec.Meta(ge=1)]
Seconds = Annotated[float, msgspec.Meta(ge=0, le=1e9)]
Skew = Annotated[float, msgspec.Meta(ge=-1e9, le=1e9)]
Probability = Annotated[float, msgspec.Meta(ge=0, le=1)]
Units = Annotated[str, msgspec.Meta(pattern=r"^\d{1,9}(\.\d{1,9})?$")]
Step = Annotated[str, msgspec.Meta(pattern=r"^-?\d{1,9}(\.\d{1,9})?$")]
Requests = Literal["submits", "replaces", "cancels", "orders", "reads", "trading", "data", "all"]
How = Literal["fin", "rst", "half_open"]
HALF_OPEN_SECONDS = 90.0  # until the venue reaps a connection that nobody answers on


class Fault(msgspec.Struct, kw_only=True, tag=True, tag_field="kind", forbid_unknown_fields=True):
    """Anything that can be armed."""

    name: str = ""
    lasts: Seconds | None = msgspec.field(default=None, name="for")

    @property
    def window(self) -> float | None:
        """Seconds of real time that it stays armed; None = no end."""
        return self.lasts


class Chance(Fault, kw_only=True):
    """A fault that bites at some occasions."""

    every: Count = 1
    count: Count | None = None
    probability: Probability = 1.0
    seed: int = 0


class Timed(Fault, kw_only=True):
    """A fault that holds for a while of real time; `for` is another name of `seconds`."""

    seconds: Seconds = 10.0

    @property
    def window(self) -> float | None:
        """Seconds of real time that it holds."""
        return self.seconds if self.lasts is None else self.lasts


# ---------------------------------------------------------------------------------------------------- requests and their answers
class Meets(Chance, kw_only=True):
    """A fault of requests: orders are submits and replaces, trading is all but the data host's."""

    on: Requests = "trading"


class GatewayTimeout(Meets, kw_only=True, tag="gateway_timeout"):
    """What was asked is done, and the answer is 504."""

    on: Requests = "submits"


class DelayAccept(Meets, kw_only=True, tag="delay_accept"):
    """The request is held for `seconds` of real time before the exchange sees it, whether or not anybody still waits."""

    on: Requests = "submits"
    seconds: Seconds


class ServerError(Meets, kw_only=True, tag="server_error"):
    """A 5xx: `applied` says whether what was asked is done all the same; the body is JSON, a proxy's HTML page, or empty."""

    status: Literal[500, 502, 503, 504] = 500
    body: Literal["json", "html", "empty"] = "json"
    applied: bool = False


class Truncate(Meets, kw_only=True, tag="truncate"):
    """Only the share `keep` of the body comes: `short` with a Content-Length that fits it, `closed` with the connection ended."""

    how: Literal["short", "closed"] = "short"
    keep: Probability = 0.5


class SlowAnswer(Meets, kw_only=True, tag="slow_answer"):
    """The body comes a byte every `interval` seconds."""

    interval: Annotated[float, msgspec.Meta(gt=0)] = 0.05


class CutRequest(Meets, kw_only=True, tag="cut_request"):
    """The connection ends without an answer, `before` the exchange sees the request or `after` it has done it."""

    on: Requests = "submits"
    when: Literal["before", "after"] = "before"
    how: Literal["fin", "rst"] = "rst"


class LoseCancel(Chance, kw_only=True, tag="lose_cancel"):
    """A DELETE of an open order is answered 204 and nothing happens; with `happens` it is done and the answer is lost."""

    happens: bool = False


class RateLimited(Meets, kw_only=True, tag="rate_limited"):
    """For `seconds` requests are answered 429, with Retry-After (the seconds left) if asked for."""

    seconds: Seconds = 10.0
    retry_after: bool = False

    @property
    def window(self) -> float | None:
        """Seconds of real time that the storm lasts."""
        return self.seconds if self.lasts is None else self.lasts


# ---------------------------------------------------------------------------------------------------- sockets
class DropData(Fault, kw_only=True, tag="drop_data"):
    """All data sockets end without a close frame, and none may authenticate (406) for `seconds` after it.

    half_open: nothing is read or sent any more and pings stay unanswered (the kernel still acknowledges bytes); the venue reaps
    the socket after `seconds`, or 90.
    """

    seconds: Seconds = 0.0
    how: How = "fin"

    @property
    def window(self) -> float | None:
        """Seconds of real time with 406."""
        return self.seconds if self.lasts is None else self.lasts


class DropStream(Fault, kw_only=True, tag="drop_stream"):
    """All trading streams end as in drop_data; upgrades to new ones are answered 503 for `seconds`."""

    seconds: Seconds = 0.0
    how: How = "fin"

    @property
    def window(self) -> float | None:
        """Seconds of real time with 503."""
        return self.seconds if self.lasts is None else self.lasts


class Mute(Timed, kw_only=True):
    """Sockets stay open and answer pings; data is lost. present: only those open now; control: answers are withheld too."""

    present: bool = False
    control: bool = False


class MuteData(Mute, kw_only=True, tag="mute_data"):
    """Silence on data sockets."""


class MuteStream(Mute, kw_only=True, tag="mute_stream"):
    """Silence on trading streams."""


# ---------------------------------------------------------------------------------------------------- trade updates
class Updates(Chance, kw_only=True):
    """A fault of single trade updates, told to every socket alike; `events` names those it concerns, none = all."""

    events: list[str] = []


class DropUpdates(Updates, kw_only=True, tag="drop_updates"):
    """The update is lost."""


class DuplicateUpdates(Updates, kw_only=True, tag="duplicate_updates"):
    """The update is sent twice."""


class DelayUpdates(Updates, kw_only=True, tag="delay_updates"):
    """The update is sent `seconds` of real time later; those after it overtake it."""

    seconds: Seconds = 1.0


class ReorderUpdates(Updates, kw_only=True, tag="reorder_updates"):
    """The update is sent after the next one, or after `seconds` of real time where none comes."""

    seconds: Seconds = 1.0


# ---------------------------------------------------------------------------------------------------- the exchange
class FillDuringReplace(Chance, kw_only=True, tag="fill_during_replace"):
    """A PATCH arrives and the order fills first: `qty` of it, or all that is left, at its limit or the last price.

    Where replacements travel (`replace_latency`), the PATCH is answered 200 and the fill comes on its way.
    """

    qty: Units = ""


class Fills(Chance, kw_only=True):
    """A fault that follows a fill, `seconds` of venue time later."""

    seconds: Seconds = 0.0


class Overfill(Fills, kw_only=True, tag="overfill"):
    """An order that was filled trades `qty` more, at the price of its last fill."""

    qty: Units = "1"


class Bust(Fills, kw_only=True, tag="bust"):
    """The execution is taken back."""


class Correct(Fills, kw_only=True, tag="correct"):
    """The execution's price changes by `price_by`, its quantity to `qty` if given."""

    price_by: Step = "0.01"
    qty: Units = ""


class Halt(Fault, kw_only=True, tag="halt"):
    """Trading of a symbol halts for `seconds` of venue time."""

    symbol: str
    seconds: Seconds = 10.0
    reason: Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9]{1,4}$")] = "T1"


class Transfer(Fault, kw_only=True, tag="transfer"):
    """Shares of a symbol come in without an order, or with a negative `qty` go out; `told`: an activity of `type` says so."""

    symbol: str
    qty: Step
    type: Literal["JNLS", "ACATS", "SPIN"] = "JNLS"
    told: bool = True


class ClockSkew(Fault, kw_only=True, tag="clock_skew"):
    """Every time that the venue tells is `offset` seconds off: Date headers, clocks, and all timestamps in answers and streams."""

    offset: Skew


class DayRoll(Fault, kw_only=True, tag="day_roll"):
    """The venue's clock jumps to the next midnight of New York, the next opening, or a second before the next close; what it
    passes over does not happen.
    """

    to: Literal["midnight", "open", "close"] = "midnight"


AnyFault = (
    GatewayTimeout
    | DelayAccept
    | ServerError
    | Truncate
    | SlowAnswer
    | CutRequest
    | LoseCancel
    | RateLimited
    | DropData
    | DropStream
    | MuteData
    | MuteStream
    | DropUpdates
    | DuplicateUpdates
    | DelayUpdates
    | ReorderUpdates
    | FillDuringReplace
    | Overfill
    | Bust
    | Correct
    | Halt
    | Transfer
    | ClockSkew
    | DayRoll
)


def kind_of(fault: Fault | type[Fault]) -> str:
    """The name of a fault's kind."""
    return str(fault.__struct_config__.tag)


def requests_of(method: str, path: str, *, data: bool) -> frozenset[str]:
    """The groups of requests that one belongs to."""
    if data:
        return frozenset({"data", "all"})
    if method == "GET":
        return frozenset({"reads", "trading", "all"})
    if path.startswith("/v2/orders") and method in ("POST", "PATCH"):
        return frozenset({"submits" if method == "POST" else "replaces", "orders", "trading", "all"})
    if path.startswith("/v2/orders") and method == "DELETE":
        return frozenset({"cancels", "trading", "all"})
    return frozenset({"trading", "all"})
