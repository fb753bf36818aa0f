"""One life of orders - submit, replace, cancel, a part filled, a round trip - and what must be true whenever it was cut off."""

import re
import signal
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any

import requests
from tests.e2e.drill import LIMITS, Report, compare
from tests.e2e.faults.processes import Arm, Calls, Child, What, Zygote
from tests.e2e.processes import Venue

import pyrt
from pyrt._core.types import Side
from pyrt.errors import PyrtError
from pyrt.journal.inspect import show
from pyrt.model import Filled, Instruments, Intended, OrderChanged, OrderStatus
from pyrt.venues.sim.library import SimulatedVenue

CASH = 10_000_000
MARKET = "generated:rate=20,symbols=AAPL,days=1"
SEGMENT = 8192  # bytes: the smallest, so that a switch of segments is inside the scenario
WAIT = "0.25"  # s, deadline and settle each
WIDE = re.sub(r'"(\d+)"', r'"\g<1>000"', LIMITS)  # for an order that is more than the market shows

STRATEGY = '''
import ctypes
import os
import signal
import sys

from pyrt import Strategy


class Lives(Strategy):
    """submit, replace, cancel; then more than is displayed, cancelled when a part is filled; then home, and the end."""

    symbols = ("AAPL",)
    rounds = 1
    idle = False
    trouble = ""  # what the strategy does wrong when it has reached step `at`: "hog", "loop" or "fail"
    at = 4
    step = 0
    order = None

    def on_start(self):
        self.set_timer("look", 0.01)

    def on_timer(self, name):
        self.look()
        self.set_timer("look", 0.01)

    def on_quote(self, quote):
        self.quote = quote
        self.look()

    def on_order(self, order):
        self.look()

    def look(self):
        quote = getattr(self, "quote", None)
        if self.idle or quote is None or not 0 < quote.bid < quote.ask:
            return
        order, status = self.order, self.order.status if self.order is not None else None
        if order is not None and (order.is_refused or (self.step in (1, 2) and order.is_done)):
            self.step, self.order, self.quote = 0, None, None  # a fault was in the way: with the next quote from the beginning
            return
        match self.step:
            case 0 if not (left := self.open_orders("AAPL")):
                self.next(self.buy("AAPL", 3, limit=quote.bid * 0.9, round="nearest"))
            case 0:
                for old in left:
                    if old.status in (4, 5):
                        self.cancel(old)
            case 1 if status == 4:
                self.next(self.replace(order, quantity=5, limit=quote.bid * 0.91, round="nearest"))
            case 2 if status == 4:
                self.cancel(order)
                self.next(order)
            case 3 if order.is_done:
                self.next(self.buy("AAPL", 2000, limit=quote.ask * 1.0001, round="nearest"))
            case 4 if order.is_done:
                self.next(order)
            case 4 if order.filled:
                self.cancel(order)
                self.next(order)
            case 5 if order.is_done:
                if self.position("AAPL"):
                    self.order = self.close("AAPL")
                else:
                    self.rounds -= 1
                    self.step, self.order = (0 if self.rounds else 6), None
            case 6:
                self.next(None)
                self.log("the life is over")
                os.kill(os.getpid(), signal.SIGINT)

    def next(self, order):
        self.order = order
        self.step += 1
        if self.trouble and self.step == self.at:
            getattr(self, self.trouble)()

    def hog(self):
        self.trouble = ""
        sign, libc = os.environ["LIVES_SIGN"], ctypes.PyDLL(None)  # whose functions hold the interpreter's lock
        before = sys.getswitchinterval()
        sys.setswitchinterval(3600)  # nobody asks for the lock: no other thread of this process runs Python
        open(sign, "w").close()
        while libc.access(sign.encode(), 0) == 0:  # until the test takes the file away
            libc.usleep(1000)
        sys.setswitchinterval(before)

    def loop(self):
        open(os.environ["LIVES_SIGN"], "w").close()
        while True:
            pass

    def fail(self):
        raise RuntimeError("a fault of the strategy")
'''


