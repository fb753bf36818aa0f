"""Resident bytes that a session holds for each symbol: `python -m bench.memory N` prints those of N symbols, in its own process."""

import subprocess
import sys
from pathlib import Path

from bench import material
from bench.material import T0
from bench.rig import Shell, assemble, close_bars, symbols
from pyrt.clock import Now
from pyrt.strategies.sma_cross import SmaCross

COUNTS = (1, 10, 100, 1000)
ROUNDS = 60  # of trades and quotes for every symbol, one second apart


def resident() -> int:
    """Resident bytes of this process; Linux only."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096


def session_of(n: int) -> int:
    """Bytes that a session of n symbols adds once it has seen trades, quotes and bars of all of them."""
    warm = assemble(Shell(lambda body: None), [SmaCross(symbols=symbols(1), warmup=0)], Now(T0, T0))
    warm.on_market(material.mixed(1000), Now(T0, T0))
    before = resident()
    session = assemble(Shell(lambda body: None), [SmaCross(symbols=symbols(n), warmup=0)], Now(T0, T0))
    for k in range(ROUNDS):
        for make in (material.trades, material.quotes):
            records = make(n, n, seed=k)
            records["ts_event"] = records["ts_recv"] = T0 + k * 10**9
            session.on_market(records, Now(T0 + k * 10**9, T0 + k * 10**9))
        close_bars(session, Now(T0 + k * 10**9, T0 + k * 10**9))
    if session.counts["bars"] < n * ROUNDS // 2:
        raise RuntimeError(f"{session.counts['bars']} bars of {n} symbols")
    return resident() - before


def measure() -> dict[int, int]:
    """Added bytes by number of symbols, each in a process of its own."""
    argv = [sys.executable, "-m", "bench.memory"]
    return {n: int(subprocess.run([*argv, str(n)], capture_output=True, text=True, check=True).stdout) for n in COUNTS}


if __name__ == "__main__":
    print(session_of(int(sys.argv[1])))
