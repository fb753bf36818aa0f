"""Sessions under the shim: compiled once, forked from a process that has imported everything."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import IntEnum, IntFlag
from pathlib import Path
from typing import Any, NamedTuple, Self

import pytest
from tests.e2e.processes import PATIENCE

SOURCE = Path(__file__).parents[1] / "shim" / "shim.c"
ROOT = Path(__file__).parents[3]


class Calls(IntFlag):
    """What the shim counts."""

    WRITE = 1
    SYNC = 2
    NAME = 4
    SEND = 8
    RECV = 16
    ALL = 31
    FILES = 7


class What(IntEnum):
    """What happens at the n-th call."""

    TRACE = 0
    BEFORE = 1
    AFTER = 2
    TORN = 3
    FAIL_ONCE = 4
    FAIL_EVER = 5
    CUT = 6


class Arm(NamedTuple):
    """The shim's order, as its `arm` takes it."""

    directory: str
    filter: str
    port: int
    mask: int
    what: int
    at: int
    error: int
    trace: str


def compile_shim(directory: Path) -> Path:
    """Build the shim, or skip the test and say why."""
    compiler = shutil.which("cc") or shutil.which("gcc")
    if sys.platform != "linux" or compiler is None:
        pytest.skip("NOT RUN: faults at system calls need Linux and a C compiler (cc)")
    target = directory / "shim.so"
    argv = [compiler, "-std=gnu11", "-O1", "-Wall", "-Wextra", "-Werror", "-Wno-nonnull-compare", "-fPIC", "-shared", "-pthread"]
    done = subprocess.run([*argv, "-o", str(target), str(SOURCE), "-ldl"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return target


class Child:
    """A session that a zygote forked."""

    def __init__(self, zygote: "Zygote", pid: int, log: Path) -> None:
        self._zygote, self.pid, self._log = zygote, pid, log
        self.status: int | None = None

    @property
    def log(self) -> str:
        return self._log.read_text() if self._log.exists() else ""

    def wait(self, patience: float = PATIENCE) -> int:
        """How it ended; fails when it does not."""
        assert self.ended(patience) is not None, f"still running after {patience} s:\n{self.log[-3000:]}"
        assert self.status is not None
        return self.status

    def ended(self, patience: float = 0.0) -> int | None:
        if self.status is None:
            self.status = self._zygote.ask(wait=self.pid, patience=patience)
        return self.status

    def until(self, done: Callable[[], Any], what: str, patience: float = PATIENCE) -> bool:
        """Wait for a condition; False where the process ended before it."""
        give_up = time.monotonic() + patience
        while not done():
            if self.ended() is not None:
                return bool(done())
            assert time.monotonic() < give_up, f"waited {patience} s in vain for {what}:\n{self.log[-3000:]}"
            time.sleep(0.005)
        return True

    def until_said(self, text: str, patience: float = PATIENCE) -> bool:
        return self.until(lambda: text in self.log, repr(text), patience)

    def signal(self, number: int) -> None:
        if self.status is None:
            os.kill(self.pid, number)

    def end(self) -> int:
        """Ctrl-C, and wait."""
        self.signal(signal.SIGINT)
        return self.wait()

    def kill(self) -> None:
        if self.ended() is None:
            self.signal(signal.SIGKILL)
            self.wait()


class Zygote:
    """The process that forks; `start` is as good as `python -m pyrt`, in a tenth of the time."""

    def __init__(self, shim: Path, **env: str) -> None:
        path = os.pathsep.join([str(ROOT), *(p for p in sys.path if p)])
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.e2e.faults.zygote"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=ROOT,
            env={**os.environ, "LD_PRELOAD": str(shim), "PYTHONPATH": path, **env},
        )
        self._children: list[Child] = []
        assert self._answer() == "ready"

    def ask(self, **asked: Any) -> Any:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(asked) + "\n")
        self._process.stdin.flush()
        return self._answer()

    def _answer(self) -> Any:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        assert line, "the zygote ended"
        return json.loads(line)

    def start(self, argv: list[str], log: Path, env: dict[str, str], arm: Arm | None = None, mutant: str = "") -> Child:
        child = Child(self, self.ask(argv=argv, log=str(log), env=env, arm=arm, mutant=mutant), log)
        self._children = [c for c in self._children if c.status is None]
        self._children.append(child)
        return child

    def close(self) -> None:
        for child in self._children:
            child.kill()
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait(PATIENCE)
        self._process.stdout.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


@contextmanager
def zygote(directory: Path, **env: str) -> Iterator[Zygote]:
    """A zygote with its own shim."""
    with Zygote(compile_shim(directory), **env) as it:
        yield it
