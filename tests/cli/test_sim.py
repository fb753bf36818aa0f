"""`python -m pyrt sim` as a process: what it prints, how it ends, what it keeps."""

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import requests

from pyrt.cli import app
from pyrt.errors import ConfigError

ORDER = {"symbol": "AAPL", "qty": "1", "side": "buy", "type": "limit", "limit_price": "1.00", "time_in_force": "gtc"}


class Sim:
    """The process, its first line, and the end of the pipe that holds it up."""

    def __init__(self, process: subprocess.Popen[str], control: int) -> None:
        self.process = process
        self.control = control
        assert process.stdout is not None
        self.said = json.loads(process.stdout.readline())
        self.told = process.stdout.readline()

    def call(self, method: str, path: str, secret: str = "", **options: Any) -> requests.Response:
        keys = {"APCA-API-KEY-ID": self.said["key"], "APCA-API-SECRET-KEY": secret or self.said["secret"]}
        return requests.request(method, self.said["url"] + path, headers=keys, timeout=30, **options)


@contextmanager
def sim(*options: str, first_line: str = "{}") -> Iterator[Sim]:
    there, here = os.pipe()
    try:
        process = subprocess.Popen(
            [sys.executable, "-m", "pyrt", "sim", "--control-fd", str(there), *options],
            pass_fds=[there],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
    finally:
        os.close(there)
    os.write(here, first_line.encode() + b"\n")
    try:
        yield Sim(process, here)
    finally:
        process.kill()
        process.communicate()
        os.close(here)


def lines(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", "pyrt", *arguments], capture_output=True, text=True, timeout=60, check=False)


@pytest.mark.row("X08")
def test_closing_the_pipe_saves_and_ends(tmp_path: Path) -> None:
    with sim("--state", str(tmp_path)) as venue:
        assert venue.said["url"].startswith("http://127.0.0.1:")
        assert venue.said["data_url"].endswith("/v2/iex")
        for part in ("url", "data_url", "stream_url", "key", "secret"):
            assert venue.said[part] in venue.told
        account = venue.call("GET", "/v2/account").json()["id"]
        assert venue.call("POST", "/v2/orders", json={**ORDER, "client_order_id": "one"}).status_code == 200
        null = os.open(os.devnull, os.O_RDWR)
        os.dup2(null, venue.control)  # the same number, another file: the pipe is closed
        os.close(null)
        assert venue.process.wait(60) == 0
        assert venue.process.stderr is not None
        assert venue.process.stderr.read() == ""
    with sim("--state", str(tmp_path)) as venue:
        assert venue.call("GET", "/v2/account").json()["id"] == account
        assert venue.call("GET", "/v2/orders:by_client_order_id?client_order_id=one").json()["status"] == "new"
        venue.process.send_signal(signal.SIGTERM)
        assert venue.process.wait(60) == 0


def test_a_killed_venue_keeps_its_orders_and_its_time_goes_on(tmp_path: Path) -> None:
    with sim("--state", str(tmp_path)) as venue:
        assert venue.call("POST", "/v2/orders", json={**ORDER, "client_order_id": "one"}).status_code == 200
        seen = venue.call("GET", "/sim/clock").json()["now_ns"]
        venue.process.kill()
        venue.process.wait(60)
    with sim("--state", str(tmp_path)) as venue:
        assert venue.call("GET", "/sim/clock").json()["epoch_ns"] > seen  # time never goes back, not even then
        assert venue.call("GET", "/v2/orders:by_client_order_id?client_order_id=one").status_code == 200


def test_a_secret_comes_through_the_pipe_and_is_not_printed() -> None:
    with sim(first_line='{"key":"MINE","secret":"only-i-know"}') as venue:
        assert (venue.said["key"], venue.said["secret"]) == ("MINE", "***")
        assert "only-i-know" not in venue.told
        assert venue.call("GET", "/v2/account", secret="only-i-know").status_code == 200
        assert venue.call("GET", "/v2/account", secret="wrong").status_code == 401
        arguments = Path(f"/proc/{venue.process.pid}/cmdline")
        if arguments.exists():
            assert b"only-i-know" not in arguments.read_bytes()


@pytest.mark.parametrize(
    ("option", "value", "words"),
    [
        ("--speed", "fast", "fast is not a speed"),
        ("--speed", "0", "0 is not a speed"),
        ("--start", "noon", "'noon' is not an RFC 3339 time"),
        ("--cash", "-5", "-5 is not an amount"),
        ("--cash", "1e99", "1e99 is not an amount"),
        ("--port", "70000", "70000 is out of range"),
        ("--seed", "-1", "-1 is out of range"),
        ("--rate-limit", "-1", "-1 is out of range"),
        ("--market", "weather", "no market 'weather'"),
        ("--control-fd", "999", "cannot read the control pipe"),
    ],
)
def test_mistakes_say_what_and_how_to_mend(option: str, value: str, words: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(words)) as mistake:
        app(["sim", f"{option}={value}"])
    assert mistake.value.mend


def test_a_mistake_is_one_line() -> None:
    ended = lines("sim", "--market", "weather")
    assert ended.returncode == 1
    assert "no market 'weather'" in ended.stderr
    assert ended.stderr.count("\n") == 1


def test_help_imports_only_the_command_line() -> None:
    code = "import sys; sys.argv = ['pyrt', '--help']; from pyrt.__main__ import main\ntry: main()\nexcept SystemExit: pass\n"
    code += "print([m for m in sys.modules if m.split('.')[0] in ('numpy', 'aiohttp', 'msgspec') or m.startswith('pyrt.venues')])"
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert "sim" in ended.stdout
    assert ended.stdout.splitlines()[-1] == "[]"
