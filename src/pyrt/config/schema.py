"""Every setting: its section, name, type, default and meaning. The one place that holds defaults; risk limits are in a profile."""

from decimal import Decimal
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from pyrt.config.secret import Secret

Positive = Annotated[float, Meta(gt=0)]


class Section(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=False):
    """A table of the configuration."""


class VenueSection(Section, frozen=True, kw_only=True):
    """[venue]: where orders go. Keys found in the environment never choose the venue."""

    name: Annotated[str, Meta(description="sim, alpaca-paper or, with a build that proved itself, alpaca-live")] = "sim"
    url: Annotated[str, Meta(description="a simulated venue that runs already; empty: start one")] = ""
    state: Annotated[str, Meta(description="directory that keeps the simulated account and our journal; empty: a new one")] = ""
    seed: Annotated[int, Meta(description="of the simulated market")] = 0
    speed: Annotated[str, Meta(description="simulated seconds a second, or max")] = "1"
    market: Annotated[str, Meta(description="where the simulated venue's prices come from")] = "generated"
    calendar: Annotated[bool, Meta(description="the simulated venue keeps the hours of XNYS; false: it never closes")] = False
    alpaca_api_key: Annotated[Secret, Meta(description="rather in the environment: APCA_API_KEY_ID")] = Secret("")
    alpaca_secret_key: Annotated[Secret, Meta(description="rather in the environment: APCA_API_SECRET_KEY")] = Secret("")


class MarketSection(Section, frozen=True, kw_only=True):
    """[market]: market data."""

    symbols: Annotated[tuple[str, ...], Meta(description="what every strategy trades; empty: its own symbols")] = ()
    reconnect_delay_secs: Annotated[
        Positive, Meta(description="wait before the first reconnection of the data stream; later waits double up to 30 s")
    ] = 0.25
    feed: Annotated[Literal["iex", "sip"], Meta(description="Alpaca's data feed, iex or sip")] = "iex"


class SignalsSection(Section, frozen=True, kw_only=True):
    """[signals]: how much an opinion is worth."""

    sizer: Annotated[Literal["fixed", "notional"], Meta(description="fixed (a quantity) or notional (an amount)")] = "fixed"
    quantity: Annotated[Decimal, Meta(description="shares a signal, sizer fixed")] = Decimal(1)
    amount: Annotated[Decimal, Meta(description="money a signal, sizer notional")] = Decimal(1000)
    scaled: Annotated[bool, Meta(description="multiply by the signal's confidence")] = False


class ExecutionSection(Section, frozen=True, kw_only=True):
    """[execution]: the way to the venue."""

    max_retries: Annotated[int, Meta(ge=0, le=100, description="repetitions of a request that never left")] = 3
    rate_limit_per_minute: Annotated[int, Meta(ge=0, description="requests a minute to the venue; 0: no limit of ours")] = 200
    deadline_secs: Annotated[Positive, Meta(description="a request without an answer for so long is ambiguous")] = 10.0
    settle_secs: Annotated[Positive, Meta(description="so much later it can no longer land")] = 5.0
    watchdog: Annotated[bool, Meta(description="a child process cancels entries when this one dies, hangs or loses its data")] = (
        True
    )
    silence_secs: Annotated[Positive, Meta(description="without a sign of life for so long it does")] = 5.0
    data_down_secs: Annotated[Positive, Meta(description="without the data feed for so long it does")] = 10.0
    transport: Annotated[
        Literal["requests", "direct"],
        Meta(description="requests, or direct: a socket of our own, a tenth of the processor time; needs the extra [direct]"),
    ] = "requests"
    busy_poll: Annotated[bool, Meta(description="watch for data instead of sleeping: a whole processor for its wake-ups")] = False
    cpu: Annotated[int, Meta(ge=-1, description="processor of the session's loop; its other threads get the others; -1: any")] = -1
    dry_run: Annotated[bool, Meta(description="decide everything, send nothing")] = False


