"""`pyrt flatten`: a session whose only work is to cancel what is open and to close what is held."""

import asyncio
import logging
import sys
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from pyrt._core.types import NO_PRICE, Side
from pyrt.cli.connect import connect, limits_of, plan_of
from pyrt.cli.run import seconds, start_log, text, trade
from pyrt.config import load_config
from pyrt.desk import INTENT_LIFE
from pyrt.errors import ConfigError
from pyrt.execution.orders import Order
from pyrt.live import Live
from pyrt.live.control import WHOLE
from pyrt.model import EXTERNAL, CancelIntent, Instrument, Intent, OrderType, TimeInForce
from pyrt.monitor import Level
from pyrt.ports import Subscription

log = logging.getLogger("pyrt")
PERIOD = 0.1  # seconds between two looks
AGAIN = 3.0  # seconds until a position that is still held is asked for again
_FOREIGN = 1 << 40  # sources of closing orders for shares that no strategy claims; no number of an order comes near


def flatten(
    *,
    yes: bool = False,
    config: Annotated[list[Path] | None, Parameter(consume_multiple=False, negative="")] = None,
    venue: str | None = None,
    account: str | None = None,
    sim_state: Path | None = None,
    sim_url: str | None = None,
    journal: Path | None = None,
    within: str = "60s",
) -> None:
    """Cancel every order of the account and close every position with market orders that only reduce.

    It needs the journal for itself: end the session first (Ctrl-C). Where the system or the account is HALTED or KILLED no order
    leaves, these neither: `pyrt resume` first; nothing else trades in this session.

    Parameters
    ----------
    yes
        Do not ask.
    config
        As for `pyrt run`.
    venue
        As for `pyrt run`.
    account
        As for `pyrt run`.
    sim_state
        As for `pyrt run`.
    sim_url
        As for `pyrt run`.
    journal
        As for `pyrt run`.
    within
        Give up after so long: 60s, 5m. The exit status is 1 where something is left.
    """
    start_log()
    options: dict[str, dict[str, Any]] = {
        "venue": {"name": venue, "state": text(sim_state), "url": sim_url},
        "journal": {"directory": text(journal)},
    }
    loaded = load_config(config or (), options)
    patience = seconds(within)
    own = loaded.config
    if own.venue.name == "sim" and not (own.venue.state or own.venue.url or own.journal.directory):
        raise ConfigError("a new simulated account holds nothing", where="--sim-state", mend="name the state of a session")
    if not yes:
        _confirm(own.venue.name)
    flattener = Flattener(patience)
    with ExitStack() as stack:
        plan = plan_of(loaded, connect(stack, own, account), [], limits_of(loaded))
        plan.companions.append(flattener)
        summary = trade(plan)
    print("\n".join(summary.lines()))
    if summary.failed or summary.positions or summary.open_orders or summary.unexplained or not flattener.done:
        print(f"pyrt: not flat: {flattener.why}", file=sys.stderr)
        raise SystemExit(1)


def _confirm(venue: str) -> None:
    if not sys.stdin.isatty():
        raise ConfigError("nobody is there to confirm", where="flatten", mend="add --yes")
    print(f"Every order on {venue} is cancelled and every position closed at the market. Go on? [y/N] ", end="", flush=True)
    if sys.stdin.readline().strip().lower() not in ("y", "yes"):
        raise SystemExit(1)


class Flattener:
    """A companion of a session without strategies: brings the account to nothing, then ends the session."""

    def __init__(self, patience: float) -> None:
        self.done = False
        self.why = "see the summary; a latch is opened by `pyrt resume`"
        self._patience = patience
        self._asked: dict[tuple[int, int], float] = {}  # (strategy, instrument) -> when its closing order was sent
        self._cancelled: set[int] = set()

    async def __call__(self, live: Live) -> None:
        """Work until flat or out of patience."""
        await live.runner.recovered.wait()
        give_up = time.monotonic() + self._patience
        reason = "not flat in time"
        while time.monotonic() < give_up:
            if live.session.running and self._flat(live):
                self.done, reason = True, "flat"
                break
            if live.session.running and (barred := _barred(live)) and not live.session.execution.open_orders():
                self.why = f"{barred}, so no closing order leaves -- `pyrt resume`, then `pyrt flatten` again"
                reason = barred
                break
            if live.session.running:
                self._press(live)
            await asyncio.sleep(PERIOD)
        live.runner.stop(reason)

    def _flat(self, live: Live) -> bool:
        return not live.session.execution.open_orders() and not self._held(live)

    def _held(self, live: Live) -> list[tuple[int, Instrument, int]]:
        session = live.session
        found = []
        for strategy in (EXTERNAL, *session.names):
            for instrument in session.instruments:
                if qty := session.risk.position(strategy, instrument.id).qty:
                    found.append((strategy, instrument, qty))
        return found

    def _press(self, live: Live) -> None:
        session = live.session
        closing = {(o.strategy, o.instrument) for o in session.execution.open_orders() if o.reduce_only}
        for order in session.execution.open_orders():
            if order.number not in self._cancelled and (order.strategy, order.instrument) not in self._asked:
                self._cancelled.add(order.number)
                log.info("cancelling order %d (%s)", order.number, session.instruments[order.instrument].symbol)
                live.shell.handle(_cancel(order))
        held = self._held(live)
        symbols = frozenset(i.symbol for _, i, _ in held)
        live.feed.want(Subscription(trades=symbols, quotes=symbols, statuses=symbols))
        working = {o.instrument for o in session.execution.open_orders() if not o.reduce_only}
        for strategy, instrument, qty in held:
            key = (strategy, instrument.id)
            waits = time.monotonic() - self._asked.get(key, -AGAIN) < AGAIN
            if waits or key in closing or instrument.id in working or not _quoted(live, instrument):
                continue
            self._asked[key] = time.monotonic()
            log.info("closing %s %s of %s", instrument.quantity(qty), instrument.symbol, session.names.get(strategy, "external"))
            live.shell.handle(_closing(live, strategy, instrument, qty))


def _barred(live: Live) -> str:
    """What lets no order leave; "" for nothing."""
    closed = {scope: fact.level for scope, fact in live.session.risk.latches.items() if scope in WHOLE}
    return next((f"{scope} is {level}" for scope, level in closed.items() if Level[level] >= Level.HALTED), "")


def _quoted(live: Live, instrument: Instrument) -> bool:
    """Whether a price is known at which the order can be judged."""
    ref = live.session.market.refs[instrument.id]
    return all(int(ref[name]) not in (0, NO_PRICE) for name in ("bid_px", "ask_px"))


def _cancel(order: Order) -> CancelIntent:
    if order.venue_order_id:
        return CancelIntent(strategy=order.strategy, venue_order_id=order.venue_order_id)
    return CancelIntent(strategy=order.strategy, source=order.source)


def _closing(live: Live, strategy: int, instrument: Instrument, qty: int) -> Intent:
    first = _FOREIGN if strategy == EXTERNAL else 0
    return Intent(
        strategy=strategy,
        source=max(first, live.session.desk.last_source(strategy)) + 1,
        instrument=instrument.id,
        side=Side.SELL if qty > 0 else Side.BUY,
        type=OrderType.MARKET,
        tif=TimeInForce.DAY,
        qty=abs(qty),
        reduce_only=True,
        valid_until=live.shell.now().venue + INTENT_LIFE,
    )
