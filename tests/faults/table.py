"""What a run of many seeds comes to: rates, violations, and a table by fault."""

import gc
import time
from collections import Counter
from collections.abc import Iterable
from typing import Any

import msgspec
from tests.faults.installed import sweep
from tests.faults.themes import BOOKS
from tests.faults.world import Verdict, run

# Number in the programme, what it is there, what is done here; then the kinds that the world counts.
FAULTS: tuple[tuple[str, str, tuple[str, ...]], ...] = (
    ("F1", "kill -9 at any step: after a command, a write, a sync, a first byte, an answer", ("kill -9",)),
    ("F2", "power cut: unsynced blocks kept or lost one by one, names in order", ("power cut",)),
    ("F3", "death in recovery, 1 to 5 deep", tuple(f"death in recovery, {n} deep" for n in range(1, 6))),
    ("F4", "torn blocks in the journal at a power cut", ("torn block",)),
    ("F5", "ENOSPC or EIO of a write, a sync, an open, a rename; a sync of up to 5 s", ("disk error", "slow disk")),
    ("F6", "the venue takes an order and its answer is lost", ("lost answer", "reset")),
    ("F7", "a request lands after its deadline", ("held",)),
    (
        "F8",
        "429, 5xx before and after, HTML, cut JSON, refused and slow connections, storms, a part that is down",
        ("429", "error before", "error after", "html", "truncated", "refused", "slow", "lost request", "storm", "outage"),
    ),
    ("F9", "a stream that is silent and answers pings", ("stream silent", "stream silent for good")),
    ("F10", "half-open, reset, closed streams", ("stream half open", "stream reset", "stream closed")),
    ("F12", "upgrades refused; 406 while the venue keeps a dead session", ("ws refused", "406")),
    ("F13", "trade updates lost", ("update lost",)),
    ("F14", "trade updates doubled, late, out of order", ("update doubled", "update late", "update reordered")),
    ("F15", "cancels and replacements that travel while fills happen", ("raced",)),
    (
        "F16",
        "overfill, bust, correction, orders and cancels by hand",
        ("overfill", "bust", "foreign order", "foreign trade", "foreign cancel"),
    ),
    (
        "F17",
        "requests that the venue itself refuses; a POST that somebody on the way repeats",
        ("rejected", "refusal", "doubled request"),
    ),
    (
        "F20",
        "quotes told crossed, locked, one-sided, empty, zero, absurd, dated back or ahead; halts; a symbol that says nothing",
        (*(f"told: {kind}" for kind in BOOKS), "quiet symbol", "halt", "market halt"),
    ),
    ("F21", "frames that are no messages", ("garbage frame",)),
    (
        "F22",
        "the exchange's hours over a clock change, a half day, midnight, a night; prints late, taken back, corrected",
        ("night", "late print", "print taken back"),
    ),
    ("F23", "wall clock off by up to an hour, stepped by one", ("clock step",)),
    (
        "F24",
        "tables locked, slow, ruined, deleted under the session, older after a power cut",
        ("met: tables locked", "met: tables slow", "met: tables ruined", "tables gone", "tables of before a power cut"),
    ),
    ("F27", "a strategy that raises", ("strategy raises",)),
    ("F31", "no subset of open orders exceeds a limit, at each order taken", ("worst case",)),
    ("-", "the same with exits that work: brackets, OTOs, OCOs, trailing stops", ("exits",)),
    ("F32", "the journal replayed in fresh components", ("F32 replay",)),
    ("F33", "healed: all settled within 60 s, ended in order, started again", ("healed",)),
    ("-", "kill switch: nothing leaves after it, nothing of ours is left, verified", ("kill",)),
    ("-", "all cancelled by one request, which is lost, late, or done in part", ("cancel all",)),
)


