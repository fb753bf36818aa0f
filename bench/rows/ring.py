"""Records through shared memory, in one process and to another; `python -m bench.rows.ring DIRECTORY` is that other.

The limit is a queue for one reader that its writer waits for; the ring does not wait, and its reader looks twice. So that the ring
loses nothing here, its reader says in a ring of its own how far it is.
"""

import ctypes
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from bench import peers_ring
from bench.limits import limit
from bench.rows import Contender, Row, Run, Took, peer
from pyrt import RingBuffer
from pyrt._core.types import market_dtype

THROUGH, PAIR, ECHO = 1 << 16, 1 << 15, 2000
CAPACITY, CHUNK = 8192, 1024
SLOW = 20_000  # records for what sends a message each: more than its queues hold
ROOT = Path(__file__).parents[2]
Records = np.ndarray[Any, Any]


def material(n: int) -> Records:
    """Records whose words all differ."""
    return np.arange(n * 8, dtype="<u8").view(market_dtype)


def rows() -> Iterator[Row]:
    with tempfile.TemporaryDirectory(dir="/dev/shm") as directory, Other(directory) as other:
        what = "a record published (in steps of 64) and read, one process"
        yield Row("ring.through", what, "ns", THROUGH, through(directory), bound=1.3)
        for name, every, most in (("batched", 64, 8.0), ("single", 1, 60.0)):
            what = f"a record to another process, published in steps of {every}"
            yield Row(f"ring.{name}", what, "ns", PAIR, pair(other, every), bound=1.3, most=most)
        yield Row("ring.latency", "a record to another process that spins, one way, p50", "ns", ECHO, echo(other), most=300.0)


def through(directory: str) -> tuple[Contender, ...]:
    c, source = limit("ring"), material(THROUGH)
    writer = RingBuffer.create("through", capacity=CAPACITY, directory=directory)
    reader = RingBuffer.open("through", directory=directory)
    out = np.zeros_like(source)
    pieces = [(source[i : i + CHUNK], out[i : i + CHUNK]) for i in range(0, THROUGH, CHUNK)]

    def ours() -> Any:
        for records, room in pieces:
            writer.publish(records, every=64)
            reader.read_into(room)
        return out, reader.lost

    def bare(call: Any) -> Run:
        got = np.zeros_like(source)

        def run() -> Any:
            call(pointer(source), *map(ctypes.c_uint64, (THROUGH, CHUNK, 64)), pointer(got))
            return got, 0

        return run

    return (
        Contender("RingBuffer", "ours", ours),
        Contender("C queue, one reader", "limit", bare(c.through)),
        Contender("ring.h, compiled", "peer", bare(c.ring_through)),
    )


def pointer(array: Records) -> ctypes.c_void_p:
    return ctypes.c_void_p(array.ctypes.data)


def pair(other: "Other", every: int) -> tuple[Contender, ...]:
    c, source = limit("ring"), material(CHUNK)
    c.pair.restype = c.ring_pair.restype = ctypes.c_int64

    def bare(call: Any) -> Run:
        out = np.zeros(PAIR, market_dtype)

        def run() -> Took:
            ns = call(pointer(source), ctypes.c_uint64(PAIR), ctypes.c_uint64(every), pointer(out))
            return Took(ns / 1e9, out)

        return run

    return (
        Contender("RingBuffer", "ours", lambda: other.pair(every), clock="own"),
        Contender("C queue, one reader", "limit", bare(c.pair), clock="own"),
        Contender("ring.h, compiled", "peer", bare(c.ring_pair), clock="own"),
        peer_of_its_own("pyzmq ipc, a message each", lambda: zmq_pair(other), SLOW),
        peer_of_its_own(
            "iceoryx2, a message each", lambda: pinned_run(peers_ring.pair(other.tell, peers_ring.MANY)), peers_ring.MANY
        ),
    )


def echo(other: "Other") -> tuple[Contender, ...]:
    c, record = limit("ring"), material(1)

    def bare(call: Any) -> Run:
        def run() -> Took:
            ns = np.zeros(ECHO)
            call(pointer(record), ctypes.c_uint64(ECHO), pointer(ns))
            return middle(ns, ECHO)

        return run

    return (
        Contender("RingBuffer", "ours", lambda: middle(other.echo(ECHO), ECHO), clock="own"),
        Contender("C queue, one reader", "limit", bare(c.echo), clock="own"),
        Contender("ring.h, compiled", "peer", bare(c.ring_echo), clock="own"),
        peer_of_its_own("pyzmq ipc", lambda: zmq_echo(other), ECHO),
        peer_of_its_own("iceoryx2", lambda: pinned_run(peers_ring.echo(other.tell, ECHO)), ECHO),
    )


def peer_of_its_own(name: str, make: Callable[[], Run], operations: int) -> Contender:
    found = peer(name, make, operations=operations)
    return Contender(name, "peer", found.run, clock="own", operations=operations)


def middle(ns: Any, n: int) -> Took:
    return Took(float(np.median(ns)) * n / 1e9, n)


