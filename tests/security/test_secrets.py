"""S1, F29: a secret in any place of the configuration appears in nothing that pyrt writes, says or hands on."""

import copy
import json
import logging
import os
import pickle
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from io import StringIO
from pathlib import Path

import msgspec
import pytest
import requests
from tests.cli.processes import call, environment, running, running_sim
from tests.security.canary import ALL, BEAT, HOOK, KEY, PASSWORD, SECRET, family, leaking_files, leaks

from pyrt.config import Secret, SecretFilter, know, load_config, mask_logs, masked
from pyrt.config.log_limit import SAME, SPAN, LogLimit
from pyrt.errors import ConfigError
from pyrt.live.recipe import recipe_of
from pyrt.live.sweep_alert import handed_on
from pyrt.process import bare_environment, holding
from pyrt.strategies import Strategy
from pyrt.venues.alpaca.keys import Keys, load_keys
from pyrt.venues.sim.child import Address
from pyrt.venues.sim.server.config import SimConfig
from pyrt.watchdog import WatchOrder

LINUX = pytest.mark.skipif(sys.platform != "linux", reason="looks at /proc")
ALERTS = {
    "webhook": f"http://127.0.0.1:9/{HOOK}",
    "heartbeat": f"http://127.0.0.1:9/{BEAT}",
    "heartbeat_secs": 0.5,
    "level": "warning",
    "smtp": "127.0.0.1:9",
    "smtp_user": "me",
    "smtp_password": PASSWORD,
    "mail_to": "me@example.com",
}


def private(path: Path, text: str) -> Path:
    path.write_text(text)
    path.chmod(0o600)
    return path


def table(name: str, values: dict[str, object]) -> str:
    return f"[{name}]\n" + "".join(f"{key} = {json.dumps(value)}\n" for key, value in values.items())


def from_environment(place: Path) -> tuple[dict[str, str], str, list[Path]]:
    return {"APCA_API_KEY_ID": KEY, "APCA_API_SECRET_KEY": SECRET}, "", []


def from_other_names(place: Path) -> tuple[dict[str, str], str, list[Path]]:
    return {"ALPACA_API_KEY": KEY, "ALPACA_SECRET_KEY": SECRET}, "", []


def from_named_files(place: Path) -> tuple[dict[str, str], str, list[Path]]:
    files = [private(place / "key", KEY + "\n"), private(place / "secret", SECRET + "\n")]
    return {"APCA_API_KEY_ID_FILE": str(files[0]), "APCA_API_SECRET_KEY_FILE": str(files[1])}, "", files


def from_credentials(place: Path) -> tuple[dict[str, str], str, list[Path]]:
    (place / "credentials").mkdir()
    files = [private(place / "credentials" / n, v) for n, v in (("APCA_API_KEY_ID", KEY), ("APCA_API_SECRET_KEY", SECRET))]
    return {"CREDENTIALS_DIRECTORY": str(place / "credentials")}, "", files


def from_the_configuration(place: Path) -> tuple[dict[str, str], str, list[Path]]:
    return {}, table("venue", {"alpaca_api_key": KEY, "alpaca_secret_key": SECRET}), []


Place = Callable[[Path], tuple[dict[str, str], str, list[Path]]]
NIGHTLY = [pytest.param(place, marks=pytest.mark.nightly) for place in (from_other_names, from_named_files, from_credentials)]


@LINUX
@pytest.mark.parametrize("place", [from_environment, pytest.param(from_the_configuration, marks=pytest.mark.nightly), *NIGHTLY])
def test_a_whole_session_and_those_who_look_at_it_leak_nothing(tmp_path: Path, place: Place) -> None:
    variables, venue, holders = place(tmp_path)
    config = private(tmp_path / "pyrt.toml", venue + table("alerts", ALERTS))
    state = tmp_path / "state"
    options = ("--config", str(config), "--journal", str(state), "--deadline", "1", "--settle", "0.5")
    said: list[str] = []
    with running_sim("--key", KEY, "--secret", SECRET) as url, pytest.MonkeyPatch.context() as patch:
        patch.setattr("tests.cli.processes.environment", lambda t, _o=environment, **m: {**_o(t, **m), **variables})
        with running(tmp_path, *options, "--sim-url", url) as process:
            children = family(process.pid)
            assert children, "the watchdog is a child"
            for pid in children:
                assert not leaks(Path(f"/proc/{pid}/environ").read_bytes())
            for pid in (process.pid, *children):
                assert not leaks(Path(f"/proc/{pid}/cmdline").read_bytes())
                limits = Path(f"/proc/{pid}/limits").read_text()
                assert next(line.split()[4:6] for line in limits.splitlines() if "core file" in line) == ["0", "0"]
            said.append(call(tmp_path, "status", "--state", str(state), "--json").stdout)
            killed = call(tmp_path, "kill", "--state", str(state), "--why", "drill", "--wait", "20")
            said += [killed.stdout, killed.stderr]
            process.terminate()
            said += process.communicate(timeout=60)
        doctor = call(tmp_path, "doctor", "--config", str(config), "--sim-url", url)
        said += [doctor.stdout, doctor.stderr]
    for verb in (("journal", "show", str(state)), ("journal", "verify", str(state)), ("orders", "--all", "--state", str(state))):
        done = call(tmp_path, *verb)
        said += [done.stdout, done.stderr]
    said.append(call(tmp_path, "config", "show", str(config)).stdout)
    for text in said:
        assert not leaks(text), text
    names = {path.suffix or path.name for path in state.rglob("*") if path.is_file()}
    assert {".journal", ".inbox", ".sqlite", ".log"} <= names, "each kind of file was looked at"
    assert not leaking_files(tmp_path, but=[config, *holders])
    for path in state.rglob("*"):
        assert path.stat().st_mode & 0o077 == 0, path
    assert state.stat().st_mode & 0o777 == 0o700


