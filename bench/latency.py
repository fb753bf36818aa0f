"""From a quote's due time to the first byte of its order on a TLS socket, its intent on disk: stage by stage, as histograms.

`python -m bench.latency [--seconds N] [--rate N] [--json FILE]` plays a steady stream and one with bursts, each with both
transports. The data server sends by the clock, not by our answers; an order's delays count from when its quote was due.
"""

import argparse
import contextlib
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import requests

from bench.noted import Noted
from bench.pace import LEAD
from bench.rig import wide_limits
from bench.soak_tape import SYMBOLS
from pyrt._core.events import Quote
from pyrt.clock import VenueClock
from pyrt.config import Secret
from pyrt.live import Plan, Runner, loop
from pyrt.ports import Broker, Event, OrderRequest, Sink, Submit, SubmitResult
from pyrt.strategies import Strategy
from pyrt.venues.alpaca import link as link_module
from pyrt.venues.alpaca.keys import Keys, check_url
from pyrt.venues.alpaca.link import Addresses, AlpacaLink
from pyrt.venues.sim.child import SimProcess

HOST = "paper-api.alpaca.markets"  # whose certificate the stand-in has
STAGES = ("due to received", "received to decided", "decided to durable", "durable to first byte", "due to first byte")
PERCENTILES = (50.0, 99.0, 99.9, 100.0)


class Probe(Strategy):
    """For each n-th quote an order that cannot trade; the venue cancels it at once."""

    symbols = SYMBOLS
    every = 100

    def on_start(self) -> None:
        self.seen = 0
        self.decided: dict[str, tuple[int, int, int]] = {}  # symbol -> due and received (venue ns), decided (monotonic ns)

    def on_quote(self, quote: Quote) -> None:
        self.seen += 1
        if self.seen % self.every or self.open_orders(quote.symbol):
            return
        self.decided[quote.symbol] = (quote.ts, quote.ts_recv, time.monotonic_ns())
        self.buy(quote.symbol, 1, limit=round(quote.bid * 0.98, 2), tif="ioc")


class Timed(AlpacaLink):
    """An AlpacaLink that notes for each order when its quote was due, came, led to it, when it was durable and left; mono ns."""

    def __init__(self, addresses: Addresses, keys: Keys, probe: Probe, transport: str) -> None:
        super().__init__("sim", addresses, keys, rate_limit=0, transport=transport)
        self.rows: dict[str, list[int]] = {}  # by cid: due, received, decided, durable, first byte
        self._row_of: dict[int, list[int]] = {}  # the same by the order's number
        self._probe = probe

    def broker(self, sink: Sink, clock: Callable[[], VenueClock], **options: Any) -> Any:
        def answered(event: Event) -> None:
            if isinstance(event, SubmitResult) and event.sent_mono and len(row := self._row_of.get(event.number, [])) == 4:
                row.append(event.sent_mono)
            sink(event)

        return Durable(super().broker(answered, clock, **options), self, clock)

    def durable(self, request: OrderRequest, clock: VenueClock) -> None:
        """Its intent is on disk, and it is about to be handed over."""
        durable = time.monotonic_ns()
        due, received, decided = self._probe.decided[request.symbol]
        wall = time.time_ns() - time.monotonic_ns()
        self.rows[request.cid] = self._row_of[request.number] = [due - wall, clock.mono_at(received), decided, durable]


class Durable(Noted):
    """Tells its link of each order that is about to be handed over."""

    def __init__(self, behind: Broker, link: Timed, clock: Callable[[], VenueClock]) -> None:
        super().__init__(behind)
        self._link = link
        self._clock = clock

    def submit(self, command: Submit) -> None:
        self._link.durable(command.request, self._clock())
        super().submit(command)