@contextmanager
def pinned(cpu: int) -> Iterator[None]:
    """On one processor, so that the two sides do not share one by chance."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {sorted(before)[cpu % len(before)]})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def pinned_run(run: Run) -> Run:
    """On the processor of this side."""

    def on_one() -> Any:
        with pinned(1):
            return run()

    return on_one


class Other:
    """The process on the other side, which does what a line tells it."""

    def __init__(self, directory: str) -> None:
        self.directory = directory
        Path(directory).chmod(0o700)
        command = [sys.executable, "-m", "bench.rows.ring", directory]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1, cwd=ROOT)
        self.back = RingBuffer.create("back", capacity=CAPACITY, directory=directory)
        self.answer()
        self.there = RingBuffer.open("there", directory=directory)
        self.out = np.zeros(PAIR, market_dtype)
        self.tell("ready")

    def __enter__(self) -> "Other":
        return self

    def __exit__(self, *_: object) -> None:
        self.process.communicate()

    def answer(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline()

    def tell(self, *words: object) -> None:
        assert self.process.stdin is not None
        print(*words, file=self.process.stdin, flush=True)
        self.answer()

    def pair(self, every: int) -> Took:
        reader, back, out, one = self.there, self.back, self.out, material(1)
        lost = reader.lost
        with pinned(1):
            self.tell("pair", every)
            back.publish(one)  # go
            done = told = begun = 0
            while done < PAIR:
                room = out[done : done + CHUNK]
                while not (got := reader.read_into(room)):
                    pass
                begun = begun or time.perf_counter_ns()
                done += got
                while told < done // CHUNK:
                    back.publish(one)
                    told += 1
            took = time.perf_counter_ns() - begun
        if reader.lost != lost:
            raise RuntimeError(f"{reader.lost - lost} records lost")
        return Took(took / 1e9, out)

    def echo(self, n: int) -> Any:
        read, publish, record, room, clock = self.there.read_into, self.back.publish, material(1), material(1), time.perf_counter_ns
        ns = np.zeros(n)
        with pinned(1):
            self.tell("echo", n)
            for i in range(n):
                begun = clock()
                publish(record)
                while not read(room):
                    pass
                ns[i] = (clock() - begun) / 2
        return ns


def serve(directory: str) -> None:
    """The other side: publishes what "pair" asks for, answers what "echo" sends, until its standard input ends."""
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    there = RingBuffer.create("there", capacity=CAPACITY, directory=directory)
    print("there", flush=True)
    sys.stdin.readline()
    back = RingBuffer.open("back", directory=directory)
    print("back", flush=True)
    for line in sys.stdin:
        verb, number = line.split()[0], int(line.split()[-1]) if " " in line else 0
        if verb == "zmq":
            zmq_serve(line.split()[1], number)
            continue
        if verb == "iceoryx2":
            peers_ring.serve(line.split()[1], number, ECHO)
            continue
        print("now", flush=True)
        (send_all if verb == "pair" else answer_all)(there, back, number)


def send_all(there: Any, back: Any, every: int) -> None:
    source, acks = material(CHUNK), material(CHUNK)
    while not back.read_into(acks[:1]):
        pass
    base = back.cursor
    for i in range(PAIR // CHUNK):
        while (i + 1) * CHUNK > (back.cursor - base) * CHUNK + CAPACITY // 2:
            back.read_into(acks)
        there.publish(source, every=every)
    while back.cursor - base < PAIR // CHUNK:
        back.read_into(acks)


def answer_all(there: Any, back: Any, n: int) -> None:
    read, publish, record = back.read_into, there.publish, material(1)
    for _ in range(n):
        while not read(record):
            pass
        publish(record)


def zmq_serve(address: str, n: int) -> None:
    import zmq

    with zmq.Context() as context, context.socket(zmq.PAIR) as socket:
        socket.connect(address)
        print("now", flush=True)
        message = socket.recv()
        socket.send(message)
        if n:  # a record each, n of them
            for _ in range(n):
                socket.send(message)
            socket.recv()
            return
        for _ in range(ECHO):
            socket.send(socket.recv())


def zmq_session(other: Other, n: int, measure: Callable[[Any, bytes], Took]) -> Took:
    import zmq

    message = material(1).tobytes()
    with zmq.Context() as context, context.socket(zmq.PAIR) as socket, pinned(1):
        address = f"ipc://{other.directory}/{time.monotonic_ns()}"
        socket.bind(address)
        other.tell("zmq", address, n)
        socket.send(message)
        socket.recv()
        return measure(socket, message)


def zmq_pair(other: Other) -> Run:
    import zmq

    def measure(socket: zmq.Socket[bytes], message: bytes) -> Took:
        begun = time.perf_counter()
        for _ in range(SLOW):
            socket.recv()
        took = time.perf_counter() - begun
        socket.send(message)
        return Took(took, None)

    return lambda: zmq_session(other, SLOW, measure)


def zmq_echo(other: Other) -> Run:
    import zmq

    def measure(socket: zmq.Socket[bytes], message: bytes) -> Took:
        ns = np.zeros(ECHO)
        for i in range(ECHO):
            begun = time.perf_counter_ns()
            socket.send(message)
            socket.recv()
            ns[i] = (time.perf_counter_ns() - begun) / 2
        return Took(float(np.median(ns)) * ECHO / 1e9, None)

    return lambda: zmq_session(other, 0, measure)


if __name__ == "__main__":
    serve(sys.argv[1])