FAULTS: dict[str, dict[str, object]] = {
    "server_error": {"on": "trading", "count": 3},
    "truncate": {"on": "trading", "count": 2},
    "drop_stream": {"seconds": 0.2, "how": "rst"},
    "drop_data": {"seconds": 0.2, "how": "fin"},
}


def fired(url: str) -> dict[str, int]:
    """How often each kind of fault struck."""
    told = requests.get(f"{url}/sim/faults", timeout=30).json()["fired"]
    return {kind: told.get(kind, 0) for kind in FAULTS}


@LINUX
@pytest.mark.nightly
def test_a_session_under_faults_that_dies_and_starts_again_leaks_nothing(tmp_path: Path) -> None:
    """What failed requests, broken streams, a kill -9, the recovery after it and a venue that knows no such key leave behind."""
    variables, _, _ = from_environment(tmp_path)
    config = private(tmp_path / "pyrt.toml", table("alerts", ALERTS))
    state = tmp_path / "state"
    options = ("--config", str(config), "--journal", str(state), "--deadline", "1", "--settle", "0.5")
    said: list[str] = []
    with running_sim("--key", KEY, "--secret", SECRET) as url, pytest.MonkeyPatch.context() as patch:
        patch.setattr("tests.cli.processes.environment", lambda t, _o=environment, **m: {**_o(t, **m), **variables})
        with running(tmp_path, *options, "--sim-url", url) as process:
            for kind, settings in FAULTS.items():
                requests.post(f"{url}/sim/faults", json={"kind": kind, **settings}, timeout=30).raise_for_status()
            killed = call(tmp_path, "kill", "--state", str(state), "--why", "drill", "--wait", "20")
            while not all(struck := fired(url).values()) and process.poll() is None:
                call(tmp_path, "status", "--state", str(state))  # takes its time
            assert all(struck), fired(url)
            process.kill()
            said += [killed.stdout, killed.stderr, *process.communicate(timeout=60)]
        requests.delete(f"{url}/sim/faults", timeout=30).raise_for_status()
        with running(tmp_path, *options, "--sim-url", url) as process:
            said.append(call(tmp_path, "why-not", "--state", str(state)).stdout)
            process.terminate()
            said += process.communicate(timeout=60)
        with running_sim("--key", "PKSOMEBODYELSE", "--secret", "a secret of somebody else") as other:
            strange = ("--config", str(config), "--sim-url", other)
            for verb in (("run", "--journal", str(tmp_path / "other"), *strange), ("doctor", *strange)):
                done = call(tmp_path, *verb)
                assert done.returncode, "no such key"
                said += [done.stdout, done.stderr]
    for verb in (("journal", "show", str(state)), ("journal", "verify", str(state)), ("status", "--state", str(state), "--json")):
        done = call(tmp_path, *verb)
        said += [done.stdout, done.stderr]
    for text in said:
        assert not leaks(text), text
    assert not leaking_files(tmp_path, but=[config])


def test_the_search_finds_what_is_there(tmp_path: Path) -> None:
    import base64
    from urllib.parse import quote

    for text in (SECRET, quote(SECRET, safe=""), base64.b64encode(f"{KEY}:{SECRET}".encode()).decode(), SECRET.encode().hex()):
        assert leaks(f"x{text}y")
    private(tmp_path / "f", SECRET)
    assert leaking_files(tmp_path)
    assert not leaking_files(tmp_path, but=[tmp_path / "f"])


