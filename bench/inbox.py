"""Frames of market data into a running live session: from the WebSocket's frame to bars, none of which is due a callback.

The feed, the shell, the recorder on a disk and the holes' watch are the real ones; what a socket and a loop cost is not in it.
`python -m bench.inbox [--seconds S]`: ns of our thread's CPU a frame and frames a second, with a recorder and without, where frames
go through Python one by one (the way of those that someone must see) and where the inbox takes them in.
"""

import argparse
import asyncio
import tempfile
import time
from pathlib import Path
from typing import Any, cast

from picows import WSMsgType
from picows.picows import _make_test_ws_frame  # type: ignore[attr-defined]

from bench import material
from bench.rig import Shell, assemble, symbols
from pyrt._core.frames import Frames
from pyrt.clock import Now, VenueClock
from pyrt.journal.recorder import Recorder
from pyrt.live.backfill import Backfill
from pyrt.live.shell import LiveShell
from pyrt.ports import Subscription
from pyrt.session import Session
from pyrt.strategies.sma_cross import SmaCross
from pyrt.venues.alpaca.feed import AlpacaFeed

SIZES = (1, 10, 50)
SYMBOLS = 100
N = 20_000  # messages of a round


class Silent:
    """A journal that nothing is written to."""

    durable = 0

    def on_durable(self, callback: Any) -> None: ...

    def append(self, fact: Any, sync: Any, ts: int) -> int:
        return 0


def live(recorder: Recorder | None, native: bool) -> tuple[Session, LiveShell, Frames]:
    """A session that trades on bars of a minute, in a live shell, and the listener of its data stream."""
    clock = VenueClock(epoch=material.T0, origin=time.monotonic_ns())
    strategy = SmaCross(symbols=symbols(SYMBOLS), warmup=0)
    session = assemble(Shell(lambda body: None), [strategy], Now(material.T0, clock.origin))
    shell = LiveShell(journal=cast(Any, Silent()), clock=clock, recorder=recorder, projection=None)
    session.shell = shell
    shell.session, shell.trades = session, None
    feed = AlpacaFeed(
        url="ws://127.0.0.1:1/v2/sip",
        key="key",
        secret="secret",
        instruments=session.instruments,
        sink=shell.handle_feed,
        events=shell.put,
        clock=lambda: shell.venue_clock().at(time.monotonic_ns()),
        inbox=shell.inbox if native else None,
    )
    feed.want(Subscription(trades=frozenset(symbols(SYMBOLS)), quotes=frozenset(symbols(SYMBOLS))))
    Backfill(session, shell, cast(Any, None)).holes.begin(material.T0)
    return session, shell, feed._listen()


def rate(size: int, seconds: float, recorded: bool, native: bool) -> float:
    """ns of CPU a frame of `size` messages, the best of the rounds."""
    with tempfile.TemporaryDirectory() as directory:
        recorder = Recorder(Path(directory), queue_bytes=1 << 40) if recorded else None
        try:
            return asyncio.run(_pump(recorder, size, seconds, native))
        finally:
            if recorder is not None:
                recorder.close()


async def _pump(recorder: Recorder | None, size: int, seconds: float, native: bool) -> float:
    session, shell, frames = live(recorder, native)
    made = material.frames(material.mixed(N, SYMBOLS), "msgpack", size, SYMBOLS)
    wire = [_make_test_ws_frame(WSMsgType.BINARY, frame, True, False) for frame in made]
    session.counts.clear()
    least, begun = 1e18, time.perf_counter()
    rounds = 0
    while time.perf_counter() - begun < seconds:
        rounds += 1
        began = time.thread_time_ns()
        for frame in wire:
            frames.on_ws_frame(cast(Any, None), frame)
        least = min(least, (time.thread_time_ns() - began) / len(wire))
        if frames.failure is not None:
            raise frames.failure
        await asyncio.sleep(0)
    told = session.counts["messages"]
    if told < rounds * N:
        raise RuntimeError(f"{rounds * N - told} messages were lost")
    if native and not shell.inbox.open:
        raise RuntimeError("nothing was taken in natively")
    return least


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.inbox", description=__doc__)
    parser.add_argument("--seconds", type=float, default=1.0)
    asked = parser.parse_args()
    print("| messages a frame | recorded | ns a frame, in Python | native | frames/s, in Python | native | |")
    print("|---|---|---|---|---|---|---|")
    for recorded in (False, True):
        for size in SIZES:
            slow, fast = (min(rate(size, asked.seconds, recorded, native) for _ in range(2)) for native in (False, True))
            print(
                f"| {size} | {'yes' if recorded else 'no'} | {slow:,.0f} | {fast:,.0f} "
                f"| {1e9 / slow:,.0f} | {1e9 / fast:,.0f} | {slow / fast:.1f} x |"
            )


if __name__ == "__main__":
    main()
