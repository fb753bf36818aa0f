"""The venue in the box, in a process of its own: what one core of it does. The client works elsewhere and is not counted.

`python -m bench.venue [--quick]` prints the table. CPU time comes from /proc: Linux only.
"""

import asyncio
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import aiohttp
import msgspec
import requests

from pyrt.clock import DAY
from pyrt.venues.sim.market.archive import Archive, Ask
from pyrt.venues.sim.market.market import DEFAULT_START, open_market
from pyrt.venues.sim.market.rows import parse_timeframe

ORDER = {"symbol": "AAPL", "qty": "1", "side": "buy", "type": "limit", "limit_price": "1.00", "time_in_force": "gtc"}
# In turn: buys and sells, so that positions stay small; what is displayed may be less than is asked for.
TAKERS = [
    {"symbol": symbol, "qty": "1", "side": side, "type": "market", "time_in_force": "ioc"}
    for side in ("buy", "sell")
    for symbol in ("MSFT", "AMZN", "GOOGL", "TSLA")
]
TICKS = os.sysconf("SC_CLK_TCK")


class Served(msgspec.Struct):
    """What was done in `seconds`, of which the venue's process worked `cpu`."""

    done: int
    seconds: float
    cpu: float

    @property
    def core(self) -> float:
        """A second of one core."""
        return self.done / self.cpu


class Sim:
    """`pyrt sim` as a child, and how much it has worked."""

    def __init__(self, *options: str) -> None:
        argv = [sys.executable, "-m", "pyrt", "sim", "--rate-limit", "0", "--seed", "1", "--cash", "100000000", *options]
        self._process = subprocess.Popen(argv, stdout=subprocess.PIPE, text=True)
        assert self._process.stdout is not None
        said = msgspec.json.decode(self._process.stdout.readline())
        self.url, self.data_url, self.stream_url = said["url"], said["data_url"], said["stream_url"]
        self.keys = {"APCA-API-KEY-ID": said["key"], "APCA-API-SECRET-KEY": said["secret"]}
        self.secret = {"key": said["key"], "secret": said["secret"]}

    def cpu(self) -> float:
        """Seconds of CPU of all its threads so far, to a hundredth."""
        fields = Path(f"/proc/{self._process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / TICKS

    def __enter__(self) -> "Sim":
        return self

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        self._process.communicate()


class Wire:
    """One kept connection, requests written and answers read as bytes."""

    def __init__(self, sim: Sim) -> None:
        host, _, port = sim.url.removeprefix("http://").partition(":")
        self._socket = socket.create_connection((host, int(port)), timeout=60)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._head = f"Host: {host}:{port}\r\n" + "".join(f"{name}: {value}\r\n" for name, value in sim.keys.items())

    def ask(self, method: str, path: str, body: bytes = b"") -> bytes:
        """The body of the answer; raises where it is not of the 200s."""
        length = f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n" if body else ""
        self._socket.sendall(f"{method} {path} HTTP/1.1\r\n{self._head}{length}\r\n".encode() + body)
        data = self._socket.recv(65536)
        while b"\r\n\r\n" not in data:
            data += self._socket.recv(65536)
        head, _, answer = data.partition(b"\r\n\r\n")
        if head[9:10] != b"2":
            raise RuntimeError(data.decode())
        size = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0] or 0)
        while len(answer) < size:
            answer += self._socket.recv(65536)
        return answer

    def close(self) -> None:
        self._socket.close()


def orders(count: int, resting: int, *, fills: bool = False, state: bool = False) -> Served:
    """`count` orders through REST, one after the other, while `resting` rest: each one waits and is cancelled, or fills at once."""
    with (
        tempfile.TemporaryDirectory(dir=os.environ.get("PYRT_BENCH_DIR")) as folder,
        Sim(*(("--state", folder) if state else ())) as sim,
    ):
        wire = Wire(sim)
        for number in range(resting):
            wire.ask("POST", "/v2/orders", msgspec.json.encode({**ORDER, "symbol": ("AAPL", "SPY")[number % 2]}))
        bodies = [msgspec.json.encode(body) for body in (TAKERS if fills else [ORDER])]
        for number in range(100):
            once(wire, bodies[number % len(bodies)], cancels=not fills)
        begun, worked = time.monotonic(), sim.cpu()
        for number in range(count):
            once(wire, bodies[number % len(bodies)], cancels=not fills)
        served = Served(done=count, seconds=time.monotonic() - begun, cpu=sim.cpu() - worked)
        truth = requests.get(f"{sim.url}/sim/truth", timeout=60).json()
        wire.close()
    if fills and len(truth["fills"]) < count // 2:
        raise RuntimeError(f"{len(truth['fills'])} fills for {count} orders")
    return served


