"""The WebSocket listener: whole messages out of picows' frames, natively where the reader can."""

import asyncio
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from bench import material
from bench.material import T0
from hypothesis import given, settings
from hypothesis import strategies as st
from picows import WSCloseCode, WSFrame, WSMsgType, WSTransport
from picows.picows import _make_test_ws_frame  # type: ignore[attr-defined]
from tests.core.test_onepass import CONTROL, RECORD, WELCOME, made_by, passage

from pyrt._core.frames import BUILT_FOR, Frames
from pyrt._core.onepass import Intake, OnePass
from pyrt._core.types import RecordType

BINARY, TEXT, CONTINUATION, CLOSE, PING = (
    WSMsgType.BINARY,
    WSMsgType.TEXT,
    WSMsgType.CONTINUATION,
    WSMsgType.CLOSE,
    WSMsgType.PING,
)


class Plain:
    """The socket below."""

    def __init__(self) -> None:
        self.options: list[tuple[int, ...]] = []

    def get_extra_info(self, name: str) -> "Plain":
        assert name == "socket"
        return self

    def setsockopt(self, *option: int) -> None:
        self.options.append(option)


class Transport(WSTransport):
    def __init__(self) -> None:
        self.plain = Plain()
        self.done: list[Any] = []

    @property
    def underlying_transport(self) -> Any:  # type: ignore[override]
        return self.plain

    def send_close(self, close_code: Any = None, close_message: Any = None) -> None:
        self.done.append(("close", close_code))

    def disconnect(self, graceful: bool = True) -> None:
        self.done.append(("disconnect", graceful))


@pytest.fixture
def loop() -> Iterator[asyncio.AbstractEventLoop]:
    loop = asyncio.new_event_loop()
    yield loop
    loop.close()


def listening(loop: asyncio.AbstractEventLoop, reader: Any, most: int = 1 << 20) -> tuple[Frames, Transport]:
    listener, transport = Frames(reader, most, loop.create_future()), Transport()
    listener.on_ws_connected(transport)
    return listener, transport


def frame(kind: WSMsgType, payload: bytes, fin: bool = True) -> WSFrame:
    made: WSFrame = _make_test_ws_frame(kind, payload, fin, False)
    return made


def test_the_pin_of_picows_is_what_this_was_compiled_for() -> None:
    whole = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())
    assert f"picows=={BUILT_FOR}" in whole["build-system"]["requires"]
    assert f"picows=={BUILT_FOR}" in whole["project"]["dependencies"]


@given(
    messages=st.lists(st.binary(max_size=300), min_size=1, max_size=8),
    cuts=st.lists(st.integers(0, 300), max_size=4),
    kind=st.sampled_from((BINARY, TEXT)),
)
@settings(max_examples=60, deadline=None)
def test_messages_come_whole_however_they_were_cut(messages: list[bytes], cuts: list[int], kind: WSMsgType) -> None:
    loop = asyncio.new_event_loop()
    try:
        heard: list[bytes] = []
        listener, transport = listening(loop, lambda message: heard.append(bytes(message)))
        for message in messages:
            edges = sorted({min(cut, len(message)) for cut in cuts})
            parts = [message[a:b] for a, b in zip([0, *edges], [*edges, len(message)], strict=True)]
            for i, part in enumerate(parts):
                listener.on_ws_frame(transport, frame(CONTINUATION if i else kind, part, i == len(parts) - 1))
                listener.on_ws_frame(transport, frame(PING, b"x"))  # may come between the pieces
        assert heard == messages
        assert transport.done == []
    finally:
        loop.close()


def test_small_messages_leave_at_once(loop: asyncio.AbstractEventLoop) -> None:
    _, transport = listening(loop, print)
    assert len(transport.plain.options) == 1


def test_a_message_of_pieces_may_be_as_long_as_allowed_and_no_longer(loop: asyncio.AbstractEventLoop) -> None:
    heard: list[int] = []
    listener, transport = listening(loop, lambda message: heard.append(len(message)), most=10)
    for part, fin in ((b"12345", False), (b"67890", True)):
        listener.on_ws_frame(transport, frame(CONTINUATION if fin else BINARY, part, fin))
    assert (heard, transport.done) == ([10], [])
    for part, fin in ((b"12345", False), (b"678901", True)):
        listener.on_ws_frame(transport, frame(CONTINUATION if fin else BINARY, part, fin))
    assert (heard, transport.done) == ([10], [("disconnect", False)])
    listener.on_ws_disconnected(transport)
    assert listener.lost.result() == "a message was too long"


