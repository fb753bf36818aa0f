"""`python -m bench.derby [--peers PYTHON] [--out FILE] [--only NAME]`: each bot under each fault, judged by the venue's record."""

import argparse
import os
import platform
import signal
import subprocess
import sys
import tempfile
import threading
import time
import tomllib
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import requests

from bench.derby.told import SYMBOL, TARGET
from pyrt.venues.sim.child import SimProcess

HERE = Path(__file__).parent
CALM = 2.5  # s between a bot's first look and the fault
COURSE = 40.0  # s from there to the judgement
PATIENCE = 60.0  # s for a bot to begin
KILL = "kill"  # not a fault of the venue: the bot is killed and started again

Fault = Mapping[str, Any]
FAULTS: dict[str, list[Fault]] = {
    "every third order accepted, answered 504": [{"kind": "gateway_timeout", "every": 3, "count": 3}],
    "every third answer lost, connection cut": [{"kind": "cut_request", "when": "after", "how": "rst", "every": 3, "count": 3}],
    "every fourth order lands 12 s late": [{"kind": "delay_accept", "seconds": 12, "every": 4, "count": 2}],
    "429 for 8 s": [{"kind": "rate_limited", "seconds": 8}],
    "every fourth order accepted, 502 as HTML": [
        {"kind": "server_error", "on": "submits", "status": 502, "body": "html", "applied": True, "every": 4, "count": 2}
    ],
    "every third answer truncated": [{"kind": "truncate", "on": "submits", "how": "closed", "every": 3, "count": 3}],
    "both streams mute for 20 s": [{"kind": "mute_stream", "seconds": 20}, {"kind": "mute_data", "seconds": 20}],
    "both streams half-open": [
        {"kind": "drop_stream", "how": "half_open", "seconds": 0},
        {"kind": "drop_data", "how": "half_open", "seconds": 0},
    ],
    "both streams reset, 406 and 503 for 8 s": [
        {"kind": "drop_stream", "how": "rst", "seconds": 8},
        {"kind": "drop_data", "how": "rst", "seconds": 8},
    ],
    "every fifth fill not told": [{"kind": "drop_updates", "events": ["fill"], "every": 5}],
    "every update told twice": [{"kind": "duplicate_updates"}],
    "kill -9 and a new start": [{"kind": KILL}],
}


class Score(msgspec.Struct, kw_only=True):
    """What the venue knows against what the bot believes."""

    bot: str
    fault: str
    orders: int = 0  # that reached the venue
    unknown: int = 0  # of them, that the bot did not count
    shares: float = 0.0  # held at the venue
    believed: float = 0.0
    blind: float = 0.0  # s: the longest time without data of which the bot had not noticed anything
    left: int = 0  # orders open at the venue
    failed: str = ""


class Bot:
    """A contestant's process and what it prints."""

    def __init__(self, argv: list[str], env: dict[str, str], log: Path) -> None:
        self._log = log.open("ab")
        self._process = subprocess.Popen(argv, env=env, stdout=subprocess.PIPE, stderr=self._log, start_new_session=True)
        self.told: list[dict[str, Any]] = []
        self.ready = threading.Event()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            try:
                said = msgspec.json.decode(line)
            except msgspec.DecodeError:
                continue  # a library's own line
            if not isinstance(said, dict) or "kind" not in said:
                continue
            self.told.append(said)
            if said["kind"] == "ready":
                self.ready.set()

    def last(self) -> dict[str, Any]:
        """Its newest belief."""
        beliefs = [said for said in list(self.told) if said["kind"] == "belief"]
        return beliefs[-1] if beliefs else {"position": 0.0, "orders": 0}

    def end(self, how: signal.Signals, patience: float = 15.0) -> None:
        """End it, and whatever it started."""
        self._process.send_signal(how)
        try:
            self._process.wait(patience)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._reader.join(5)
        self._log.close()


def blind(told: list[dict[str, Any]], since: float, until: float) -> float:
    """The longest gap between data in the course; where the bot noticed something in it, up to there."""
    data = [said["at"] for said in told if said["kind"] == "data" and since <= said["at"] <= until]
    notices = [said["at"] for said in told if said["kind"] == "notice"]
    longest = 0.0
    for before, after in zip([since, *data], [*data, until], strict=True):
        end = min([at for at in notices if before < at < after], default=after)
        longest = max(longest, end - before)
    return longest


def course(bot: str, argv: list[str], fault: str, home: Path) -> Score:
    """One bot, one fault, one venue of its own."""
    score = Score(bot=bot, fault=fault)
    home.mkdir(parents=True)
    with SimProcess(state=home / "venue", seed=1, rate_limit=0) as sim:
        env = {"PATH": os.environ["PATH"], "HOME": str(home), "PYTHONPATH": os.environ.get("PYTHONPATH", "")}
        env |= {"APCA_API_KEY_ID": sim.address.key, "APCA_API_SECRET_KEY": sim.address.secret}
        env |= {"APCA_API_BASE_URL": sim.address.url}
        argv = [*argv, str(home / "journal")]
        lives = [Bot(argv, env, home / "log")]
        if not lives[0].ready.wait(PATIENCE):
            score.failed = "it did not begin"
        time.sleep(CALM)
        begun = time.monotonic()
        for wanted in FAULTS[fault]:
            if wanted["kind"] == KILL:
                lives[0].end(signal.SIGKILL)
                lives.append(Bot(argv, env, home / "log"))
                lives[1].ready.wait(PATIENCE)
                begun = time.monotonic()
            else:
                requests.post(f"{sim.address.url}/sim/faults", json=wanted, timeout=30).raise_for_status()
        time.sleep(COURSE)
        until = time.monotonic()
        judge(score, lives, sim, begun, until)
        lives[-1].end(signal.SIGTERM)
    return score