def once(wire: Wire, body: bytes, *, cancels: bool) -> None:
    """One order, and its cancel if it is to have one."""
    answer = msgspec.json.decode(wire.ask("POST", "/v2/orders", body))
    if cancels:
        wire.ask("DELETE", f"/v2/orders/{answer['id']}")


async def listen(sim: Sim, seconds: float) -> Served:
    """All trades and quotes, as fast as the venue makes them."""
    symbols = ["*"]
    async with aiohttp.ClientSession() as session:
        headers = {"Content-Type": "application/msgpack"}
        async with session.ws_connect(sim.data_url, headers=headers, max_msg_size=0, compress=0) as ws:
            await ws.send_bytes(msgspec.msgpack.encode({"action": "auth", **sim.secret}))
            await ws.send_bytes(msgspec.msgpack.encode({"action": "subscribe", "trades": symbols, "quotes": symbols}))
            for _ in range(3):
                await ws.receive_bytes()
            await ws.receive_bytes()
            begun, worked, received = time.monotonic(), sim.cpu(), 0
            while time.monotonic() - begun < seconds:
                frame = await ws.receive_bytes()
                received += length(frame)
            return Served(done=received, seconds=time.monotonic() - begun, cpu=sim.cpu() - worked)


def length(frame: bytes) -> int:
    """How many messages a msgpack frame holds."""
    first = frame[0]
    if first >> 4 == 9:
        return first & 15
    return int.from_bytes(frame[1 : 3 if first == 0xDC else 5], "big")


def market(seconds: float) -> Served:
    """Market messages to one client at full speed, from the generated market."""
    with Sim("--speed", "max", "--market", "generated:rate=1000", "--start", "2026-03-02T14:30:00Z") as sim:
        return asyncio.run(listen(sim, seconds))


def history(days: int) -> Iterator[tuple[str, float]]:
    """CPU seconds of cold answers of the archive, in this process: each from a market that was not asked before."""
    spec, spans = f"generated:days={days}", (DAY, days * DAY)
    for symbol in ("AAPL", "BTC/USD"):
        for frame, span in (("1Min", spans[0]), ("1Day", spans[1])):
            archive = fresh_archive(spec)
            start, timeframe = DEFAULT_START - span, parse_timeframe(frame)
            ask = Ask(
                kind="bars", symbols=[symbol], start=start, end=DEFAULT_START, now=DEFAULT_START, limit=10_000, timeframe=timeframe
            )
            begun = time.process_time()
            found = archive.page(ask)[0][symbol]
            yield f"{len(found):,} bars of {frame}, {symbol}, cold", time.process_time() - begun
        archive = fresh_archive(spec)
        begun = time.process_time()
        archive.snapshot(symbol, DEFAULT_START)
        yield f"snapshot of {symbol}, cold", time.process_time() - begun


def fresh_archive(spec: str) -> Archive:
    """An archive that has made nothing yet."""
    market = open_market(spec, 1, DEFAULT_START)
    return Archive(market, market.instruments)


def rows(quick: bool) -> Iterator[tuple[str, str, str]]:
    """(what, a second of the venue's CPU, a second by the clock) for the table."""
    count = 1_000 if quick else 5_000
    for resting in (0, 1_000):
        for fills, state in ((True, False), (False, False), (False, True)):
            served = orders(count, resting, fills=fills, state=state)
            what = "orders that fill at once" if fills else "orders that rest and are cancelled (two requests each)"
            kept = ", state kept" if state else ""
            yield f"{what}, {resting:,} others resting{kept}", f"{served.core:,.0f}", f"{served.done / served.seconds:,.0f}"
    served = market(2.0 if quick else 10.0)
    yield "market messages to one client, speed max", f"{served.core:,.0f}", f"{served.done / served.seconds:,.0f}"
    for what, cpu in history(5 if quick else 60):
        yield what, f"{1 / cpu:,.2f}", ""


if __name__ == "__main__":
    for what, core, wall in rows("--quick" in sys.argv):
        print(f"{core:>12} {wall:>12}  {what}", flush=True)
