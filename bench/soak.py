"""A long session over real sockets with orders, a watchdog and a reconnection each minute: does anything of it grow?

`python -m bench.soak [SECONDS] [--rate N] [--json FILE]` prints a table of samples and a verdict; exit status 1 where something
grew. Linux only: figures come from /proc.
"""

import argparse
import asyncio
import contextlib
import itertools
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import requests

from bench.rig import wide_limits
from bench.soak_tape import SYMBOLS
from pyrt.config import Secret
from pyrt.live import Plan, Runner, Summary
from pyrt.live.runner import Live
from pyrt.process import steady_memory
from pyrt.strategies import Strategy
from pyrt.strategies.sma_cross import SmaCross
from pyrt.venues.alpaca.keys import Keys
from pyrt.venues.alpaca.link import Addresses, AlpacaLink
from pyrt.venues.sim.child import SimProcess

EVERY = 10.0  # s between samples
CUT = 60.0  # s that a data connection lives
WARM = 0.25  # of the samples, at most five minutes of them: filling of buffers, histories, the allocator's arenas
SNAPSHOTS = 60.0  # s between two of them; a session takes one each ten minutes
JUDGED = 1800.0  # s: a shorter run does not tell a leak of 1 MiB an hour from noise
MIB = 1 << 20
FLAT = ("threads", "fds", "sockets", "tasks", "shared", "watchdog_fds", "watchdog_threads")


class Sample(msgspec.Struct, kw_only=True):
    """Bytes where nothing else is said."""

    at: float  # s since the first
    rss: int
    anonymous: int
    shared: int
    threads: int
    fds: int
    sockets: int
    tasks: int
    blocks: int  # of the interpreter's allocator
    journal: int
    recording: int
    watchdog_rss: int
    watchdog_fds: int
    watchdog_threads: int
    messages: int  # since the start
    orders: int
    fills: int
    connections: int  # of the data feed
    lost: int  # entries that the recording left out


class Flow(Strategy):
    """Takes 1 share at the market now here, now there, and gives it back."""

    symbols = SYMBOLS
    pause = 0.2  # s: 300 a minute, so that the orders that an engine keeps whole are as many as ever before the warm-up ends

    def on_start(self) -> None:
        self.turn = 0
        self.set_timer("next", self.pause)

    def on_timer(self, name: str) -> None:
        self.set_timer("next", self.pause)
        symbol = SYMBOLS[self.turn % len(SYMBOLS)]
        self.turn += 1
        if self.open_orders(symbol):
            return
        if self.position(symbol):
            self.close(symbol)
        else:
            self.buy(symbol, 1)


def memory(pid: int) -> dict[str, int]:
    """Of /proc/PID/status: kinds of memory in bytes, and Threads."""
    told = {}
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        name, _, value = line.partition(":")
        if name.startswith(("VmRSS", "Rss")):
            told[name] = int(value.split()[0]) * 1024
        elif name == "Threads":
            told[name] = int(value)
    return told


def descriptors(pid: int) -> list[str]:
    """What the open descriptors of a process are."""
    found = []
    for entry in Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(OSError):  # the one that lists
            found.append(str(entry.readlink()))
    return found


def size(directory: Path) -> int:
    """Bytes of the files in a directory."""
    total = 0
    for entry in directory.iterdir():
        with contextlib.suppress(OSError):  # removed meanwhile
            total += entry.stat().st_size
    return total


def watchdog_pid() -> int:
    """Our child that watches."""
    for task in Path("/proc/self/task").iterdir():
        for child in (task / "children").read_text().split():
            if b"pyrt.watchdog" in Path(f"/proc/{child}/cmdline").read_bytes():
                return int(child)
    raise RuntimeError("no watchdog")