class JournalSection(Section, frozen=True, kw_only=True):
    """[journal]: what survives."""

    directory: Annotated[str, Meta(description="state directory; empty: one per venue and account in the state home")] = ""
    durability: Annotated[str, Meta(description="sync, group:MS or os (survives kill -9, not a loss of power)")] = "sync"
    record: Annotated[bool, Meta(description="record the inbox, for replay")] = True


class AlertsSection(Section, frozen=True, kw_only=True):
    """[alerts]: how a human who does not look hears of latches, alarms and a session that failed."""

    webhook: Annotated[Secret, Meta(description="URL that gets each alert as JSON by POST")] = Secret("")
    command: Annotated[str, Meta(description="program that gets each alert as JSON on its standard input")] = ""
    smtp: Annotated[str, Meta(description="mail server, HOST:PORT; STARTTLS where it offers it")] = "localhost:25"
    smtp_user: Annotated[str, Meta(description="of the mail server; empty: no login")] = ""
    smtp_password: Annotated[Secret, Meta(description="of the mail server")] = Secret("")
    mail_from: Annotated[str, Meta(description="sender; empty: the recipient")] = ""
    mail_to: Annotated[str, Meta(description="recipient; empty: no mail")] = ""
    level: Annotated[Literal["warning", "critical"], Meta(description="the least severity that is told")] = "critical"
    heartbeat: Annotated[Secret, Meta(description="URL that is asked for while the session is well")] = Secret("")
    heartbeat_secs: Annotated[Positive, Meta(description="how often")] = 30.0
    trouble_secs: Annotated[
        Positive, Meta(description="a stream down, a venue that shows nothing or a recovery without end for so long is an alarm")
    ] = 120.0


class PostgresSection(Section, frozen=True, kw_only=True):
    """[postgres]: the journal's tables in a PostgreSQL database too, beside state.sqlite. Needs the extra [pg]."""

    dsn: Annotated[
        Secret,
        Meta(description="postgresql://user:password@host/database; empty: none; rather in the environment: PYRT_POSTGRES_DSN"),
    ] = Secret("")
    schema: Annotated[str, Meta(description="that holds the tables; empty: pyrt_ and the journal's id")] = ""
    reader: Annotated[str, Meta(description="role that may read the tables; empty: none")] = ""


class Config(Section, frozen=True, kw_only=True):
    """Everything that can be configured."""

    venue: VenueSection = VenueSection()
    market: MarketSection = MarketSection()
    signals: SignalsSection = SignalsSection()
    risk: dict[str, Any] = {}  # names of risk.Limits, over the profile
    execution: ExecutionSection = ExecutionSection()
    journal: JournalSection = JournalSection()
    alerts: AlertsSection = AlertsSection()
    postgres: PostgresSection = PostgresSection()
    strategies: dict[str, dict[str, Any]] = {}  # class name -> parameters; `use` says where the class is


TYPED: dict[str, type[Section]] = {
    "venue": VenueSection,
    "market": MarketSection,
    "signals": SignalsSection,
    "execution": ExecutionSection,
    "journal": JournalSection,
    "alerts": AlertsSection,
    "postgres": PostgresSection,
}
SECTIONS = Config.__struct_fields__

# Where a name of another section, or of a flat file, belongs.
KEYS = ("alpaca_api_key", "alpaca_secret_key")
ELSEWHERE: dict[str, dict[str, str]] = {
    "market": dict.fromkeys(KEYS, "venue"),
    "execution": {**dict.fromkeys(KEYS, "venue"), "max_slippage_bps": "risk"},
}
FLAT: dict[str, str] = {
    **dict.fromkeys(KEYS, "venue"),
    **dict.fromkeys(("symbols", "reconnect_delay_secs"), "market"),
    **dict.fromkeys(("max_position_size", "max_order_size", "max_daily_loss", "max_slippage_bps"), "risk"),
    **dict.fromkeys(("max_retries", "rate_limit_per_minute"), "execution"),
}
ADDRESSES = ("zmq_pub_address", "zmq_sub_address")  # of components that run as processes of their own
