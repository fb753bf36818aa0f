"""A hunt in a process of its own, and who watches it."""

import faulthandler
import hashlib
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Hashable, Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.fuzz.guarded import ROOM, Guarded
from tests.fuzz.mutate import mutated
from tests.fuzz.target import CORPUS, Target, corpus, target

HANGS = 30.0  # s without a new input
BEGINS = 300.0  # s to the first one
POOL = 4000  # inputs kept because they behaved anew


@dataclass(frozen=True)
class Found:
    """How a hunt ended. `input`: the file that holds what broke it, None where nothing did."""

    target: str
    inputs: int
    input: Path | None
    how: str


def replay(fed: Target, guarded: Guarded, files: list[Path]) -> list[bytes]:
    """Feed files as they are, at either end of the room; what they hold."""
    seeds = [fed.seed(path.read_bytes())[:ROOM] for path in files]
    for data in seeds:
        fed(guarded.put(data))
        fed(guarded.put(data, first=True))
    return seeds


def hunt(name: str, shared: Path, seconds: float, seed: int, folder: Path = CORPUS) -> None:
    """In the process that may die: the corpus first, then mutations of it and of whatever behaved anew."""
    faulthandler.enable()
    fed, guarded, rng = target(name, shared.parent), Guarded(shared), random.Random(seed)
    guarded.guard()
    pool = replay(fed, guarded, corpus(name, folder))
    known, until = set[Hashable](), time.monotonic() + seconds
    while time.monotonic() < until:
        data = mutated(pool, rng, fed.words, ROOM)
        behaved = fed(guarded.put(data, first=rng.randrange(4) == 0))
        if behaved not in known and len(pool) < POOL:
            known.add(behaved)
            pool.append(data)


def watch(
    names: list[str], seconds: float, seed: int, *, jobs: int, folder: Path = CORPUS, hangs: float = HANGS
) -> Iterator[Found]:
    """Hunt for each target, `jobs` at a time."""
    with tempfile.TemporaryDirectory(prefix="pyrt-fuzz-") as home:
        waiting, running = list(names), list[_Hunter]()
        try:
            while waiting or running:
                while waiting and len(running) < jobs:
                    running.append(_Hunter(waiting.pop(0), Path(home), seconds, seed, folder))
                for hunter in list(running):
                    if (found := hunter.look(hangs)) is not None:
                        running.remove(hunter)
                        yield found
                time.sleep(0.05)
        finally:
            for hunter in running:
                hunter.end()


class _Hunter:
    """One process, seen from outside."""

    def __init__(self, name: str, home: Path, seconds: float, seed: int, folder: Path) -> None:
        self.name, self.folder = name, folder
        own = home / name
        own.mkdir()
        shared = own / "inputs"
        self.guarded, self.said = Guarded(shared), shared.with_suffix(".txt")
        argv = [sys.executable, "-m", "tests.fuzz", name, "--hunt", str(shared), "--seconds", str(seconds), "--seed", str(seed)]
        with self.said.open("wb") as said:
            self.process = subprocess.Popen([*argv, "--corpus", str(folder)], stdout=said, stderr=said)
        self.begun, self.since = 0, time.monotonic()

    def look(self, hangs: float) -> Found | None:
        code, begun = self.process.poll(), self.guarded.begun
        if code == 0:
            return Found(self.name, begun, None, "")
        if code is not None:
            how = f"signal {-code}" if code < 0 else "an exception"
            return self._found(begun, f"{how}\n{self.said.read_text(errors='replace')[-4000:]}")
        if begun != self.begun:
            self.begun, self.since = begun, time.monotonic()
        elif time.monotonic() - self.since > (hangs if begun else BEGINS):
            self.end()
            return self._found(begun, f"one input took more than {hangs:g} s")
        return None

    def end(self) -> None:
        self.process.kill()
        self.process.wait()

    def _found(self, begun: int, how: str) -> Found:
        if not begun:
            raise RuntimeError(f"{self.name} ended before its first input: {how}")
        data = self.guarded.last
        path = self.folder / self.name / f"found-{hashlib.blake2b(data, digest_size=6).hexdigest()}"
        path.write_bytes(data)
        return Found(self.name, begun, path, how)