class Watch:
    """A companion of the session: a sample each `EVERY` seconds, and cut trading streams."""

    def __init__(self, directory: Path, url: str) -> None:
        self.samples: list[Sample] = []
        self._directory, self._url = directory, url
        self._begun = 0.0

    async def __call__(self, live: Live) -> None:
        await live.runner.recovered.wait()
        cutter = asyncio.create_task(self._cut())
        try:
            while True:
                await asyncio.sleep(EVERY)
                self.samples.append(self._sample(live))
                print(line(self.samples[-1]), flush=True)
        finally:
            cutter.cancel()

    async def _cut(self) -> None:
        """Every third time that the data stream ends, so does the trading stream."""
        for turn in itertools.count():
            await asyncio.sleep(CUT * 3)
            body = {"kind": "drop_stream", "how": ("fin", "rst")[turn % 2]}
            await asyncio.to_thread(requests.post, f"{self._url}/sim/faults", json=body, timeout=30)

    def _sample(self, live: Live) -> Sample:
        self._begun = self._begun or time.monotonic()
        dog = watchdog_pid()
        mine, its, open_ = memory(os.getpid()), memory(dog), descriptors(os.getpid())
        counts, recorder = live.session.counts, live.shell.recorder
        return Sample(
            at=time.monotonic() - self._begun,
            rss=mine["VmRSS"],
            anonymous=mine["RssAnon"],
            shared=mine["RssShmem"],
            threads=mine["Threads"],
            fds=len(open_),
            sockets=sum(name.startswith("socket:") for name in open_),
            tasks=len(asyncio.all_tasks()),
            blocks=sys.getallocatedblocks(),
            journal=size(self._directory / "journal"),
            recording=size(self._directory / "recording"),
            watchdog_rss=its["VmRSS"],
            watchdog_fds=len(descriptors(dog)),
            watchdog_threads=its["Threads"],
            messages=counts["messages"],
            orders=counts["orders"],
            fills=counts["fills"],
            connections=live.feed.counters["connections"],  # type: ignore[attr-defined]
            lost=recorder.dropped if recorder is not None else 0,
        )


COLUMNS: tuple[tuple[str, int, Callable[[Sample], str]], ...] = (
    ("s", 5, lambda s: f"{s.at:.0f}"),
    ("RSS MiB", 8, lambda s: f"{s.rss / MIB:.2f}"),
    ("anon MiB", 9, lambda s: f"{s.anonymous / MIB:.2f}"),
    ("blocks", 8, lambda s: f"{s.blocks}"),
    ("threads", 8, lambda s: f"{s.threads}"),
    ("fds", 4, lambda s: f"{s.fds}"),
    ("sockets", 8, lambda s: f"{s.sockets}"),
    ("tasks", 6, lambda s: f"{s.tasks}"),
    ("shm KiB", 8, lambda s: f"{s.shared >> 10}"),
    ("journal MiB", 12, lambda s: f"{s.journal / MIB:.2f}"),
    ("recorded MiB", 13, lambda s: f"{s.recording / MIB:.1f}"),
    ("watchdog MiB", 13, lambda s: f"{s.watchdog_rss / MIB:.2f}"),
    ("messages", 11, lambda s: f"{s.messages}"),
    ("orders", 7, lambda s: f"{s.orders}"),
    ("connections", 12, lambda s: f"{s.connections}"),
)
HEAD = "".join(name.rjust(width) for name, width, _ in COLUMNS)


def line(sample: Sample) -> str:
    """A row of the table."""
    return "".join(text(sample).rjust(width) for _, width, text in COLUMNS)


def slope(samples: list[Sample], name: str) -> float:
    """Units an hour: the least squares line through the samples."""
    fit = statistics.linear_regression([s.at for s in samples], [float(getattr(s, name)) for s in samples])
    return fit.slope * 3600.0


def settled(samples: list[Sample]) -> list[Sample]:
    """Without the warm-up."""
    return samples[min(int(len(samples) * WARM), int(300 / EVERY)) :]


class Verdict(msgspec.Struct, kw_only=True):
    """Of the samples after warm-up."""

    seconds: float
    rate: float  # messages a second
    orders: int
    fills: int
    connections: int
    rss_slope: float  # MiB an hour
    anonymous_slope: float
    blocks_slope: float  # an hour
    per_order: float  # bytes of anonymous memory that came with an order
    watchdog_slope: float  # MiB an hour
    grew: list[str]  # what was higher in the last quarter than in the first; medians
    judged: bool  # long enough to hold the slopes against the bound
    faults: list[str]