def judge(score: Score, lives: list[Bot], sim: SimProcess, begun: float, until: float) -> None:
    """Compare while the bot still runs: what it believed last, and what the venue knows."""
    pair = {"APCA-API-KEY-ID": sim.address.key, "APCA-API-SECRET-KEY": sim.address.secret}
    held = requests.get(f"{sim.address.url}/v2/positions/{SYMBOL}", headers=pair, timeout=30)
    orders = requests.get(f"{sim.address.url}/v2/orders", params={"status": "all", "limit": "500"}, headers=pair, timeout=30).json()
    score.orders = len(orders)
    score.unknown = score.orders - sum(life.last()["orders"] for life in lives)
    score.shares = float(held.json()["qty"]) if held.status_code == 200 else 0.0
    score.believed = lives[-1].last()["position"]
    score.left = sum(order["status"] in ("new", "accepted", "pending_new", "partially_filled") for order in orders)
    if requests.get(f"{sim.address.url}/sim/faults", timeout=30).json()["never_fired"]:
        score.failed = "the fault never bit"
    score.blind = blind(lives[-1].told, begun, until)


def number(value: float) -> str:
    """Whole where it is whole."""
    return f"{value:g}"


def page(scores: list[Score], versions: str) -> Iterator[str]:
    """docs/derby.md."""
    yield "# The derby"
    yield ""
    yield f"Written by `make derby` on {datetime.now(UTC):%Y-%m-%d}: {versions}."
    yield "One run each, on `pyrt sim`, never on Alpaca's servers."
    yield ""
    yield f"The job: hold {TARGET} AAPL, one share a market order, one look a second. The fault begins {CALM} s after the"
    yield f"first look; {COURSE:.0f} s later the venue's record is held against what the bot says."
    yield "Sources: `bench/derby/*_bot.py`, in the style of each library's own examples and with its defaults."
    yield ""
    yield "* **nobody knows of**: orders that reached the venue and that the bot did not count; below zero: counted, not there."
    yield "* **shares**: at the venue, and in brackets what the bot believes where that differs: fills lost or doubled."
    yield "* **blind**: the longest time without market data until the bot's library gave a warning, or data came again."
    yield "  lumibot asks for prices by REST at each iteration, without a data stream: the longest time between two answers."
    yield "* pyrt learns a stream's pace over a minute and had run for seconds: until then it calls silence after 30 s, then after"
    yield "  4 s or 30 mean gaps."
    yield ""
    yield "| fault | bot | orders | nobody knows of | shares | blind, s | orders left |"
    yield "|---|---|---|---|---|---|---|"
    for s in scores:
        if s.failed:
            yield f"| {s.fault} | {s.bot} | {s.failed} | | | | |"
            continue
        differs = f" ({number(s.believed)})" if s.believed != s.shares else ""
        yield f"| {s.fault} | {s.bot} | {s.orders} | {s.unknown} | {number(s.shares)}{differs} | {s.blind:.1f} | {s.left} |"
    yield ""
    yield "| over all faults | orders nobody knows of | shares over or under ten | shares believed wrongly | blind at most, s |"
    yield "|---|---|---|---|---|"
    for bot in dict.fromkeys(s.bot for s in scores):
        own = [s for s in scores if s.bot == bot and not s.failed]
        off, wrong = sum(abs(s.shares - TARGET) for s in own), sum(abs(s.shares - s.believed) for s in own)
        unknown = sum(abs(s.unknown) for s in own)
        yield f"| {bot} | {unknown} | {number(off)} | {number(wrong)} | {max((s.blind for s in own), default=0.0):.1f} |"


def version(python: str, package: str) -> str:
    """Of a package in another interpreter."""
    code = f"import importlib.metadata as m; print(m.version({package!r}))"
    return subprocess.run([python, "-c", code], check=True, capture_output=True, text=True).stdout.strip()


def own_version() -> str:
    """Of this source tree."""
    return str(tomllib.loads((HERE.parents[1] / "pyproject.toml").read_text())["project"]["version"])


def main() -> None:
    """Run all, write the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--peers", default="build/derby/bin/python", help="an interpreter that has alpaca-py and lumibot")
    parser.add_argument("--out", type=Path, default=Path("docs/derby.md"))
    parser.add_argument("--only", default="", help="part of the name of a fault")
    parser.add_argument("--jobs", type=int, default=3)
    parser.add_argument("--home", type=Path, help="keep logs and journals there")
    asked = parser.parse_args()
    bots = {
        "pyrt": [sys.executable, str(HERE / "pyrt_bot.py")],
        "alpaca-py": [asked.peers, str(HERE / "alpaca_py_bot.py")],
        "lumibot": [asked.peers, str(HERE / "lumibot_bot.py")],
    }
    courses = [(bot, fault) for fault in FAULTS if asked.only in fault for bot in bots]
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(asked.jobs) as pool:
        home = asked.home or Path(folder)
        runs = [pool.submit(course, bot, bots[bot], fault, home / f"{n}-{bot}") for n, (bot, fault) in enumerate(courses)]
        scores = []
        for run in runs:
            scores.append(run.result())
            print(msgspec.json.encode(scores[-1]).decode(), flush=True)
    versions = ", ".join(f"{name} {version(asked.peers, name)}" for name in ("alpaca-py", "lumibot"))
    text = "\n".join(page(scores, f"pyrt {own_version()}, {versions}, Python {platform.python_version()}"))
    asked.out.write_text(text + "\n")


if __name__ == "__main__":
    main()
