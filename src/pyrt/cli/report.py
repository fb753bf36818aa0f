"""`pyrt report`: the books of a day, held against the venue."""

import re
from datetime import date
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from pyrt.calendar import ExchangeDays
from pyrt.cli.connect import check_venue, keys_of, link_of, loopback
from pyrt.cli.run import start_log
from pyrt.cli.state import find_state, read_past
from pyrt.config import Config, load_config
from pyrt.errors import ConfigError, VenueError
from pyrt.live.day_report import Teller, make_report, verdict, write_report
from pyrt.venues.alpaca.keys import PAPER, SIM
from pyrt.venues.alpaca.link import PAPER as PAPER_ADDRESSES

NOT_ASKED = "the venue was not asked (name it with --venue or --sim-url)"


def report(
    *,
    day: str | None = None,
    state: Path | None = None,
    config: Annotated[list[Path] | None, Parameter(consume_multiple=False, negative="")] = None,
    venue: str | None = None,
    sim_url: str | None = None,
) -> None:
    """Write the report of a day: orders, fills, positions, P&L, slippage, refusals, alarms, hours, compared with the venue.

    Exit status 0: all is as the venue has it. 1: something differs. 3: nothing differs, but not everything could be compared.

    Parameters
    ----------
    day
        YYYY-MM-DD, New York; by default the day of the journal's last fact.
    state
        The session's state directory; by default the one used last. Its reports/ gets DAY.html and DAY.json.
    config
        As for `pyrt run`, for keys.
    venue
        alpaca-paper: ask it. Without it, and without --sim-url, what the venue said at the session's end is used again.
    sim_url
        The simulated venue that answers there; its keys come from the environment.
    """
    start_log()
    directory = find_state(state)
    chosen = ExchangeDays()(read_past(directory).last_ts) if day is None else _day(day)
    own = load_config(config or (), {"venue": {"name": venue, "url": sim_url}}).config
    teller, why_not = None, NOT_ASKED
    if venue is not None or sim_url is not None:
        teller, why_not = _teller(own)
    made = make_report(directory, chosen, teller, why_not=why_not)
    target = write_report(made, directory)
    print(f"{target}: {verdict(made)}")
    if not made.clean:
        raise SystemExit(1 if made.reconciled.differences else 3)


def _teller(config: Config) -> tuple[Teller | None, str]:
    check_venue(config.venue.name)
    if config.venue.name == SIM and not config.venue.url:
        raise ConfigError("a simulated venue that is not running cannot be asked", where="--venue", mend="name its --sim-url")
    try:
        if config.venue.url:
            return link_of(SIM, loopback(config.venue.url), keys_of(config), config), ""
        return link_of(PAPER, PAPER_ADDRESSES, keys_of(config), config), ""
    except VenueError as e:
        return None, f"the venue did not answer: {e}"


def _day(text: str) -> str:
    try:
        if not re.fullmatch(r"\d{4}-\d\d-\d\d", text):
            raise ValueError
        return date.fromisoformat(text).isoformat()
    except ValueError:
        raise ConfigError(f"{text!r} is no day", where="--day", mend="write YYYY-MM-DD") from None
