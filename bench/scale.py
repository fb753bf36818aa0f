"""One pass against the number of symbols: `python -m bench.scale` prints a table and draws it; with N, the bytes of N symbols."""

import gc
import math
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from bench import material
from bench.material import T0
from bench.memory import resident
from bench.rows import Contender
from bench.rows.onepass import COUNTS, FRAME, SIX, N, ours, packed, passage, with_six

ROUNDS = 40
PICTURE = Path(__file__).with_name("onepass.svg")
SECONDS = 60  # of messages for every symbol that the memory is measured after


class Size(NamedTuple):
    symbols: int
    ns: float  # of CPU a message
    bytes: int  # that these symbols hold once all were quoted and traded for a minute


def cost(symbols: int) -> float:
    """ns of CPU a message, the least of the rounds."""
    return least_of(ours(material.frames(material.mixed(N, symbols), "msgpack", FRAME, symbols), symbols))


def cost_with_six() -> float:
    """The same where each bar of SIX symbols goes to six indicators."""
    return least_of(with_six(material.frames(material.mixed(N, SIX), "msgpack", FRAME, SIX)))


def least_of(run: Contender) -> float:
    assert run.run is not None
    assert run.before is not None
    least = math.inf
    for _ in range(ROUNDS):
        run.before()
        begun = time.thread_time_ns()
        run.run()
        least = min(least, time.thread_time_ns() - begun)
    return least / N


def held(symbols: int) -> int:
    """Bytes that decoder and pipeline of so many symbols add to this process."""
    warm = passage(1)
    warm.feed(material.frames(material.mixed(FRAME), "msgpack", FRAME)[0], T0)
    tapes = [material.frames(make(symbols, symbols), "msgpack", FRAME, symbols) for make in (material.quotes, material.trades)]
    gc.collect()
    before = resident()
    one = passage(symbols)
    for frames in tapes:
        for _ in range(SECONDS):
            for frame in frames:
                one.feed(frame, T0)
    if one.decoder.counters["messages"] != 2 * SECONDS * symbols:
        raise RuntimeError(f"{one.decoder.counters} of {symbols} symbols")
    return resident() - before


def sizes() -> list[Size]:
    """The memory of each number of symbols is that of a process of its own."""
    argv = [sys.executable, "-m", "bench.scale"]
    bytes_ = [int(subprocess.run([*argv, str(n)], capture_output=True, text=True, check=True).stdout) for n in COUNTS]
    return [Size(n, cost(n), many) for n, many in zip(COUNTS, bytes_, strict=True)]


def threads(symbols: int = 100) -> tuple[float, float]:
    """Messages a second of one thread, and of two on two pipelines, by the clock: the best of the rounds."""
    frames = material.frames(material.mixed(N, symbols), "msgpack", FRAME, symbols) * 20
    data, ends = packed(frames)
    times = np.full(len(frames), T0, np.int64)
    pair = [passage(symbols) for _ in range(2)]
    best = [0.0, 0.0]
    for _ in range(7):
        for n in (1, 2):
            work = [threading.Thread(target=one.feed_batch, args=(data, ends, times)) for one in pair[:n]]
            begun = time.perf_counter()
            for thread in work:
                thread.start()
            for thread in work:
                thread.join()
            best[n - 1] = max(best[n - 1], n * 20 * N / (time.perf_counter() - begun))
            for one in pair:
                one.take_bars()
    return best[0], best[1]


def table(found: Sequence[Size], six: float, speed: tuple[float, float]) -> Iterator[str]:
    yield "| symbols | ns a message | messages a second | bytes | bytes a symbol |"
    yield "|---|---|---|---|---|"
    for size in found:
        each = f"{size.bytes / size.symbols:,.0f}"
        yield f"| {size.symbols:,} | {size.ns:.1f} | {1e9 / size.ns:,.0f} | {size.bytes:,} | {each} |"
    yield f"| {SIX:,}, six indicators of each bar | {six:.1f} | {1e9 / six:,.0f} | | |"
    yield ""
    one, two = speed
    yield f"Two threads on two pipelines of 100 symbols: {two:,.0f} messages a second by the clock, one thread {one:,.0f}."
    yield ""


def draw(found: Sequence[Size], six: float) -> str:
    """Two curves over the number of symbols, all scales logarithmic, as SVG."""
    width, height, left, top = 640, 320, 60, 30
    across = math.log10(max(size.symbols for size in found)) or 1.0

    def curve(values: Sequence[float], colour: str, label: str, format: str, above: int) -> Iterator[str]:
        low, high = math.floor(math.log10(min(values))), math.ceil(math.log10(max(values)))
        points = [
            (left + math.log10(size.symbols) / across * width, top + (high - math.log10(v)) / max(high - low, 1) * height)
            for size, v in zip(found, values, strict=True)
        ]
        line = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
        yield f'<polyline fill="none" stroke="{colour}" stroke-width="2" points="{line}"/>'
        for (x, y), v in zip(points, values, strict=True):
            yield f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{colour}"/>'
            yield f'<text x="{x:.1f}" y="{y + above:.1f}" fill="{colour}" text-anchor="middle">{format.format(v)}</text>'
        yield f'<text x="{left + (0 if above < 0 else width)}" y="16" fill="{colour}" '
        yield f'text-anchor="{"start" if above < 0 else "end"}">{label}, 10^{low} to 10^{high}</text>'

    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width + 2 * left} {height + 90}"',
        ' font-family="sans-serif" font-size="11">',
        f'<rect x="{left}" y="{top}" width="{width}" height="{height}" fill="none" stroke="#999"/>',
        *curve([size.ns for size in found], "#1f6feb", "ns of CPU a message", "{:.0f}", -8),
        *curve([size.bytes / 1e6 for size in found], "#b35900", "megabytes", "{:.1f}", 16),
    ]
    low, high = (round_(math.log10(edge([size.ns for size in found]))) for round_, edge in ((math.floor, min), (math.ceil, max)))
    x, y = left + math.log10(SIX) / across * width, top + (high - math.log10(six)) / max(high - low, 1) * height
    lines.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="4" fill="none" stroke="#1f6feb"/>')
    lines.append(f'<text x="{x + 8:.1f}" y="{y - 14:.1f}" fill="#1f6feb">{six:.0f} with six indicators</text>')
    for size in found:
        x = left + math.log10(size.symbols) / across * width
        lines.append(f'<text x="{x:.1f}" y="{top + height + 34}" text-anchor="middle">{size.symbols:,} symbols</text>')
    return "\n".join([*lines, "</svg>", ""])


def report() -> list[str]:
    """The table; the picture is written beside RESULTS.md."""
    found, six = sizes(), cost_with_six()
    PICTURE.write_text(draw(found, six), encoding="utf-8")
    return [*table(found, six, threads()), "![one pass against the number of symbols](onepass.svg)", ""]


if __name__ == "__main__":
    if len(sys.argv) > 1:
        print(held(int(sys.argv[1])))
    else:
        print("\n".join(report()))
