"""A session as a service: what the manager hears of a real one, and that the unit is one that systemd takes."""

import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.cli.processes import call
from tests.e2e.processes import Run, Venue, wait_for

from pyrt.watchdog import Watchdog, WatchOrder

Start = Callable[..., Run]


@pytest.fixture(params=["path", "abstract"])
def manager(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[str, socket.socket]]:
    """A service manager's socket, and the name of it."""
    address = str(tmp_path / "n") if request.param == "path" else f"\0pyrt-{os.getpid()}-{tmp_path.name}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.bind(address)
        listening.settimeout(60)
        yield address.replace("\0", "@"), listening


def hear(listening: socket.socket, heard: list[str], line: str) -> None:
    """Until a line comes that begins so."""
    while not any(said.startswith(line) for said in heard):
        heard += listening.recv(65_536).decode().split("\n")


@pytest.mark.skipif(sys.platform != "linux", reason="systemd is of Linux")
def test_the_manager_hears_of_a_session(
    manager: tuple[str, socket.socket], start: Start, busy: list[str], venue: Venue, tmp_path: Path
) -> None:
    address, listening = manager
    heard: list[str] = []
    run = start(*busy, NOTIFY_SOCKET=address, WATCHDOG_USEC="400000")
    hear(listening, heard, "READY=1")
    assert "STATUS=recovering" in heard[: heard.index("READY=1")]  # not before recovery has ended
    assert (tmp_path / "home" / "journal").is_dir()
    heard.clear()
    hear(listening, heard, "STATUS=trading; ")
    heard.clear()
    hear(listening, heard, "WATCHDOG=1")
    run.process.send_signal(signal.SIGSTOP)  # the loop stands still: so does its sign of life
    listening.settimeout(2)
    with pytest.raises(TimeoutError):
        hear(listening, [], "a line that never comes")
    run.process.send_signal(signal.SIGCONT)
    listening.settimeout(60)
    heard.clear()
    run.process.send_signal(signal.SIGINT)
    hear(listening, heard, "STOPPING=1")
    run.end()
    assert run.process.returncode == 0, run.log
    assert heard.count("STOPPING=1") == 1


def test_a_manager_that_is_not_there_fails_nothing(start: Start, busy: list[str], tmp_path: Path) -> None:
    run = start(*busy, NOTIFY_SOCKET=str(tmp_path / "nobody"), WATCHDOG_USEC="nonsense").until("trading:")
    run.end(signal.SIGINT)
    assert run.process.returncode == 0, run.log
    assert run.log.count("the service manager was not told") == 1


def test_the_signals_of_a_manager_leave_the_watchdog_to_its_work(start: Start, busy: list[str], venue: Venue) -> None:
    """systemd signals the whole control group: the session is dead, and what must cancel its entries is hit as well."""
    run = start(*busy).until("trading:")
    wait_for(lambda: venue.truth()["orders"] and venue.open_orders(), "orders")
    [child] = Path(f"/proc/{run.process.pid}/task/{run.process.pid}/children").read_text().split()
    os.kill(int(child), signal.SIGINT)
    os.kill(int(child), signal.SIGABRT)
    run.kill()
    os.kill(int(child), signal.SIGINT)
    wait_for(lambda: not venue.open_orders(), "the watchdog's cancels")


def test_a_watchdog_hears_no_signal_from_its_first_instant(tmp_path: Path) -> None:
    """Not even while its interpreter starts: it would be gone, and with it who cancels."""
    order = WatchOrder(directory=str(tmp_path), journal="j", epoch=1, url="http://127.0.0.1:9", key="k", secret="s")
    watchdog = Watchdog(order)
    try:
        for number in (signal.SIGINT, signal.SIGABRT):
            os.kill(watchdog._process.pid, number)
        blocked = signal.pthread_sigmask(signal.SIG_BLOCK, ())
        assert not blocked & {signal.SIGINT, signal.SIGABRT}, "ours are as they were"
    finally:
        watchdog.farewell(patience=60)
    assert watchdog.ended == 0


def test_the_unit(tmp_path: Path) -> None:
    file = tmp_path / "my 100%.toml"
    file.write_text("")
    done = call(tmp_path, "service", "--config", str(file), "--memory", "1G")
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    for line in (
        "Type=notify",
        "Restart=on-failure",
        "NoNewPrivileges=yes",
        "ProtectSystem=strict",
        "StateDirectory=pyrt",
        "MemoryMax=1G",
        "LimitCORE=0",
        "KillSignal=SIGINT",
        "LoadCredential=APCA_API_SECRET_KEY:/etc/pyrt/keys/APCA_API_SECRET_KEY",
    ):
        assert line in lines
    [command] = [line for line in lines if line.startswith("ExecStart=")]
    assert f'"{tmp_path}/my 100%%.toml"' in command
    assert "no such file" in call(tmp_path, "service", "--config", str(tmp_path / "none.toml")).stderr
    assert "is no name" in call(tmp_path, "service", "--config", str(file), "--name", "a b").stderr
    analyze = shutil.which("systemd-analyze")
    if analyze is None:
        pytest.skip("systemd-analyze is not here")
    unit = tmp_path / "pyrt.service"
    unit.write_text(done.stdout)
    verified = subprocess.run([analyze, "verify", "--man=no", str(unit)], capture_output=True, text=True, timeout=60, check=False)
    assert (verified.returncode, verified.stderr) == (0, "")
