"""iceoryx2 between two processes: a record a message, as its Python classes send them."""

import ctypes
import time
from importlib import import_module
from typing import Any

import numpy as np

from bench.rows import Run, Took

_DEPTH = 8192
PATIENCE = 30.0  # s without a record: the other side is gone
MANY = 8000  # records a round: where its queue is full its writer sleeps, which would be most of the figure


class Record(ctypes.Structure):
    _fields_ = (("words", ctypes.c_uint64 * 8),)


class Ends:
    """One side: sends on one service, receives on the other."""

    def __init__(self, name: str, out: str, back: str) -> None:
        import iceoryx2 as peer

        peer.set_log_level(peer.LogLevel.Fatal)
        self._node = peer.NodeBuilder.new().create(peer.ServiceType.Ipc)
        self._out = self._service(peer, f"{name}/{out}").publisher_builder().create()
        self._back = self._service(peer, f"{name}/{back}").subscriber_builder().buffer_size(_DEPTH).create()
        self._since = 0.0  # of a look for nothing, monotonic s
        self._record = Record((ctypes.c_uint64 * 8)(*range(8)))

    def _service(self, peer: Any, name: str) -> Any:
        made = self._node.service_builder(peer.ServiceName.new(name)).publish_subscribe(Record)
        return made.subscriber_max_buffer_size(_DEPTH).enable_safe_overflow(False).open_or_create()  # waits, loses nothing

    def send(self) -> None:
        self._out.loan_uninit().write_payload(self._record).send()

    def receive(self) -> Any:
        receive, looks = self._back.receive, 0
        while (sample := receive()) is None:
            looks += 1
            if looks % 65_536 == 0:  # the clock would be part of what is measured
                self._since = self._since or time.monotonic()
                if time.monotonic() > self._since + PATIENCE:
                    raise TimeoutError(f"no record within {PATIENCE:g} s")
        self._since = 0.0
        return sample


def serve(name: str, n: int, echoes: int) -> None:
    """The other side: sends n records when one has come, or answers `echoes`."""
    ends = Ends(name, "there", "back")
    print("now", flush=True)
    ends.receive()
    for _ in range(n):
        ends.send()
    if not n:
        ends.send()
        for _ in range(echoes):
            ends.receive()
            ends.send()
        return
    ends.receive()  # it has all of them


def pair(tell: Any, n: int) -> Run:
    """`tell` lets the other side begin, and returns when it is ready."""
    import_module("iceoryx2")  # ImportError: there is no such peer

    def run() -> Took:
        name = f"pyrt/{time.monotonic_ns()}"
        ends = Ends(name, "back", "there")
        tell("iceoryx2", name, n)
        ends.send()
        first = ends.receive()
        if list(first.payload().contents.words) != list(range(8)):
            raise AssertionError("another record came than was sent")
        begun = time.perf_counter()
        for _ in range(n - 1):
            ends.receive()
        took = time.perf_counter() - begun
        ends.send()
        return Took(took, None)

    return run


def echo(tell: Any, n: int) -> Run:
    import_module("iceoryx2")

    def run() -> Took:
        name = f"pyrt/{time.monotonic_ns()}"
        ends = Ends(name, "back", "there")
        tell("iceoryx2", name, 0)
        ends.send()
        ends.receive()
        ns = np.zeros(n)
        for i in range(n):
            begun = time.perf_counter_ns()
            ends.send()
            ends.receive()
            ns[i] = (time.perf_counter_ns() - begun) / 2
        return Took(float(np.median(ns)) * n / 1e9, None)

    return run