@pytest.mark.parametrize(
    "arguments",
    [
        ("run", "--sim-url", f"http://{KEY}:{SECRET}@127.0.0.1:1"),
        ("run", "--sim-url", f"http://127.0.0.1:1/?key={KEY}&secret={SECRET}"),
        (
            "download",
            "AAPL",
            "--start",
            "2026-01-02",
            "--end",
            "2026-01-03",
            "--to",
            "x",
            "--sim-url",
            f"http://{SECRET}@127.0.0.1:1",
        ),
        ("doctor", "--venue", "alpaca-paper", "--sim-url", f"http://x:{SECRET}@127.0.0.1"),
        ("run", "--venue", SECRET),
        ("run", "--api-key", KEY),
        ("run", f"--secret={SECRET}"),
    ],
)
def test_keys_given_as_arguments_are_not_repeated(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            "tests.cli.processes.environment",
            lambda t, _o=environment, **m: {**_o(t, **m), "APCA_API_KEY_ID": KEY, "APCA_API_SECRET_KEY": SECRET},
        )
        done = call(tmp_path, *arguments)
    assert done.returncode, "keys in arguments are refused"
    assert not leaks(done.stdout + done.stderr), done.stderr


@pytest.mark.parametrize(
    "text",
    [
        table("venue", {"alpaca_api_key": KEY, "alpaca_secret_key": SECRET + " "}),
        table("venue", {"alpaca_api_key": KEY, "speed": 7, "alpaca_secret_key": SECRET}),
        table("alerts", {"webhook": HOOK}),
        table("alerts", {"smtp_password": [PASSWORD]}),
        table("alerts", {"webhook": f"http://example.com/{HOOK}"}),
        f'[strategies.X.deep.deeper]\nunlisted = "{SECRET}"\napi_key = "{KEY}"\n',
        f'[venue]\nalpaca_api_key = "{KEY}"\nalpaca_secret_key = "{SECRET}',
    ],
)
def test_no_error_of_a_configuration_holds_a_value(tmp_path: Path, text: str) -> None:
    file = private(tmp_path / "c.toml", text)
    for verb in (("config", "show"), ("config", "check"), ("doctor", "--config")):
        done = call(tmp_path, *verb, str(file))
        unlisted = "unlisted" in text and verb == ("config", "show")  # that name says nothing; the value is known by nobody
        assert unlisted or not leaks(done.stdout + done.stderr), done.stdout + done.stderr


def test_nothing_that_holds_a_secret_is_shown_or_pickled(tmp_path: Path) -> None:
    config = load_config(
        [
            private(
                tmp_path / "c.toml", table("venue", {"alpaca_api_key": KEY, "alpaca_secret_key": SECRET}) + table("alerts", ALERTS)
            )
        ]
    )
    alerts = handed_on(config.config.alerts, "sim", "a-1")
    order = WatchOrder(directory="d", journal="j", epoch=1, url="u", key=KEY, secret=SECRET, alerts=alerts.reveal())
    holders = [
        Secret(SECRET),
        Keys(Secret(KEY), Secret(SECRET)),
        config,
        order,
        alerts,
        Address("u", KEY, SECRET),
        SimConfig(key=KEY, secret=SECRET),
    ]
    for holder in holders:
        for text in (repr(holder), str(holder), f"{holder}"):
            assert not leaks(text)
        for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
            with pytest.raises(TypeError):
                pickle.dumps(holder, protocol)
    assert msgspec.json.decode(msgspec.json.encode(order), type=WatchOrder) == order, "it still crosses its pipe"
    with pytest.raises(TypeError):
        msgspec.json.encode(config)
    assert copy.deepcopy(config.config.alerts).webhook.reveal().endswith(HOOK)


def test_logs_mask_values_in_every_form_and_survive_a_wrong_format() -> None:
    out = StringIO()
    logger = logging.getLogger("canary")
    logger.propagate = False
    handler = logging.StreamHandler(out)
    logger.addHandler(handler)
    try:
        mask_logs(*map(Secret, ALL), logger=logger)
        for form in (SECRET, repr({"nested": {"unlisted": SECRET}}), f"https://h/?a={SECRET}"):
            logger.warning(form)
        logger.warning("%s %s", "too few", SECRET, PASSWORD)
        try:
            raise ValueError(SECRET)
        except ValueError:
            logger.exception("failed with %s", KEY)
    finally:
        logger.removeHandler(handler)
    assert not leaks(out.getvalue()), out.getvalue()
    assert out.getvalue().count("***") >= 5


