"""From the bytes of a quote's frame to the body of the order that it causes, in one process, stage by stage.

`python -m bench.order_path [--against CHECKOUT] [--orders N] [--rounds N]`: us of each stage, the median of a round's orders, the
least of the rounds, with the fast lane and without it; in turn, each round in a process of its own. With --against the rounds run
on another checkout too (its compiled modules beside its sources). The fact is encoded as the journal has it; no disk, no socket, no
thread. A frame takes the way of a live session's: through the inbox, which records it.
"""

import argparse
import os
import statistics
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from time import perf_counter_ns, process_time_ns

import msgspec
from picows import WSMsgType
from picows.picows import _make_test_ws_frame  # type: ignore[attr-defined]

from bench import material
from bench.material import T0
from bench.rig import Shell, Taker, assemble
from bench.rows.strategy import compiled
from pyrt._core.entries import Entries
from pyrt._core.events import Quote
from pyrt._core.frames import Frames
from pyrt._core.inbox import Inbox
from pyrt._core.onepass import Intake
from pyrt.clock import Now
from pyrt.journal import codec
from pyrt.model import Fact, Intended
from pyrt.ports import Command, Submit, Sync
from pyrt.session import Session
from pyrt.strategies import Strategy
from pyrt.venues.alpaca.wire import order_body

MS = 1_000_000
STAGES = ("frame to on_quote", "on_quote", "to the body", "facts, views and command", "the rest of the step")
SOME = ("frame to the body", *STAGES[3:])  # of a compiled strategy: its callback is between our stamps


class Stamped(Taker):
    """The Taker, with the time of its callback."""

    def on_start(self) -> None:
        self.stamps = [0, 0]

    def on_quote(self, quote: Quote) -> None:
        self.stamps[0] = perf_counter_ns()
        super().on_quote(quote)
        self.stamps[1] = perf_counter_ns()


class Clocked(Shell):
    """Notes when the order's fact was encoded and its body was there, and when its command came; ns."""

    def __init__(self) -> None:
        super().__init__(lambda body: None)
        self.stamps = [0, 0]

    def intend(self, number: int, record: bytes, body: bytes, now: Now) -> None:
        self.ahead = number
        self.stamps[0] = perf_counter_ns()

    def append(self, fact: Fact, sync: Sync, now: Now) -> None:
        if isinstance(fact, Intended):
            codec.encode(fact)  # where it was journaled before, this is its proof
        self.facts += 1

    def perform(self, command: Command) -> None:
        if isinstance(command, Submit):
            if command.request.number != self.ahead:
                order_body(command.request)
                self.stamps[0] = perf_counter_ns()
            self.stamps[1] = perf_counter_ns()
        self.commands.append(command)


class Slow(Clocked):
    """Takes facts alone: every order goes by the rules."""

    intend = None  # type: ignore[assignment]


def orders(strategy: type[Strategy], n: int, shell: Clocked) -> dict[str, float]:
    """us of each stage, the median of n orders, and of the whole."""
    made = strategy()
    session = assemble(shell, [made], Now(T0, T0))
    at = [T0]
    frames = intake(session, at)
    wires = [
        _make_test_ws_frame(WSMsgType.BINARY, frame, True, False) for frame in material.frames(material.quotes(n), "msgpack", 1)
    ]
    rows = []
    spent = process_time_ns()
    for k, wire in enumerate(wires):
        at[0] = T0 + k * MS * 10
        begun = perf_counter_ns()
        frames.on_ws_frame(None, wire)  # type: ignore[arg-type]  # a frame of data asks nothing of its connection
        over = perf_counter_ns()
        inside = made.stamps if isinstance(made, Stamped) else []
        rows.append([begun, *inside, *shell.stamps, over])
        shell.answer(Now(at[0], at[0]))
    if session.counts["fills"] != n:
        raise RuntimeError(f"{session.counts['fills']} fills for {n} quotes, refusals {dict(session.refusals)}")
    spent = (process_time_ns() - spent) / n
    names = STAGES if isinstance(made, Stamped) else SOME
    rows = rows[n // 10 :]
    stages = {name: statistics.median(row[i + 1] - row[i] for row in rows) / 1e3 for i, name in enumerate(names)}
    whole = statistics.median(row[-3] - row[0] for row in rows) / 1e3
    return stages | {"frame to body": whole, "CPU of a round trip": spent / 1e3}


def intake(session: Session, at: list[int]) -> Frames:
    """Takes frames as a live session's connection does; `at` holds the time, on both clocks."""

    def failed(e: Exception) -> None:
        raise e

    def nobody(*_: object) -> None: ...

    inbox = Inbox(
        monotonic=lambda: at[0],
        on_due=lambda records, i, venue, mono: session.resume(records, i, Now(venue, mono)),
        on_close=nobody,
    )
    inbox.connect(session.market.pipeline, session.counts, Entries(1 << 30, wake=nobody), sequenced=False)
    compiled = {} if session.compiled is None else {"dispatch": session.compiled.dispatch}
    inbox.give_to(session, instant=Now, on_fault=failed, **compiled)
    inbox.open = True
    reader = Intake(material.decoder("msgpack"), clock=lambda: at[0], on_control=nobody, on_records=nobody, inbox=inbox)
    return Frames(reader, 1 << 20, None)


def measured(checkout: Path, lane: str, kind: str, n: int) -> dict[str, float]:
    """A round in a process of its own, on the modules of a checkout."""
    here = Path(__file__).resolve().parents[1]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join((str(checkout / "src"), str(here)))}
    argv = [sys.executable, "-m", "bench.order_path", "--round", kind, "--lane", lane, "--orders", str(n)]
    out = subprocess.run(argv, env=environment, cwd=here, check=True, capture_output=True, text=True).stdout
    return msgspec.json.decode(out, type=dict[str, float])


def lines(names: tuple[str, ...], kind: str, found: list[dict[str, float]]) -> Iterator[str]:
    """A table of one strategy."""
    yield f"| {kind} strategy, us | " + " | ".join(names) + " |"
    yield "|" + "---|" * (len(names) + 1)
    for stage in found[0]:
        yield f"| {stage} | " + " | ".join(f"{row[stage]:.1f}" for row in found) + " |"
    yield ""


def main() -> int:
    """Measure, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--against", type=Path, help="another checkout, compiled in place")
    parser.add_argument("--orders", type=int, default=2_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--lane", choices=("on", "off"), default="on", help=argparse.SUPPRESS)
    parser.add_argument("--round", choices=("Python", "compiled"), help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.round:
        shell = Clocked() if asked.lane == "on" else Slow()
        found = orders(Stamped if asked.round == "Python" else compiled("Taker"), asked.orders, shell)
        print(msgspec.json.encode(found).decode())
        return 0
    here = Path(__file__).resolve().parents[1]
    ways = [(here, "on"), (here, "off"), *([(asked.against.resolve(), "on")] if asked.against else ())]
    names = ("with the lane", "without it", "the other checkout")[: len(ways)]
    for kind in ("Python", "compiled"):
        rounds = [[measured(*way, kind, asked.orders) for way in ways] for _ in range(asked.rounds)]
        least = [{stage: min(row[i][stage] for row in rounds) for stage in rounds[0][i]} for i in range(len(ways))]
        print(*lines(names, kind, least), sep="\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