@contextlib.contextmanager
def child(*argv: str) -> Iterator[int]:
    """A process that prints its port, and ends with its standard input."""
    with subprocess.Popen([sys.executable, "-m", *argv], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        yield int(server.stdout.readline())
        server.communicate()


@contextlib.contextmanager
def stand_in(directory: Path, url: str) -> Iterator[None]:
    """Alpaca's paper host is this machine: TLS before the simulated venue; its certificate is trusted for as long."""
    certificate, key = str(directory / "cert.pem"), str(directory / "key.pem")
    subject = ["-subj", "/CN=stand-in", "-addext", f"subjectAltName=DNS:{HOST}"]
    make = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"]
    subprocess.run([*make, "-keyout", key, "-out", certificate, *subject], check=True, capture_output=True)
    real, bundle = socket.getaddrinfo, requests.adapters.DEFAULT_CA_BUNDLE_PATH
    with child("bench.tls_front", url.rpartition(":")[2], certificate, key) as front:

        def lookup(host: Any, service: Any, *args: Any, **more: Any) -> Any:
            name = host.decode() if isinstance(host, bytes) else host
            return real("127.0.0.1", front if name == HOST else service, *args, **more)

        socket.getaddrinfo = lookup
        requests.adapters.DEFAULT_CA_BUNDLE_PATH = certificate
        link_module.check_url = lambda url, venue=None: check_url(url)  # orders over TLS, data without, in one link
        try:
            yield
        finally:
            socket.getaddrinfo, requests.adapters.DEFAULT_CA_BUNDLE_PATH, link_module.check_url = real, bundle, check_url


class Row(msgspec.Struct, kw_only=True):
    """One run: us at the percentiles 50, 99, 99.9 and 100 of each stage."""

    kind: str
    transport: str
    orders: int
    messages: int
    stages: dict[str, list[float]]


def run(directory: Path, kind: str, rate: float, seconds: float, transport: str, busy_poll: bool) -> Row:
    """One session with one kind of stream."""
    with (
        SimProcess(state=directory / "venue", seed=1, rate_limit=0) as sim,
        stand_in(directory, sim.address.url),
        child("bench.pace", kind, str(rate), str(seconds)) as port,
    ):
        probe = Probe(every=max(1, int(rate // 100)))
        updates = "ws" + sim.address.url.removeprefix("http")
        addresses = Addresses(trading=f"https://{HOST}", data=sim.address.url, stream=f"ws://127.0.0.1:{port}", updates=updates)
        link = Timed(addresses, Keys(Secret(sim.address.key), Secret(sim.address.secret)), probe, transport)
        plan = Plan(
            link=link,
            directory=directory,
            strategies=[probe],
            limits=wide_limits(),
            duration=seconds + LEAD + 5,
            watchdog=False,
        )
        summary = loop.run(Runner(plan).run(), busy_poll=busy_poll)
    if summary.failed or summary.unexplained or summary.unresolved:
        raise RuntimeError("\n".join(summary.lines()))
    times = np.array([row for row in link.rows.values() if len(row) == 5])
    times = times[len(times) // 10 :]  # the first ones make connections
    spans = dict(zip(STAGES, [*np.diff(times, axis=1).T, times[:, 4] - times[:, 0]], strict=True))
    stages = {name: [float(np.percentile(ns, p)) / 1e3 for p in PERCENTILES] for name, ns in spans.items()}
    return Row(kind=kind, transport=transport, orders=len(times), messages=summary.messages, stages=stages)


def lines(rows: list[Row]) -> Iterator[str]:
    """A table."""
    yield "| stream, transport | stage | p50, us | p99 | p99.9 | max |"
    yield "|---|---|---|---|---|---|"
    for row in rows:
        for name, values in row.stages.items():
            yield f"| {row.kind}, {row.transport} | {name} | " + " | ".join(f"{value:,.0f}" for value in values) + " |"
        yield f"| {row.kind}, {row.transport} | {row.orders:,} orders, {row.messages:,} messages | | | | |"


def main() -> int:
    """Measure, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--rate", type=float, default=5_000.0, help="quotes a second, each in a frame of its own")
    parser.add_argument("--kind", choices=("steady", "bursts"))
    parser.add_argument("--transport", choices=("requests", "direct"))
    parser.add_argument("--busy-poll", action="store_true", help="the loop watches instead of sleeping")
    parser.add_argument("--json", type=Path)
    asked = parser.parse_args()
    rows = []
    for kind in (asked.kind,) if asked.kind else ("steady", "bursts"):
        for transport in (asked.transport,) if asked.transport else ("requests", "direct"):
            with tempfile.TemporaryDirectory(dir=os.environ.get("PYRT_BENCH_DIR")) as folder:
                rows.append(run(Path(folder), kind, asked.rate, asked.seconds, transport, asked.busy_poll))
    print(*lines(rows), sep="\n")
    if asked.json:
        asked.json.write_bytes(msgspec.json.format(msgspec.json.encode(rows)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