class Life:
    """A venue of its own with the same market each time, a state directory, and sessions of the scenario on them."""

    def __init__(
        self, zygote: Zygote, directory: Path, home: Path | None = None, venue: SimulatedVenue | Venue | None = None, url: str = ""
    ) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self.zygote, self.directory, self.home = zygote, directory, home or directory / "home"
        self.venue = venue or pyrt.sim(market=MARKET, seed=5, cash=CASH)
        self.own = venue is None
        self.url = url or self.venue.url  # where the session finds it
        (directory / "lives.py").write_text(STRATEGY)
        (directory / "limits.toml").write_text(WIDE)
        self.runs = 0
        self.durability, self.segment, self.mutant = "sync", SEGMENT, ""
        self.deadline = self.settle = WAIT

    @property
    def port(self) -> int:
        return int(self.url.rsplit(":", 1)[1])

    @property
    def sign(self) -> Path:
        """A file that the strategy makes when its trouble begins."""
        return self.directory / "sign"

    @property
    def journal(self) -> Path:
        return self.home / "journal"

    def arm(
        self, what: What, at: int = 0, *, mask: Calls = Calls.ALL, error: int = 0, only: str = "", trace: Path | None = None
    ) -> Arm:
        """The shim's order for this state directory and this venue."""
        return Arm(str(self.home), only, self.port, int(mask), int(what), at, error, str(trace or ""))

    def start(self, *more: str, arm: Arm | None = None, watchdog: bool = False, **parameters: object) -> Child:
        """Begin a session; parameters are those of the strategy."""
        self.runs += 1
        argv = ["run", "--sim-url", self.url, "--sim-state", str(self.home), "--rate-limit", "0", "--durability", self.durability]
        argv += ["--deadline", self.deadline, "--settle", self.settle, "--segment-size", str(self.segment), "--no-view"]
        argv += ["--strategy", str(self.directory / "lives.py"), "--limits", str(self.directory / "limits.toml")]
        argv += ["--watchdog" if watchdog else "--no-watchdog", *more]
        for name, value in parameters.items():
            argv += ["--set", f"Lives.{name}={value}"]
        env = {"APCA_API_KEY_ID": self.venue.key, "APCA_API_SECRET_KEY": self.venue.secret, "LIVES_SIGN": str(self.sign)}
        return self.zygote.start(argv, self.directory / f"run{self.runs}.log", env, arm, self.mutant)

    def get(self, path: str) -> Any:
        headers = {"APCA-API-KEY-ID": self.venue.key, "APCA-API-SECRET-KEY": self.venue.secret}
        answer = requests.get(self.venue.url + path, headers=headers, timeout=30)
        answer.raise_for_status()
        return answer.json()

    def truth(self) -> dict[str, Any]:
        return self.venue.truth()

    def recover(self, *, live: bool = False, sweep: bool = True) -> list[str]:
        """Start again without faults, wait until nothing is unknown, end; the violations.

        live: the strategy decides again and lives a whole life. sweep: end in order; else at once, which saves a second.
        """
        run = self.start(idle=str(not live).lower())
        if live:
            run.wait()
        else:
            if not run.until_said("trading:"):
                return [f"a clean start ended with {run.status}: {run.log[-1500:]}"]
            run.until(lambda: not self.unknown(), "the fate of every order")
            sweep = sweep or bool(self.get("/v2/orders?status=open"))  # what works goes on, at the venue, after an end at once
            run.signal(signal.SIGINT)
            if not sweep and run.until_said("SIGINT: ending"):
                run.signal(signal.SIGINT)
            run.wait()
        wanted = (0,) if sweep or live else (0, 130)
        told = [] if run.status in wanted else [f"a clean session ended with {run.status}: {run.log[-1500:]}"]
        return told + self.violations(kept=sweep or live)

    def unknown(self) -> list[int]:
        """Orders whose fate the journal does not tell yet."""
        states: dict[int, OrderStatus] = {}
        try:
            for _, _, fact in show(self.journal):
                if isinstance(fact, Intended):
                    states[fact.number] = OrderStatus.INTENT
                elif isinstance(fact, OrderChanged):
                    states[fact.number] = fact.status
        except (PyrtError, OSError):
            return [-1]  # read while a segment was switched
        return [n for n, status in states.items() if status in (OrderStatus.UNKNOWN, OrderStatus.INTENT, OrderStatus.SENT)]

    def violations(self, *, kept: bool = True) -> list[str]:
        """Invariants 1 to 6 against the venue's truth; kept: a session ended in order, so that a snapshot was taken."""
        report = Report()
        compare(self, self.journal, report)  # type: ignore[arg-type]  # it asks for truth and positions alone
        return [fault for fault in report.faults if kept or fault != "no snapshot was taken"] + self._cash()

    def _cash(self) -> list[str]:
        """Invariant 6: what the fills of the journal cost is what left the account, to the unit; each fill is applied once."""
        spent, seen, instruments = Decimal(0), Counter[tuple[int, int]](), Instruments()
        for _, _, fact in show(self.journal):
            if hasattr(fact, "instrument") and not isinstance(fact.instrument, int):
                instruments.add(fact.instrument)
            if isinstance(fact, Filled):
                instrument = instruments[fact.instrument]
                spent += (1 if fact.side is Side.BUY else -1) * instrument.quantity(fact.qty) * instrument.price(fact.px)
                seen[fact.number, fact.cum_qty] += 1
        told = [f"fill {key} is in the journal {n} times" for key, n in seen.items() if n > 1]
        cash = Decimal(self.get("/v2/account")["cash"])
        if CASH - spent != cash:
            told.append(f"cash: the venue has {cash}, the journal's fills leave {CASH - spent}")
        return told

    def close(self) -> None:
        if self.own:
            self.venue.close()


@contextmanager
def life(zygote: Zygote, directory: Path, home: Path | None = None) -> Iterator[Life]:
    """A fresh venue and a fresh account."""
    it = Life(zygote, directory, home)
    try:
        yield it
    finally:
        it.close()
