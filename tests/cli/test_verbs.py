"""status, orders, resume, flatten, doctor, config: against a session that runs, and against one that has ended."""

import json
import os
import re
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
from tests.cli.processes import call, environment, pyrt, running, running_sim

from pyrt.cli import app
from pyrt.cli.connect import link_of, loopback
from pyrt.config import Secret, load_config
from pyrt.journal import Journal
from pyrt.journal.inspect import show
from pyrt.live.loop import Pin
from pyrt.model import Defined, Instrument, Instruments, Latched
from pyrt.ports import Sync
from pyrt.venues.alpaca.direct_session import DirectSession
from pyrt.venues.alpaca.keys import Keys
from pyrt.venues.sim.server.config import DEMO_KEY, DEMO_SECRET

HOLDER = """
import os
import signal

import pyrt
from pyrt.model import OrderStatus


class Holder(pyrt.Strategy):
    symbols = ("AAPL", "MSFT")
    interval = "1s"

    def on_start(self):
        self.asked = {}
        self.ending = False

    def on_quote(self, quote):
        if quote.symbol not in self.asked:
            limit = {"limit": "330.00", "tif": "gtc"} if quote.symbol == "MSFT" else {}
            self.asked[quote.symbol] = self.buy(quote.symbol, 3 if limit else 7, **limit)
        elif not self.ending and len(self.asked) == len(self.symbols) and all(map(self.settled, self.asked.values())):
            self.ending = True
            os.kill(os.getpid(), signal.SIGTERM)  # in order: once, however often it is called before that arrives

    def settled(self, order):
        return order.breaches or order.status == (OrderStatus.ACCEPTED if order.limit else OrderStatus.FILLED)

    def on_stop(self):
        os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.fixture(scope="module")
def sim() -> Iterator[str]:
    with running_sim() as url:
        yield url


def latch(state: Path, scope: str = "system") -> None:
    with Journal.open(state / "journal") as journal:
        fact = Latched(level="HALTED", scope=scope, code="KILLED", reason="a drill", who="test", ts=1)
        journal.append(fact, Sync.BEFORE_ACT, 1)
        journal.sync()


def latches(state: Path) -> list[Latched]:
    return [fact for _, _, fact in show(state / "journal") if isinstance(fact, Latched)]


def test_status_of_a_session_that_runs_and_of_one_that_ended(tmp_path: Path) -> None:
    state = tmp_path / "state"
    with running(tmp_path, "--sim-state", str(state), "--seed", "3") as process:
        seen = json.loads(call(tmp_path, "status", "--state", str(state), "--json").stdout)
        assert seen["process"] == process.pid
        assert seen["figures"]["state"] == "trading"
        assert {m["symbol"] for m in seen["figures"]["markets"]} == {"AAPL", "MSFT", "SPY"}
        text = call(tmp_path, "status", "--state", str(state)).stdout
        assert f"process {process.pid}, trading on sim" in text
        assert stat.S_IMODE((state / "control.sock").stat().st_mode) == 0o600
    assert not (state / "control.sock").exists()
    ended = json.loads(call(tmp_path, "status", "--state", str(state), "--json").stdout)
    assert ended["process"] is None
    assert ended["journal"] == seen["journal"]
    assert ended["facts"] >= seen["facts"]
    assert "run        none" in call(tmp_path, "status", "--state", str(state)).stdout


def test_a_latch_opens_through_the_running_session(tmp_path: Path) -> None:
    state = tmp_path / "state"
    latch(state)
    latch(state, "strategy:1")
    with running(tmp_path, "--sim-state", str(state)):
        text = call(tmp_path, "status", "--state", str(state)).stdout
        assert "system is HALTED since test said KILLED: a drill" in text
        both = call(tmp_path, "resume", "--who", "anna", "--why", "done", "--state", str(state))
        assert both.returncode == 1
        assert "name one of system, strategy:SmaCross" in both.stderr
        for scope in ("strategy:SmaCross", "system"):
            done = call(tmp_path, "resume", "--who", "anna", "--why", "done", "--scope", scope, "--state", str(state))
            assert done.returncode == 0, done.stderr
            assert done.stdout == f"{scope} is open again (by the running session)\n"
        assert "latch      none" in call(tmp_path, "status", "--state", str(state)).stdout
    assert [(f.level, f.who) for f in latches(state)][-2:] == [("ACTIVE", "anna"), ("ACTIVE", "anna")]


def test_a_latch_opens_in_the_journal_that_nobody_owns(tmp_path: Path) -> None:
    state = tmp_path / "state"
    latch(state)
    done = call(tmp_path, "resume", "--who", "anna", "--why", "checked", "--state", str(state))
    assert done.returncode == 0, done.stderr
    assert done.stdout == "system is open again (in the journal)\n"
    last = latches(state)[-1]
    assert (last.level, last.scope, last.who, last.reason) == ("ACTIVE", "system", "anna", "checked")
    times = [ts for _, ts, fact in show(state / "journal") if ts]
    assert times[-1] == times[-2]  # recovery begins where the venue's facts end, not at our clock
    again = call(tmp_path, "resume", "--who", "anna", "--why", "checked", "--state", str(state))
    assert again.returncode == 1
    assert "nothing is latched" in again.stderr


@pytest.mark.parametrize("quantity", [("--quantity", "-5"), ("--quantity=-5",), ()])
def test_a_difference_is_explained_only_while_somebody_knows_what_the_venue_has(tmp_path: Path, quantity: tuple[str, ...]) -> None:
    state = tmp_path / "state"
    latch(state)
    facts = len(list(show(state / "journal")))
    done = call(tmp_path, "explain", "AAPL", "--why", "a transfer", *quantity, "--state", str(state))
    assert done.returncode == 1
    assert "no session runs" in done.stderr
    assert "start it, and explain while it runs" in done.stderr
    assert len(list(show(state / "journal"))) == facts


@pytest.mark.parametrize("scope", ["AAPL", "aapl", "instrument:AAPL"])
def test_a_symbol_opens_by_the_word_that_closed_it(tmp_path: Path, scope: str) -> None:
    state = tmp_path / "state"
    latch(state)
    latch(state, "instrument:1")
    with Journal.open(state / "journal") as journal:
        journal.append(Defined(instrument=Instrument(id=1, symbol="AAPL")), Sync.SOON, 0)
        journal.sync()
    done = call(tmp_path, "resume", "--scope", scope, "--who", "anna", "--why", "fine", "--state", str(state))
    assert done.returncode == 0, done.stderr
    assert done.stdout == "instrument:AAPL is open again (in the journal)\n"
    assert latches(state)[-1].scope == "instrument:1"


def account(url: str, path: str) -> list[dict[str, str]]:
    headers = {"APCA-API-KEY-ID": DEMO_KEY, "APCA-API-SECRET-KEY": DEMO_SECRET}
    found: list[dict[str, str]] = requests.get(url + path, headers=headers, timeout=30).json()
    return found


def test_flatten_cancels_and_closes_what_a_killed_session_left(tmp_path: Path) -> None:
    state = str(tmp_path / "state")
    (tmp_path / "holder.py").write_text(HOLDER)
    with running_sim() as url:
        headers = {"APCA-API-KEY-ID": DEMO_KEY, "APCA-API-SECRET-KEY": DEMO_SECRET}
        bought = {"symbol": "TSLA", "qty": "2", "side": "buy", "type": "market", "time_in_force": "day"}
        assert requests.post(url + "/v2/orders", headers=headers, json=bought, timeout=30).status_code == 200
        while not account(url, "/v2/positions"):
            time.sleep(0.05)
        at = ("--sim-url", url, "--journal", state, "--deadline", "2", "--settle", "1")
        killed = pyrt(tmp_path, "run", "--strategy", str(tmp_path / "holder.py"), *at, keys=True)
        assert killed.returncode == -signal.SIGKILL, killed.stderr
        assert sorted(p["symbol"] for p in account(url, "/v2/positions")) == ["AAPL", "TSLA"]
        assert len(account(url, "/v2/orders?status=open")) == 1
        mine = call(tmp_path, "orders", "--state", state)
        assert re.search(r"Holder +BUY 3 MSFT limit 330 +0", mine.stdout), mine.stdout
        # An order that somebody else left there, too.
        foreign = {"symbol": "SPY", "qty": "1", "side": "buy", "type": "limit", "limit_price": "100", "time_in_force": "gtc"}
        assert requests.post(url + "/v2/orders", headers=headers, json=foreign, timeout=30).status_code == 200
        done = pyrt(tmp_path, "flatten", "--yes", "--sim-url", url, "--journal", state, keys=True)
        assert done.returncode == 0, done.stdout + done.stderr
        assert "positions: flat" in done.stdout
        assert account(url, "/v2/positions") == []
        assert account(url, "/v2/orders?status=open") == []
        assert "position   flat" in call(tmp_path, "status", "--state", state).stdout
        told = [json.loads(line) for line in call(tmp_path, "orders", "--all", "--json", "--state", state).stdout.splitlines()]
        closing = [o for o in told if o["side"] == "SELL"]
        assert sorted((o["symbol"], o["quantity"], o["status"], o["strategy"]) for o in closing) == [
            ("AAPL", "7", "FILLED", "Holder"),
            ("TSLA", "2", "FILLED", "external"),  # held before this journal began
        ]


def test_doctor_says_what_is_there(tmp_path: Path, sim: str) -> None:
    done = call(tmp_path, "doctor", "--sim-url", sim, keys=True)
    assert done.returncode == 0, done.stdout + done.stderr
    for found in (r"ok   core +compiled", r"ok   keys +present, from the environment", r"ok   ports +127\.0\.0\.1:\d+ answers"):
        assert re.search(found, done.stdout), done.stdout
    assert re.search(r"disk .*sync p50 [\d,]+ us, p99 [\d,]+ us", done.stdout)
    assert re.search(r"ok   clock +[+-][\d,.]+ ms against ours", done.stdout)
    for section in ("venue", "market", "signals", "risk", "execution", "journal", "strategies"):
        assert re.search(rf"ok   \[{section}\]", done.stdout)
    assert DEMO_SECRET not in done.stdout + done.stderr


def test_doctor_says_what_must_be_mended(tmp_path: Path) -> None:
    (tmp_path / "a.toml").write_text("[risk]\nmax_daily_loss = 0\n[signals]\nquantity = 0\n[venue]\nname = 'nyse'\n")
    done = call(tmp_path, "doctor", "--config", str(tmp_path / "a.toml"), "--journal", "/dev/null/x")
    assert done.returncode == 1
    bad = {line.split()[1] for line in done.stdout.splitlines() if line.startswith("BAD")}
    assert {"[venue]", "[risk]", "[signals]", "disk"} <= bad
    assert "Traceback" not in done.stderr


def test_config_init_show_check(tmp_path: Path) -> None:
    file = tmp_path / "pyrt.toml"
    assert call(tmp_path, "config", "init", str(file)).returncode == 0
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert call(tmp_path, "config", "check", str(file)).returncode == 0
    twice = call(tmp_path, "config", "init", str(file))
    assert twice.returncode == 1
    assert "exists already" in twice.stderr
    secret = "canary-of-config-show"
    file.write_text(f"[venue]\nalpaca_api_key = 'PK1'\nalpaca_secret_key = '{secret}'\n[execution]\nmax_retries = 7\n")
    shown = call(tmp_path, "config", "show", str(file))
    assert shown.returncode == 0
    assert f"max_retries = 7  # {file}" in shown.stdout
    assert 'alpaca_secret_key = "***"' in shown.stdout
    assert secret not in shown.stdout + shown.stderr


@pytest.mark.row("S033")
def test_a_configured_run_trades_what_the_files_say(tmp_path: Path, sim: str) -> None:
    (tmp_path / "market.json").write_text('{"symbols": ["TSLA"], "reconnect_delay_secs": 5, "zmq_pub_address": "tcp://*:5555"}')
    (tmp_path / "desk").mkdir()
    (tmp_path / "desk" / "mine.py").write_text(HOLDER.replace("signal.SIGKILL", "0"))
    (tmp_path / "desk" / "pyrt.toml").write_text("[strategies.Holder]\nuse = 'mine.py'\n[risk]\nmax_order_size = 100\n")
    files = ("--config", str(tmp_path / "market.json"), "--config", str(tmp_path / "desk" / "pyrt.toml"))
    state = str(tmp_path / "state")
    done = pyrt(tmp_path, "run", *files, "--sim-url", sim, "--journal", state, keys=True)
    assert "zmq_pub_address is not used in one process" in done.stderr
    refused = [fact for _, _, fact in show(tmp_path / "state" / "journal") if type(fact).__name__ == "Refused"]
    assert [b.code for b in refused[0].breaches] == ["ORDER_NOTIONAL"]
    assert refused[0].breaches[0].limit == "100"


def test_help_teaches_with_examples(tmp_path: Path) -> None:
    verbs = ("run", "status", "orders", "flatten", "resume", "explain", "journal", "replay", "why", "why-not", "doctor", "config")
    for verb in verbs:
        done = call(tmp_path, verb, "--help")
        assert done.returncode == 0
        assert f"pyrt {verb}" in done.stdout.partition("Usage")[2].partition("\n")[2]
    assert "pyrt run --for 30s" in call(tmp_path, "--help").stdout


def test_completion_knows_the_verbs() -> None:
    for shell in ("bash", "zsh", "fish"):
        script = app.generate_completion(shell=shell)
        for verb in ("run", "flatten", "doctor"):
            assert verb in script


def test_what_reads_our_output_may_go_away(tmp_path: Path) -> None:
    read, write = os.pipe()
    os.close(read)
    argv = [sys.executable, "-m", "pyrt", "config", "show"]
    with os.fdopen(write, "wb") as out:
        done = subprocess.run(argv, stdout=out, stderr=subprocess.PIPE, text=True, env=environment(tmp_path), check=False)
    assert "Traceback" not in done.stderr


@pytest.mark.row("S031")
def test_keys_from_a_file_are_used_and_kept_nowhere(tmp_path: Path) -> None:
    key, secret = "PKCANARY12345", "canary-secret-that-no-file-may-hold"
    (tmp_path / "keys.json").write_text(json.dumps({"alpaca_api_key": key, "alpaca_secret_key": secret}))
    (tmp_path / "keys.json").chmod(0o600)
    state = tmp_path / "state"
    with running_sim("--key", key, "--secret", secret) as url:
        options = ("--config", str(tmp_path / "keys.json"), "--sim-url", url)
        done = pyrt(tmp_path, "run", *options, "--journal", str(state), "--for", "3s")
        assert done.returncode == 0, done.stderr
        doctor = call(tmp_path, "doctor", *options)
        assert doctor.returncode == 0, doctor.stdout
    for said in (done.stdout, done.stderr, doctor.stdout, doctor.stderr):
        assert secret not in said
    written = [path for path in state.rglob("*") if path.is_file()]
    assert any(path.suffix == ".journal" for path in written)
    for path in written:
        assert secret.encode() not in path.read_bytes(), path


@pytest.mark.row("S034", "S069")
@pytest.mark.skipif(sys.platform != "linux", reason="Linux alone watches and places")
@pytest.mark.parametrize("asked", [True, False])
def test_the_loops_processor_and_its_watching_are_as_configured(
    asked: bool, sim: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cpu = max(os.sched_getaffinity(0))
    file = tmp_path / "pyrt.toml"
    file.write_text(
        f"[execution]\nbusy_poll = true\ncpu = {cpu}\nwatchdog = false\n" if asked else "[execution]\nwatchdog = false\n"
    )
    begun: list[tuple[bool, list[int]]] = []

    def run(main: Any, *, busy_poll: bool) -> None:
        plan = main.cr_frame.f_locals["plan"]
        begun.append((busy_poll, [c._cpu for c in plan.companions if isinstance(c, Pin)]))
        main.close()
        raise SystemExit(0)

    monkeypatch.setattr("pyrt.cli.run.loop.run", run)
    done = call(tmp_path, "run", "--config", str(file), "--sim-url", sim, "--sim-state", str(tmp_path / "state"), keys=True)
    assert (done.returncode, done.stderr.count("Error")) == (0, 0), done.stderr
    assert begun == [(asked, [cpu] * asked)]


def test_reconnect_delay_rate_limit_and_transport_reach_the_adapter(sim: str) -> None:
    options = {"market": {"reconnect_delay_secs": 45}, "execution": {"rate_limit_per_minute": 77, "transport": "direct"}}
    config = load_config((), options).config
    link = link_of("sim", loopback(sim), Keys(Secret(DEMO_KEY), Secret(DEMO_SECRET)), config)
    feed = link.feed(Instruments(), sink=lambda records, bars: None, events=lambda event: None, clock=lambda: link.clock)
    assert (feed._backoff.first, feed._backoff.cap) == (45.0, 45.0)
    broker = link.broker(lambda event: None, lambda: link.clock)
    try:
        assert broker.budget.limit == 77
        assert isinstance(broker._cancels._connect(), DirectSession)
    finally:
        broker.close()
