"""Real processes for the end-to-end tests: a venue that outlives the sessions, and sessions that can be killed."""

import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Self

import pytest
import requests

from pyrt.live.control_socket import ask
from pyrt.venues.sim.server.config import DEMO_KEY, DEMO_SECRET

PATIENCE = 180.0  # s that a condition may take on a busy machine
HEADERS = {"APCA-API-KEY-ID": DEMO_KEY, "APCA-API-SECRET-KEY": DEMO_SECRET}


def wait_for(condition: Callable[[], Any], what: str, patience: float = PATIENCE) -> Any:
    """The first true value of a condition; fails with `what` when none comes."""
    give_up = time.monotonic() + patience
    while time.monotonic() < give_up:
        if value := condition():
            return value
        time.sleep(0.02)
    pytest.fail(f"waited {patience} s in vain for {what}")


def environment(**more: str) -> dict[str, str]:
    return {**os.environ, "APCA_API_KEY_ID": DEMO_KEY, "APCA_API_SECRET_KEY": DEMO_SECRET, **more}


class Venue:
    """`python -m pyrt sim` as a process of its own."""

    key, secret = DEMO_KEY, DEMO_SECRET

    def __init__(self, *options: str, rate_limit: int = 0) -> None:
        argv = [sys.executable, "-m", "pyrt", "sim", "--port", "0", "--rate-limit", str(rate_limit), *options]
        self._process = subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        assert line, self._process.communicate()[1]
        self.url: str = json.loads(line)["url"]
        self._session = requests.Session()
        self._session.trust_env = False

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def resident(self) -> int:
        """Bytes of memory that the process holds."""
        return int(Path(f"/proc/{self._process.pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")

    def get(self, path: str, **query: Any) -> Any:
        answer = self._session.get(self.url + path, params=query, headers=HEADERS, timeout=30)
        answer.raise_for_status()
        return answer.json()

    def fault(self, kind: str, **settings: Any) -> None:
        answer = self._session.post(f"{self.url}/sim/faults", json={"kind": kind, **settings}, timeout=30)
        assert answer.ok, answer.text

    def disarm(self) -> None:
        assert self._session.delete(f"{self.url}/sim/faults", timeout=30).ok

    def truth(self) -> dict[str, Any]:
        answer: dict[str, Any] = self.get("/sim/truth")
        return answer

    def open_orders(self) -> list[dict[str, Any]]:
        answer: list[dict[str, Any]] = self.get("/v2/orders", status="open", limit=500)
        return answer

    def close(self) -> None:
        self._session.close()
        self._process.terminate()
        self._process.communicate(timeout=30)


class Run:
    """`python -m pyrt run` as a process; its stderr is read as it comes, so that it never fills a pipe."""

    def __init__(self, *options: str, **env: str) -> None:
        argv = [sys.executable, "-m", "pyrt", "run", *options]
        self.process = subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment(**env))
        self.lines: list[str] = []
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self.lines.append(line.rstrip())

    @property
    def log(self) -> str:
        return "\n".join(self.lines)

    def until(self, text: str) -> Self:
        """Wait for a line that holds a text; fails when the process ends without it."""

        def said() -> bool:
            if text in self.log:
                return True
            assert self.process.poll() is None, f"ended with {self.process.returncode} before {text!r}:\n{self.log}"
            return False

        wait_for(said, f"{text!r} in\n{self.log}")
        return self

    def counted(self, **least: int) -> Self:
        """Wait until the session has counted at least so much: messages, bars, orders, fills."""
        self.until("trading:")
        [state] = re.findall(r"state in (\S+)", self.log)

        def enough() -> bool:
            assert self.process.poll() is None, f"ended with {self.process.returncode} before {least}:\n{self.log}"
            answer = ask(Path(state), verb="status")
            return answer is not None and all(answer["figures"]["counts"].get(name, 0) >= n for name, n in least.items())

        wait_for(enough, f"{least} in\n{self.log}")
        return self

    def kill(self) -> None:
        """kill -9, and wait until it is gone."""
        self.process.send_signal(signal.SIGKILL)
        self._gone()

    def close(self) -> None:
        """Leave nothing behind."""
        if self.process.stdout is not None and not self.process.stdout.closed:
            self.process.kill()
            self._gone()

    def end(self, number: int | None = None, patience: float = PATIENCE) -> str:
        """Send a signal, if one is named; wait for the end; what it printed."""
        if number is not None:
            self.process.send_signal(number)
        return self._gone(patience)

    def _gone(self, patience: float = PATIENCE) -> str:
        assert self.process.stdout is not None
        assert self.process.stderr is not None
        self.process.wait(patience)
        out = self.process.stdout.read()
        self._reader.join(patience)
        self.process.stdout.close()
        self.process.stderr.close()
        return out
