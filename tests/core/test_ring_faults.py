"""The ring when writers die at each store, between real processes and threads, and with first pages that somebody hostile wrote."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.core.ring import COMPILER, build

from pyrt import RingBuffer
from pyrt._core.ring import RingError
from pyrt._core.types import market_dtype

pytestmark = [
    pytest.mark.row("S014"),
    pytest.mark.skipif(sys.platform != "linux" or COMPILER is None, reason="needs Linux and a C compiler"),
]
ASAN = ("-g", "-fsanitize=address,undefined", "-fno-sanitize-recover=all")
TSAN = ("-g", "-fsanitize=thread", "-Wno-tsan")  # gcc says that it does not follow fences: all accesses are atomic without them
Program = Callable[..., Path]


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Program:
    """Compiles a C program once for all tests here."""
    folder, made = tmp_path_factory.mktemp("programs"), dict[tuple[str, ...], Path]()

    def get(name: str, *flags: str) -> Path:
        if (name, *flags) not in made:
            made[name, *flags] = build(name, folder, *flags)
        return made[name, *flags]

    return get


def run(binary: Path, *args: object) -> dict[str, Any]:
    """What a program says; fails with what it says where it ends badly."""
    env = {name: value for name, value in os.environ.items() if name != "LD_PRELOAD"}  # two sanitizers do not go together
    done = subprocess.run([str(binary), *map(str, args)], env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{args}: {done.stdout}{done.stderr}"
    said: dict[str, Any] = json.loads(done.stdout)
    return said


def numbers(records: np.ndarray[Any, Any]) -> list[int]:
    """Which records of a drill these are; each word says so, and which life and word it is."""
    cells = np.frombuffer(records.tobytes(), "<u8").reshape(len(records), 8)
    assert ((cells & np.uint64(15)) == np.arange(8, dtype="<u8")).all()
    assert ((cells >> np.uint64(4)) == (cells[:, :1] >> np.uint64(4))).all()
    return [int(x) for x in cells[:, 0] >> np.uint64(16)]


def drill_each_store(home: Path, drill: Path, last: int) -> int:
    """A writer killed before its first, second ... store, each going on where the one before ended; how many records were read."""
    with RingBuffer.create("drill", capacity=64, directory=home) as writer:
        path = writer.path
    reader = RingBuffer.open("drill", directory=home)
    expected = total = 0
    for store in range(1, last + 1):
        killed = subprocess.run([str(drill), "write", path, str(store)], check=False)
        assert killed.returncode == -signal.SIGKILL
        assert reader.state == ("closed" if store <= 4 else "dead")  # the fourth store says that the ring is open again
        while reader.lag:
            lost = reader.lost
            found = numbers(reader.read())
            expected += reader.lost - lost
            assert found == list(range(expected, expected + len(found)))
            expected += len(found)
            total += len(found)
    assert expected == reader.head
    done = subprocess.run([str(drill), "write", path, "0"], check=False)
    assert done.returncode == 0
    assert numbers(reader.read())[-1] == reader.head - 1
    assert reader.state == "dead"
    reader.close()
    return total


def test_a_writer_killed_at_each_store_leaves_nothing_torn(tmp_path: Path, program: Program) -> None:
    tmp_path.chmod(0o700)
    assert drill_each_store(tmp_path, program("drill", "-DDYING=1"), 60) > 50


@pytest.mark.nightly
@pytest.mark.timeout(3600)
def test_a_thousand_stores_and_kills(tmp_path: Path, program: Program) -> None:
    tmp_path.chmod(0o700)
    drill = program("drill", "-DDYING=1")
    print("killed at each of 1,000 stores, records read:", drill_each_store(tmp_path, drill, 1000))
    print(run(drill, "kill", 5000, 1), run(drill, "deaths", 1_000_000, 1))


def test_writers_killed_beside_their_readers(program: Program) -> None:
    drill = program("drill", "-DDYING=1")
    for said, least in ((run(drill, "kill", 50, 1), 500), (run(drill, "deaths", 20_000, 1), 200_000)):
        assert said["torn"] == 0
        assert said["published"] > least
        assert said["read"] > said["published"] / 2


@pytest.mark.parametrize("every", [1, 64])
def test_every_record_arrives_in_another_process(program: Program, every: int) -> None:
    said = run(program("drill"), "pair", 100_000, every)
    assert (said["records"], said["lost"], said["torn"]) == (100_000, 0, 0)


@pytest.mark.nightly
@pytest.mark.timeout(3600)
def test_a_hundred_million_records_arrive(program: Program) -> None:
    drill = program("drill")
    for said in (run(drill, "pair", 100_000_000, 64), run(drill, "pair", 100_000_000, 1)):
        assert (said["lost"], said["torn"]) == (0, 0)
        print(said)
    print(run(drill, "latency", 1_000_000))


@pytest.mark.parametrize("flags", [(), TSAN], ids=["as built", "thread sanitizer"])
@pytest.mark.parametrize("seconds", [1, pytest.param(600, marks=[pytest.mark.nightly, pytest.mark.timeout(3600)])])
def test_readers_that_are_overrun_see_nothing_torn(program: Program, seconds: int, flags: tuple[str, ...]) -> None:
    said = run(program("drill", *flags), "threads", seconds)
    assert said["torn"] == 0
    assert said["lost"] > 0
    assert said["read"] > 0
    print(said)


@pytest.mark.parametrize("rounds", [10_000, pytest.param(2_000_000, marks=[pytest.mark.nightly, pytest.mark.timeout(3600)])])
def test_hostile_pages_lead_nowhere(tmp_path: Path, program: Program, rounds: int) -> None:
    tmp_path.chmod(0o700)
    pages = []
    for name, capacity, n in (("fresh", 64, 0), ("full", 256, 1000), ("wide", 2, 3)):
        with RingBuffer.create(name, capacity=capacity, directory=tmp_path) as writer:
            writer.publish(np.zeros(n, market_dtype))
            pages.append(writer.path)
    said = run(program("fuzz", *ASAN), rounds, 1, *pages)
    assert said["accepted"] > rounds / 10
    assert said["records"] > 0
    assert said["damaged"] > 0
    print(said)


@pytest.mark.parametrize("rounds", [300, pytest.param(1_000_000, marks=[pytest.mark.nightly, pytest.mark.timeout(3600)])])
def test_the_library_refuses_hostile_files_or_reads_within_them(tmp_path: Path, rounds: int) -> None:
    """The same through RingBuffer.open, where `make sanitize` watches the whole module."""
    tmp_path.chmod(0o700)
    with RingBuffer.create("victim", capacity=64, directory=tmp_path) as writer:
        writer.publish(np.zeros(40, market_dtype))
        path = Path(writer.path)
    good, chance = path.read_bytes(), np.random.default_rng(1)
    opened = refused = 0
    out = np.zeros(100, market_dtype)
    for _ in range(rounds):
        page = bytearray(good[:256])
        for place in chance.integers(0, 256, chance.integers(1, 4)):
            page[place] = chance.integers(0, 256)
        with path.open("r+b") as file:
            file.write(page)
        if chance.random() < 0.1:
            os.truncate(path, int(chance.integers(0, len(good))))
        try:
            with RingBuffer.open("victim", start="oldest", directory=tmp_path) as reader:
                opened += 1
                for _ in range(3):
                    reader.read_into(out)
                assert not reader.wait(0) or reader.lag
        except (RingError, FileNotFoundError):
            refused += 1
        if path.stat().st_size != len(good):
            path.write_bytes(good)
    assert opened + refused >= rounds
    assert min(opened, refused) > rounds / 10