def test_pieces_that_do_not_say_that_they_go_on_are_one_message_too(loop: asyncio.AbstractEventLoop) -> None:
    heard: list[bytes] = []
    listener, transport = listening(loop, lambda message: heard.append(bytes(message)))
    for kind, part, fin in ((TEXT, b"a", False), (TEXT, b"b", True), (CONTINUATION, b"alone", True), (TEXT, b"c", True)):
        listener.on_ws_frame(transport, frame(kind, part, fin))
    assert heard == [b"ab", b"alone", b"c"]


def test_the_venues_goodbye_is_answered_and_told(loop: asyncio.AbstractEventLoop) -> None:
    listener, transport = listening(loop, print)
    listener.on_ws_frame(transport, frame(CLOSE, (1001).to_bytes(2, "big")))
    listener.on_ws_disconnected(transport)
    listener.on_ws_disconnected(transport)  # told twice: the first counts
    assert transport.done == [("close", WSCloseCode.OK), ("disconnect", True)]
    assert "closed by the venue" in listener.lost.result()
    assert "1001" in listener.lost.result() or "GOING_AWAY" in listener.lost.result()


@pytest.mark.parametrize("pieces", [False, True])
def test_what_the_reader_raises_ends_the_connection_and_is_kept(loop: asyncio.AbstractEventLoop, pieces: bool) -> None:
    calls: list[int] = []

    def broken(message: memoryview) -> None:
        calls.append(len(message))
        raise ValueError("broken")

    listener, transport = listening(loop, broken)
    for _ in range(2):
        if pieces:
            listener.on_ws_frame(transport, frame(BINARY, b"a", False))
            listener.on_ws_frame(transport, frame(CONTINUATION, b"b"))
        else:
            listener.on_ws_frame(transport, frame(BINARY, b"ab"))
    assert calls == [2]
    assert isinstance(listener.failure, ValueError)
    assert transport.done == [("disconnect", False)]


def test_a_failing_native_reader_is_not_hidden_either(loop: asyncio.AbstractEventLoop) -> None:
    def broken() -> int:
        raise OverflowError("no clock")

    intake = Intake(material.decoder("msgpack", 1), clock=broken, on_control=print, on_records=print)
    listener, transport = listening(loop, intake)
    listener.on_ws_frame(transport, frame(BINARY, WELCOME))
    assert isinstance(listener.failure, OverflowError)
    assert transport.done == [("disconnect", False)]


def test_an_intake_calls_for_control_messages_and_for_records(loop: asyncio.AbstractEventLoop) -> None:
    decoder, heard = material.decoder("msgpack", 1), list[Any]()
    intake = Intake(
        decoder, clock=lambda: T0 + 5, on_control=heard.append, on_records=lambda now: heard.append((now, len(decoder.take()[0])))
    )
    listener, transport = listening(loop, intake)
    for payload in (WELCOME, material.frames(material.quotes(3), "msgpack", 3)[0], b"\x90", b"no message"):
        listener.on_ws_frame(transport, frame(BINARY, payload))
    assert heard == [WELCOME[1:], (T0 + 5, 3)]
    assert decoder.counters["malformed"] == 1
    assert listener.failure is None


def test_one_pass_under_a_listener_calls_while_something_is_due(loop: asyncio.AbstractEventLoop) -> None:
    heard: list[tuple[int, int]] = []
    under = passage(wake=1 << RecordType.QUOTE)
    one = OnePass(under.decoder, under.pipeline, clock=lambda: T0, on_due=lambda: heard.append((one.due, one.at)))
    listener, transport = listening(loop, one)
    listener.on_ws_frame(transport, frame(BINARY, material.frames(material.quotes(2), "msgpack", 2)[0]))
    listener.on_ws_frame(transport, frame(BINARY, WELCOME))
    assert heard == [(RECORD, 1), (RECORD, 2), (CONTROL, 0)]


def test_a_frame_makes_no_object(loop: asyncio.AbstractEventLoop) -> None:
    one = passage()
    listener, transport = listening(loop, one)
    frames = [(transport, frame(BINARY, data)) for data in material.frames(material.quotes(1000), "msgpack", 1, 7)]
    made = made_by(listener.on_ws_frame, frames, 100)
    assert made <= made_by(max, [(1, 2)] * len(frames), 1), "beyond what the loop itself takes"
    assert one.decoder.counters["messages"] > 10**5
    plain, transport = listening(loop, len)
    assert made_by(plain.on_ws_frame, frames, 1) > made, "a memoryview shows"
