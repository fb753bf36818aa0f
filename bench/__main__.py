"""`python -m bench [--quick] [--sustain S] [--out FILE]`: run everything, write one table with machine and day beside it."""

import argparse
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path

from bench import compare, disk, memory, process, scale, sockets, stream, venue
from bench.limits import compiler, flags
from bench.parts import PARTS, Run
from bench.rows import rows as all_rows

Row = tuple[str, ...]


def best(make: Callable[[], Run], ops: int, rounds: int) -> float:
    """ns of CPU an operation: the best of the rounds, the figure that other work on the machine disturbs least."""
    run = make()
    run()
    least = float("inf")
    for _ in range(rounds):
        begun = time.thread_time_ns()
        run()
        least = min(least, time.thread_time_ns() - begun)
    return least / ops


def quantiles(samples: Sequence[int]) -> tuple[str, str, str, str]:
    """p50, p99, p99.9 in us, and how many there were."""
    ordered = sorted(samples)
    at = [ordered[min(int(len(ordered) * q), len(ordered) - 1)] for q in (0.5, 0.99, 0.999)]
    return (*(f"{ns / 1000:,.1f}" for ns in at), f"{len(ordered):,}")  # type: ignore[return-value]


def table(head: Row, rows: Sequence[Row]) -> Iterator[str]:
    yield "| " + " | ".join(head) + " |"
    yield "|" + "---|" * len(head)
    yield from ("| " + " | ".join(row) + " |" for row in rows)
    yield ""


def machine() -> Iterator[str]:
    info = Path("/proc/cpuinfo")
    model = (
        next((line.split(":", 1)[1].strip() for line in info.read_text().splitlines() if "model name" in line), "")
        if info.exists()
        else ""
    )
    busy = " ".join(f"{load:.1f}" for load in os.getloadavg())
    yield f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC; {os.cpu_count()} x {model or platform.processor()}; {platform.platform()};"
    yield f"CPython {platform.python_version()}, {platform.python_compiler()}; load average at the start {busy}."
    yield ""


def beside_limits() -> Iterator[str]:
    """The table of bench.compare, and what it was measured with."""
    results = []
    for row in all_rows():
        results.append(compare.measure(row))
        progress(row.name)
    words = Counter(result.word(min(r.spin for r in results)) for result in results)
    yield "Least of the rounds, the median in brackets; ratio = ours / limit. `noise`: a fixed loop timed each round, ns a step at"
    yield "best, and how much longer in the median round. `unsure`: two halves of this run would not both say so, or the processor"
    yield "was shared."
    yield f"{words['holds']} claims hold, {words['over']} do not, {words['unsure']} cannot be told on this machine today."
    yield ""
    yield from compare.table(results)
    yield ""
    told = subprocess.run([*compiler(), "--version"], capture_output=True, text=True, check=True).stdout.splitlines()[0]
    shown = " ".join(flag for flag in flags() if not flag.startswith("-I"))
    yield f"Limits: {told}; {shown}."
    yield ""