class Tally(msgspec.Struct):
    """Sums over seeds."""

    mode: str
    first: int = 0
    tree: str = ""  # digest of the sources
    seeds: int = 0
    cpu: float = 0.0  # s of processor time
    crashes: int = 0
    recoveries: int = 0
    points: int = 0
    orders: int = 0
    fills: int = 0
    requests: int = 0
    simulated: float = 0.0  # s
    faults: Counter[str] = msgspec.field(default_factory=Counter)
    at: Counter[str] = msgspec.field(default_factory=Counter)  # at which steps processes died
    hit: Counter[str] = msgspec.field(default_factory=Counter)  # kinds in the seeds that have violations
    violations: list[tuple[int, str]] = []

    def add(self, verdict: Verdict) -> None:
        """Count one seed."""
        self.seeds += 1
        for name in ("crashes", "recoveries", "points", "orders", "fills", "requests"):
            setattr(self, name, getattr(self, name) + getattr(verdict, name))
        self.simulated += verdict.ended / 1e9
        self.faults += verdict.faults
        self.at += verdict.at
        if verdict.violations:
            self.hit += Counter(dict.fromkeys(verdict.faults, 1))
            self.violations.append((verdict.seed, verdict.violations[0]))

    def join(self, others: Iterable["Tally"]) -> None:
        """Take in what other processes did."""
        for other in others:
            for name in ("seeds", "cpu", "crashes", "recoveries", "points", "orders", "fills", "requests", "simulated"):
                setattr(self, name, getattr(self, name) + getattr(other, name))
            self.faults += other.faults
            self.at += other.at
            self.hit += other.hit
            self.violations += other.violations

    def rows(self) -> list[dict[str, Any]]:
        """The table."""
        return [
            {
                "fault": number,
                "injection": text,
                "trials": sum(self.faults[kind] for kind in kinds),
                "violations": max((self.hit[kind] for kind in kinds), default=0),
            }
            for number, text, kinds in FAULTS
        ]

    def report(self) -> dict[str, Any]:
        """Everything, for a file."""
        return {
            "mode": self.mode,
            "sources": self.tree,
            "first_seed": self.first,
            "seeds": self.seeds,
            "cpu_seconds": round(self.cpu, 1),
            "seeds_per_cpu_second": round(self.seeds / max(self.cpu, 1e-9), 1),
            "crash_points": self.crashes,
            "crash_points_per_cpu_second": round(self.crashes / max(self.cpu, 1e-9), 1),
            "recoveries": self.recoveries,
            "steps_at_which_it_could_die": self.points,
            "died_at": dict(self.at.most_common()),
            "orders": self.orders,
            "fills": self.fills,
            "requests": self.requests,
            "simulated_seconds": round(self.simulated),
            "violations": [{"seed": seed, "text": text} for seed, text in sorted(self.violations)],
            "faults": self.rows(),
        }

    def json(self) -> bytes:
        """A file of the report, which also holds what it takes to go on."""
        kept = {**self.report(), "tally": msgspec.to_builtins(self)}
        return msgspec.json.format(msgspec.json.encode(kept), indent=1) + b"\n"

    @classmethod
    def of(cls, file: bytes, tree: str) -> "Tally":
        """What an earlier run of the same sources came to. Raises ValueError for those of others."""
        found = msgspec.convert(msgspec.json.decode(file)["tally"], cls, dec_hook=lambda kind, value: kind(value))
        if found.tree != tree:
            raise ValueError(f"the figures are those of the sources {found.tree[:12]}, these are {tree[:12]}")
        return found

    def text(self) -> str:
        """The table for eyes."""
        lines = [f"{'':4} {'trials':>9} {'violations':>10}  injection"]
        lines += [f"{row['fault']:4} {row['trials']:9} {row['violations']:10}  {row['injection']}" for row in self.rows()]
        return "\n".join(lines)


def chunk(job: tuple[int, int, str]) -> Tally:
    """Some seeds, one after the other: (first, end, mode)."""
    begin, end, mode = job
    tally = Tally(mode, first=begin)
    gc.collect()
    gc.freeze()  # what is imported outlives every history
    before = time.process_time()
    for seed in range(begin, end):
        tally.add(run(seed, mode=mode))
        sweep()
    tally.cpu = time.process_time() - before
    return tally