def judge(samples: list[Sample]) -> Verdict:
    """What the samples say."""
    flat = settled(samples)
    quarter = max(len(flat) // 4, 1)
    first, last = flat[:quarter], flat[-quarter:]
    middle = {name: [statistics.median(getattr(s, name) for s in part) for part in (first, last)] for name in FLAT}
    seconds = flat[-1].at - flat[0].at
    verdict = Verdict(
        seconds=samples[-1].at + EVERY,
        rate=(flat[-1].messages - flat[0].messages) / seconds,
        orders=samples[-1].orders,
        fills=samples[-1].fills,
        connections=samples[-1].connections,
        rss_slope=slope(flat, "rss") / MIB,
        anonymous_slope=slope(flat, "anonymous") / MIB,
        blocks_slope=slope(flat, "blocks"),
        per_order=(flat[-1].anonymous - flat[0].anonymous) / max(flat[-1].orders - flat[0].orders, 1),
        watchdog_slope=slope(flat, "watchdog_rss") / MIB,
        grew=[f"{name} {before:g} -> {after:g}" for name, (before, after) in middle.items() if after > before],
        judged=seconds >= JUDGED,
        faults=[],
    )
    verdict.faults += verdict.grew
    if verdict.judged:
        steep = {"the session's RSS": verdict.rss_slope, "the watchdog's RSS": verdict.watchdog_slope}
        verdict.faults += [f"{name} grows by {value:.2f} MiB an hour" for name, value in steep.items() if value >= 1.0]
    return verdict


def tell(verdict: Verdict) -> Iterator[str]:
    """The verdict as lines of text."""
    v = verdict
    yield f"{v.seconds:.0f} s, {v.rate:,.0f} messages/s, {v.orders} orders, {v.fills} fills, {v.connections} data connections"
    yield f"after warm-up, an hour: RSS {v.rss_slope:+.2f} MiB (anonymous {v.anonymous_slope:+.2f}), "
    yield f"  allocator {v.blocks_slope:+,.0f} blocks, watchdog {v.watchdog_slope:+.2f} MiB; {v.per_order:,.0f} bytes an order"
    yield "descriptors, threads, tasks, shared memory: " + ("; ".join(v.grew) or "flat")
    yield "verdict: " + ("; ".join(v.faults) or ("flat" if v.judged else f"flat, but under {JUDGED:.0f} s memory is not judged"))


@contextlib.contextmanager
def tape(rate: float) -> Iterator[int]:
    """A process that sends market data; its port."""
    argv = [sys.executable, "-m", "bench.soak_tape", str(rate), str(CUT)]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        yield int(server.stdout.readline())
        server.communicate()  # closes its standard input


def run(directory: Path, seconds: float, rate: float, pause: float) -> tuple[Summary, list[Sample]]:
    """Trade for a while; data, venue and watchdog are processes of their own."""
    steady_memory()  # as `pyrt run` does
    with tape(rate) as port, SimProcess(state=directory / "venue", seed=1, rate_limit=0) as sim:
        keys, url = Keys(Secret(sim.address.key), Secret(sim.address.secret)), sim.address.url
        updates = "ws" + url.removeprefix("http")
        watch = Watch(directory, url)
        plan = Plan(
            link=AlpacaLink(
                "sim", Addresses(trading=url, data=url, stream=f"ws://127.0.0.1:{port}", updates=updates), keys, rate_limit=0
            ),
            directory=directory,
            strategies=[Flow(pause=pause), SmaCross(symbols=SYMBOLS)],
            limits=wide_limits(),
            duration=seconds,
            companions=[watch],
            snapshot_seconds=SNAPSHOTS,
        )
        summary = asyncio.run(Runner(plan).run())
    return summary, watch.samples


def main() -> int:
    """Soak, write, judge."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("seconds", nargs="?", type=float, default=float(os.environ.get("PYRT_SOAK", "3600")))
    parser.add_argument("--rate", type=float, default=50_000.0, help="messages a second that are sent")
    parser.add_argument("--pause", type=float, default=Flow.pause, help="seconds between orders")
    parser.add_argument("--json", type=Path)
    asked = parser.parse_args()
    if asked.seconds < 8 * EVERY:
        parser.error(f"{8 * EVERY:.0f} s at least")
    print(HEAD, flush=True)
    begun = datetime.now(UTC)
    with tempfile.TemporaryDirectory(dir=os.environ.get("PYRT_BENCH_DIR")) as folder:
        summary, samples = run(Path(folder), asked.seconds, asked.rate, asked.pause)
    verdict = judge(samples)
    if summary.failed or summary.unresolved or summary.unexplained:
        verdict.faults += [f"failed: {summary.failed}" if summary.failed else "orders or shares without an explanation"]
    if left := [t.name for t in threading.enumerate() if t is not threading.main_thread()]:
        verdict.faults.append(f"threads that outlived the session: {', '.join(left)}")
    print("\n".join([*summary.lines(), *tell(verdict)]))
    if asked.json:
        asked.json.parent.mkdir(parents=True, exist_ok=True)
        report = {"begun": begun.isoformat(timespec="seconds"), "asked": asked.rate, "verdict": verdict, "samples": samples}
        asked.json.write_bytes(msgspec.json.format(msgspec.json.encode(report)))
    return bool(verdict.faults)


if __name__ == "__main__":
    sys.exit(main())