def parts(rounds: int) -> Iterator[str]:
    rows = []
    for part in PARTS:
        ns = best(part.make, part.ops, rounds)
        plain = best(part.plain, part.plain_ops, max(rounds // 4, 2)) if part.plain else 0.0
        rows.append((part.name, f"{ns:,.1f}", f"{plain:,.0f}" if plain else "", f"{plain / ns:,.0f} x" if plain else ""))
        progress(part.name)
    yield from table(("part", "ns", "plain Python, ns", "ratio"), rows)


def whole(quick: bool, sustain: float) -> tuple[list[str], dict[str, str]]:
    seconds = 2.0 if quick else 10.0
    text: list[str] = []
    note: dict[str, str] = {}
    wall, cpu = process.frame_to_order(3_000 if quick else 20_000)
    rows: list[Row] = [
        ("frame in to order body, in process, wall", *quantiles(wall)),
        ("the same, CPU of our thread", *quantiles(cpu)),
    ]
    progress("frame to order")
    with tempfile.TemporaryDirectory(dir=os.environ.get("PYRT_BENCH_DIR")) as folder:
        for durability in ("sync", "os"):
            samples = sockets.run(Path(folder) / durability, 6 * seconds, durability)
            what = "intent synced to disk" if durability == "sync" else "durability `os`: no sync"
            rows.append((f"frame in to order queued, sockets, {what}", *quantiles(samples.queued)))
            rows.append((f"frame in to request in the venue's process, {what}", *quantiles(samples.at_venue)))
            progress(f"sockets, {durability}")
        kept = disk.measure(Path(folder), 100 if quick else 1000, 5_000 if quick else 20_000)
    rows.append(("journal: append to durable, one at a time", *quantiles(kept.durable)))
    rows.append(("(limit: pwrite of a page and fdatasync, same disk)", *quantiles(kept.bare)))
    text += table(("latency, us", "p50", "p99", "p99.9", "samples"), rows)
    note["tick"] = "; ".join(f"{name} p50 {p50} us, p99 {p99} us" for name, p50, p99, *_ in (rows[0], rows[2], rows[3]))
    progress("journal")

    sustained = stream.measure(sustain)
    rate, core = sustained.received / sustained.seconds, sustained.received / sustained.cpu
    lost = sustained.sent - sustained.received
    progress("sustained")
    opinions, orders = process.signals(seconds), process.orders(1_000 if quick else 5_000)
    rows = [
        (f"market messages over a WebSocket, sustained {sustained.seconds:.0f} s, 100 symbols, {lost} lost", f"{rate:,.0f}"),
        ("the same by our CPU time", f"{core:,.0f}"),
        ("market messages in process, frames of 50", f"{process.messages(100, 50, seconds):,.0f}"),
        ("market messages in process, frames of 1", f"{process.messages(100, 1, seconds):,.0f}"),
        ("signals from a Python strategy, one for every quote", f"{opinions:,.0f}"),
        ("whole orders: quote to booked fill, without a disk", f"{orders:,.0f}"),
        (f"facts to disk, all to be synced ({kept.facts:,} in {kept.syncs} syncs)", f"{kept.grouped:,.0f}"),
    ]
    text += table(("throughput, one core", "a second"), rows)
    text += table(("the venue in the box, a second", "of one core", "by the clock"), list(venue.rows(quick)))
    progress("venue")
    note["messages"] = f"{rate:,.0f} a second for {sustained.seconds:.0f} s over a WebSocket, {lost} lost; {core:,.0f} by CPU time"
    note["signals"] = f"{opinions:,.0f} signals a second"
    progress("throughput")
    return text, note


def sizes() -> tuple[list[str], str]:
    held = memory.measure()
    rows = [(f"{n:,}", f"{total:,}", f"{total / n:,.0f}") for n, total in held.items()]
    low, high = 10, max(held)
    slope = (held[high] - held[low]) / (high - low)
    progress("memory")
    return list(table(("symbols", "bytes", "a symbol"), rows)), f"{slope:,.0f} bytes a symbol ({low} to {high:,} symbols)"


def promises(note: dict[str, str]) -> Iterator[str]:
    rows = [
        ("S028", "50,000+ messages/s, sustained 60 s", note["messages"]),
        ("S029", "order book update < 50 us p99", note["book"]),
        ("S030", "about 500 KB a symbol", note["memory"]),
        ("S045", "~1,000 signals/s; 50 x that", note["signals"]),
        ("S073-S076", "50 us to the published trade, 5 ms to the signal, 6 ms to the approval, 10 ms to the POST", note["tick"]),
    ]
    yield from table(("row", "promised", "measured"), rows)


def book_update() -> str:
    """Each update of a book timed alone, the clock's own cost included."""
    took = process.book_updates()
    p50, p99, p999, n = quantiles(took)
    return f"p50 {p50} us, p99 {p99} us, p99.9 {p999} us of {n} single updates from Python"


def progress(what: str) -> None:
    print(f"  {what}", file=sys.stderr, flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a tenth of the samples")
    parser.add_argument("--sustain", type=float, default=60.0, metavar="S", help="seconds of the sustained stream")
    parser.add_argument("--out", type=Path, default=Path(__file__).with_name("RESULTS.md"))
    options = parser.parse_args()
    lines = ["# Benchmarks", "", "Written by `python -m bench`; README.md says what is measured and how.", *machine()]
    note = {"book": book_update()}
    limits = list(beside_limits())
    middle = ["## Parts", "", "ns of CPU an operation, the best of the rounds.", "", *parts(5 if options.quick else 20)]
    text, more = whole(options.quick, options.sustain)
    bytes_, note["memory"] = sizes()
    note |= more
    lines += [
        "## Beside the promises",
        "",
        *promises(note),
        "## Beside the limits and the peers",
        "",
        *limits,
        *middle,
        "## The whole path",
        "",
        *text,
    ]
    lines += ["## Memory", "", "Resident bytes that a session adds, with trades, quotes and bars of 1 s.", "", *bytes_]
    lines += ["## One pass against the number of symbols", "", *scale.report()]
    options.out.write_text("\n".join(lines).rstrip() + "\n", encoding="utf-8")
    print(options.out)


if __name__ == "__main__":
    main()