def test_a_surprise_shows_no_secret() -> None:
    code = (
        "import sys, threading\nsys.argv = ['pyrt', '--version']\nfrom pyrt.__main__ import main\n"
        "try:\n    main()\nexcept SystemExit:\n    pass\n"
        "from pyrt.config import Secret, know\nknow(Secret(sys.stdin.readline().strip()))\nvalue = sys.stdin.readline().strip()\n"
        "def fail(): raise RuntimeError(value)\n"
        "t = threading.Thread(target=fail); t.start(); t.join()\n"
        "class Gone:\n    def __del__(self): fail()\nGone()\n"
        "fail()\n"
    )
    ended = subprocess.run([sys.executable, "-c", code], input=f"{SECRET}\n{SECRET}\n", capture_output=True, text=True, check=False)
    assert ended.stderr.count("RuntimeError: ***") == 3, ended.stderr
    assert not leaks(ended.stderr)


def test_masking_by_value_knows_what_was_read_wherever_it_turns_up() -> None:
    value = "only-here-cAnArY-9876543210"
    assert masked(value) == value
    know(Secret(value))
    assert masked(f"a {value} b") == "a *** b"
    assert SecretFilter(Secret("short")).mask("short") == "short", "what is as short as a word is left alone"


def test_children_and_strategies_find_no_keys_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("APCA_API_KEY_ID", KEY)
    monkeypatch.setenv("APCA_API_SECRET_KEY", SECRET)
    assert not leaks(repr(bare_environment()))
    code = "import os; print(os.environ)"
    with holding():
        assert "APCA_API_KEY_ID" not in os.environ
        assert not leaks(subprocess.run([sys.executable, "-c", code], capture_output=True, check=True).stdout)
        assert load_keys().secret.reveal() == SECRET
    assert os.environ["APCA_API_SECRET_KEY"] == SECRET, "what calls `main` finds its environment as it was"
    monkeypatch.delenv("APCA_API_KEY_ID")
    monkeypatch.delenv("APCA_API_SECRET_KEY")
    monkeypatch.delenv("CREDENTIALS_DIRECTORY", raising=False)
    with pytest.raises(ConfigError, match="no API keys"):
        load_keys()


@LINUX
@pytest.mark.parametrize("module", ["pyrt.__main__", "pyrt.watchdog"])
def test_a_process_with_keys_leaves_no_core_and_lets_nobody_look(module: str) -> None:
    code = (
        f"import ctypes, os, resource, sys\nsys.argv = ['pyrt', '--version']\nfrom {module} import main\n"
        "try:\n    main()\nexcept SystemExit:\n    pass\n"
        "print(ctypes.CDLL(None).prctl(3, 0, 0, 0, 0), resource.getrlimit(resource.RLIMIT_CORE), oct(os.umask(0)))"
    )
    ended = subprocess.run([sys.executable, "-c", code], stdin=subprocess.DEVNULL, capture_output=True, text=True, check=True)
    assert ended.stdout.splitlines()[-1] == "0 (0, 0) 0o77"


class Talker(Strategy):
    """A strategy that talks to somebody else."""

    api_token = ""
    address = ""
    lookback = 20


def test_a_recording_holds_no_secret_parameter_of_a_strategy() -> None:
    know(Secret(SECRET))
    talker = Talker(api_token="a-token-nobody-else-knows", address=f"https://h/?key={SECRET}", lookback=30)
    recipe = recipe_of(talker)
    assert recipe.parameters == {"api_token": "***", "address": "***", "lookback": 30}


# ---------------------------------------------------------------------------------------------------- S12: the log
def test_a_flood_of_one_line_leaves_room_for_the_others_and_is_counted() -> None:
    now = [0.0]
    limit = LogLimit(clock=lambda: now[0])

    def line(text: str, place: int) -> logging.LogRecord:
        return logging.LogRecord("x", logging.WARNING, "f.py", place, text, (), None)

    passed = sum(limit.filter(line("malformed", 1)) for _ in range(10_000))
    assert passed == SAME
    other = line("ALARM", 2)
    assert limit.filter(other)
    assert other.getMessage() == f"ALARM ({10_000 - SAME} lines before this one were left out)"
    assert limit.dropped == 10_000 - SAME
    now[0] += SPAN
    assert limit.filter(line("malformed", 1))


def test_the_log_limit_remembers_a_bounded_number_of_places() -> None:
    limit = LogLimit(clock=lambda: 0.0, every=10**9)
    for place in range(5_000):
        assert limit.filter(logging.LogRecord("x", logging.INFO, "f.py", place, "", (), None))
    assert len(limit._seen) <= 1_000


def test_threads_may_share_the_limit() -> None:
    limit = LogLimit(clock=time.monotonic)
    record = logging.LogRecord("x", logging.INFO, "f.py", 1, "", (), None)
    threads = [threading.Thread(target=lambda: [limit.filter(record) for _ in range(100)]) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert limit.dropped >= 400 - SAME - 8
