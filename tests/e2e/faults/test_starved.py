"""F27: a session without the processor, or with a strategy that keeps it: the kill switch and the watchdog work from outside."""

import os
import signal
import threading
import time
from pathlib import Path

import pytest
from tests.e2e.faults.processes import Zygote
from tests.e2e.faults.record import record
from tests.e2e.faults.scenario import Life, life
from tests.e2e.processes import wait_for
from tests.sizes import size

from pyrt.monitor import RiskPage

PROMISED = 0.1  # s until the order path is blocked
SLICE = 1.0  # s of standstill that a slow session may have; a machine that gives nobody more has a dead one


def posts(it: Life) -> int:
    return sum(r["method"] in ("POST", "PATCH") for r in it.truth()["requests"])


def kill(it: Life) -> float:
    """`pyrt kill` in a process of its own; s until no order can leave any more."""
    page = RiskPage.find(it.home)
    assert page is not None
    begun = time.monotonic()
    argv = ["kill", "--state", str(it.home), "--why", "a drill", "--who", "jane", "--wait", "0.1"]
    command = it.zygote.start(argv, it.directory / "kill.log", {})
    while not page.blocks():
        assert time.monotonic() < begun + 60, command.log
        time.sleep(0.0005)
    took = time.monotonic() - begun
    page.close()
    assert command.wait() == 3, command.log  # blocked, but the session cannot say so yet
    assert "no order leaves it" in command.log, command.log
    return took


def hogged(zygote: Zygote, directory: Path) -> tuple[float, list[str]]:
    """A strategy holds the interpreter, with an order just decided, until a kill blocked it: s that this took, violations."""
    with life(zygote, directory) as it:
        run = it.start(trouble="hog", rounds=1000)
        run.until(it.sign.exists, "the hog")
        took = kill(it)  # while it is held: there is no other way than from outside
        sent = posts(it)
        it.sign.unlink()
        run.until_said("SWEPT: system")
        told = [] if posts(it) == sent else [f"{posts(it) - sent} orders left after the kill"]
        if left := it.get("/v2/orders?status=open"):
            told.append(f"{len(left)} orders work after the kill")
        run.end()
        return took, told + it.violations()


@pytest.mark.row("S047")
def test_a_kill_while_a_strategy_holds_the_interpreter(zygote: Zygote, tmp_path: Path) -> None:
    _, told = hogged(zygote, tmp_path / "life")
    assert not told, "\n".join(told)


@pytest.mark.row("S047")
def test_the_watchdog_while_a_strategy_loops_and_a_start_after_kill_9(zygote: Zygote, tmp_path: Path) -> None:
    with life(zygote, tmp_path / "life") as it:
        run = it.start("--silence", "1", watchdog=True, trouble="loop", at=2, rounds=1000)
        run.until(it.sign.exists, "the loop")
        wait_for(lambda: "verified twice" in (it.home / "watchdog.log").read_text(), "the watchdog's proof")
        assert it.get("/v2/orders?status=open") == []
        run.kill()
        assert it.recover() == []


@pytest.mark.nightly
def test_an_exception_halts_the_strategy_and_nothing_is_lost(zygote: Zygote, tmp_path: Path) -> None:
    with life(zygote, tmp_path / "life") as it:
        run = it.start(trouble="fail", at=2, rounds=1000)
        run.until_said("SWEPT: entries of strategy")
        assert it.get("/v2/orders?status=open") == []
        assert run.end() == 0, run.log
        assert it.recover(sweep=False) == []


def starved(zygote: Zygote, directory: Path, share: float) -> list[str]:
    """A whole life on a share of the processor, in slices of 100 ms."""
    with life(zygote, directory) as it:
        run = it.start("--silence", "5", watchdog=True)
        over, longest = threading.Event(), 0.0

        def starve() -> None:
            nonlocal longest
            while not over.wait(0.1 * share):
                os.kill(run.pid, signal.SIGSTOP)
                begun = time.monotonic()
                time.sleep(0.1 * (1 - share))
                os.kill(run.pid, signal.SIGCONT)
                longest = max(longest, time.monotonic() - begun)

        thread = threading.Thread(target=starve)
        thread.start()
        try:
            run.until_said("the life is over", 120)
        finally:
            over.set()
            thread.join()
        told = [] if run.wait() == 0 else [f"ended with {run.status}: {run.log[-2000:]}"]
        if longest < SLICE and "verified twice" in (it.home / "watchdog.log").read_text():
            told.append("the watchdog took a slow session for a dead one")
        return told + it.violations()


def test_a_tenth_of_the_processor(zygote: Zygote, tmp_path: Path) -> None:
    assert not (told := starved(zygote, tmp_path / "life", 0.1)), "\n".join(told)


@pytest.mark.nightly
@pytest.mark.timeout(3600)
def test_many_hogs(zygote: Zygote, tmp_path: Path) -> None:
    drills = [hogged(zygote, tmp_path / f"hog{n}") for n in range(size("HOGS", 20))]
    took = sorted(seconds for seconds, _ in drills)
    told = [fault for _, faults in drills for fault in faults]
    late = sum(seconds > PROMISED for seconds in took)
    figures = {"p50": took[len(took) // 2], "max": took[-1]}
    print(f"F27: {len(drills)} kills while a strategy held the interpreter: {figures}, {late} later than {PROMISED} s")
    for n in range(10):
        told += starved(zygote, tmp_path / f"starved{n}", 0.1)
    what = "interpreter held by a strategy and kill from another process; a tenth of the processor"
    record("F27", "hog", what, len(drills) + 10, len(told), kill_blocks_s=figures)
    assert not told, "\n".join(told)
    assert took[len(took) // 2] <= PROMISED, took
