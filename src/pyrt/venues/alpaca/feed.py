"""Alpaca's market-data stream: one connection that comes back by itself, its frames as records."""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from logging import getLogger
from random import Random
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt
from picows import WSError, WSHandshakeError, WSMsgType

from pyrt._core.inbox import Inbox
from pyrt._core.onepass import Intake
from pyrt._core.types import Flag, GapCause, RecordType, bar_dtype, gap_dtype, market_dtype
from pyrt._core.wire import Decoder
from pyrt.config import Secret, know, masked
from pyrt.errors import ConfigError
from pyrt.model import Instruments
from pyrt.ports import Sink, StreamState, Subscription
from pyrt.venues.alpaca.backoff import Backoff
from pyrt.venues.alpaca.channels import Channels, Sets
from pyrt.venues.alpaca.dial import dial
from pyrt.venues.alpaca.keys import check_url
from pyrt.venues.alpaca.silence import Silence

try:
    from pyrt._core.frames import Frames
except ImportError as e:  # of picows, that is of another release than the one that this was built for
    raise ConfigError(str(e)) from None

Records = npt.NDArray[np.void]
_log = getLogger(__name__)

FINAL = {
    402: "the venue refused the keys: check the pair, and that it belongs to this host",
    408: "this account may not read this version of the data",
    409: "the account's plan does not hold this feed",
    411: "the token has no scope for data",
    412: "this feed speaks msgpack only",
}
REFUSED = (400, 405, 410, 413)  # answers to a request: the connection goes on


class Ending(msgspec.Struct, frozen=True):
    """Why a connection ended, and what follows."""

    text: str
    final: bool = False
    delay: float = 0.0  # seconds to wait at least
    cause: GapCause = GapCause.DISCONNECT


class AlpacaFeed:
    """The data stream of one endpoint. All of it runs on the loop of `run`; want() and close() are called there.

    url: ws:// or wss://, with its path. sink: gets (market records, bars), arrays of its own, in the order of the wire.
    events: gets StreamState. clock: venue ns now, stamped on what arrives. stale_after: seconds of silence, while `trading()` and
    something is subscribed, after which the stream is taken for dead (a busy stream is given less). reconnect_delay: first and
    longest wait, seconds. limit_delay: least wait after "connection limit exceeded". ping_after: seconds of silence before a
    ping, and then for its answer. answer_within: seconds for each step of the handshake. quote_unit: shares in one unit of a
    stock quote's size. Raises ConfigError for a URL or a codec that cannot be.
    """

    def __init__(
        self,
        *,
        url: str,
        key: str,
        secret: str,
        instruments: Instruments,
        sink: Callable[[Records, Records], None],
        events: Sink,
        clock: Callable[[], int],
        codec: str = "msgpack",
        trading: Callable[[], bool] = lambda: True,
        stale_after: float = 30.0,
        reconnect_delay: tuple[float, float] = (0.25, 30.0),
        limit_delay: float = 10.0,
        ping_after: float = 8.0,
        answer_within: float = 10.0,
        max_message: int = 16 << 20,
        quote_unit: int = 1,
        rng: Random | None = None,
        inbox: Inbox | None = None,
    ) -> None:
        if not url.startswith(("ws://", "wss://")):
            raise ConfigError(f"{url!r} is no WebSocket address", where="data stream", mend="begin it with wss:// or ws://")
        if codec not in ("msgpack", "json"):
            raise ConfigError(f"codec {codec!r} is unknown", where="data stream", mend="use msgpack or json")
        check_url(url)
        know(Secret(key), Secret(secret))
        self.channels = Channels()
        self.connections = 0  # that were authenticated
        self.up = False
        self._url, self._keys, self._codec = url, (key, secret), codec
        self._instruments, self._sink, self._events, self._clock, self._trading = instruments, sink, events, clock, trading
        self._ping_after, self._answer_within = ping_after, answer_within
        self._again = min(1.0, answer_within / 10)  # seconds until what an acknowledgement left out is asked again
        self._step = min(0.5, stale_after / 4, answer_within / 4)  # seconds between two looks at what does not come
        self._silence = Silence(stale_after, self._step)
        self._limit_delay, self._max_message, self._quote_unit = limit_delay, max_message, quote_unit
        self._rng = rng or Random()
        self._backoff = Backoff(*reconnect_delay, self._rng)
        flag = Flag.FEED_IEX if url.endswith("/iex") else Flag.FEED_SIP if url.endswith("/sip") else 0
        self._decoder = Decoder(codec, feed_flag=int(flag))
        self._intake = Intake(self._decoder, clock=clock, on_control=self._on_control, on_records=self._on_records, inbox=inbox)
        self._parse = (msgspec.msgpack if codec == "msgpack" else msgspec.json).decode
        self._compose = (msgspec.msgpack if codec == "msgpack" else msgspec.json).encode
        self._frames: Frames | None = None
        self._opening: asyncio.Future[Frames] | None = None
        self._ending: Ending | None = None
        self._authenticated = False
        self._due = 0.0  # loop time by which the venue must have answered; 0 = nothing is asked
        self._missed: dict[int, tuple[GapCause, int]] = {}  # instrument -> cause and last sight, until the stream is back
        self._closing = asyncio.Event()
        self._ended = asyncio.Event()
        self._ended.set()

    @property
    def acknowledged(self) -> Sets:
        """What the venue says we get: channel -> symbols."""
        return dict(self.channels.acknowledged)

    @property
    def counters(self) -> dict[str, int]:
        """The decoder's counters, connections, and requests that had to be repeated."""
        return {**self._decoder.counters, "connections": self.connections, "resubscribed": self.channels.repeated}

    def want(self, subscription: Subscription) -> None:
        """Change the wanted set, now or at the next connection. Raises ConfigError for a symbol that is not defined."""
        symbols = frozenset().union(*(getattr(subscription, name) for name in subscription.__struct_fields__))
        if unknown := sorted(s for s in symbols if s != "*" and s not in self._instruments):
            raise ConfigError(f"unknown symbols {', '.join(unknown)}", where="data stream", mend="define the instruments first")
        for instrument in self._instruments if "*" in symbols else (self._instruments[s] for s in symbols):
            self._decoder.register(
                instrument.symbol,
                instrument.id,
                tick=instrument.tick,
                sub_tick=instrument.sub_tick,
                lot=instrument.lot,
                qty_exp=instrument.qty_exp,
                quote_unit=self._quote_unit,
            )
        self.channels.want(subscription)
        self._advance()

    async def run(self) -> None:
        """Connect, subscribe, read; reconnect until `close`, or until the venue's refusal is final."""
        self._ended.clear()
        try:
            while not self._closing.is_set():
                self._ending = None
                ending = await self._connection()
                if self._closing.is_set():
                    break
                if self._intake.messages:
                    self._backoff.reset()
                text = masked(ending.text)  # the venue may quote what it was sent
                self._tell(False, text, final=ending.final)
                if ending.final:
                    break
                delay = max(ending.delay, self._backoff.next())
                _log.warning("data stream: %s; next try in %.1f s", text, delay)
                with suppress(TimeoutError):
                    await asyncio.wait_for(self._closing.wait(), delay)
        finally:
            self._ended.set()

    async def close(self) -> None:
        """End the connection and `run`."""
        self._closing.set()
        if self._opening is not None:
            self._opening.cancel()
        elif self._frames is not None:
            self._frames.end("closed here")
        await self._ended.wait()

    # ------------------------------------------------------------------------------------------------ one connection
    async def _connection(self) -> Ending:
        self._authenticated = False
        self._intake.messages = 0  # of this connection
        self._opening = asyncio.ensure_future(self._open())
        try:
            frames = await self._opening
        except WSHandshakeError as e:
            return self._upgrade_refused(e)
        except (OSError, WSError, TimeoutError) as e:
            return Ending(f"no connection: {str(e) or 'no answer'}")
        except asyncio.CancelledError:
            if not self._closing.is_set():
                raise
            return Ending("closed here")
        finally:
            self._opening = None
        if self._closing.is_set():  # just when it was open
            frames.end("closed here")
        try:
            await self._watch(frames)
        finally:
            self._frames = None
            if not frames.lost.done():  # cancelled
                frames.end("cancelled", graceful=False)
        if frames.failure is not None:
            raise frames.failure
        ending = self._ending or Ending(frames.lost.result())
        self._mark_missed(ending.cause)
        self.channels.lost()
        self.up = False
        return ending

    async def _open(self) -> Frames:
        self._ask()  # for the welcome
        async with asyncio.timeout(self._answer_within):
            _, frames = await dial(
                self._listen,
                self._url,
                extra_headers={"Content-Type": f"application/{self._codec}"},
                websocket_handshake_timeout=self._answer_within,
                enable_auto_ping=True,
                auto_ping_idle_timeout=self._ping_after,
                auto_ping_reply_timeout=self._ping_after,
                max_frame_size=self._max_message,
                max_redirects=0,
            )
        assert isinstance(frames, Frames)
        return frames

    def _listen(self) -> Frames:
        lost: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._frames = Frames(self._intake, self._max_message, lost)  # known before the first message can come
        return self._frames

    def _upgrade_refused(self, error: WSHandshakeError) -> Ending:
        status = int(error.response.status) if error.response is not None else 0
        if status == 429:
            return Ending("too many connections (HTTP 429)", delay=self._limit_delay * self._rng.uniform(1.0, 1.5))
        if 300 <= status < 500 and status != 408:
            return Ending(f"the venue refused the connection (HTTP {status}): check the address and the keys", final=True)
        return Ending(f"no WebSocket connection ({f'HTTP {status}' if status else 'the handshake failed'})")

    async def _watch(self, frames: Frames) -> None:
        # Until the connection is lost: looks for answers that do not come and for silence.
        loop = asyncio.get_running_loop()
        self._silence.begin(loop.time())
        while not frames.lost.done():
            await asyncio.wait((frames.lost,), timeout=self._step)
            if frames.lost.done():
                break
            now = loop.time()
            silence = self._silence.look(now, self._intake.messages, bool(self.channels.symbols) and self._trading())
            if self._due and now > self._due:
                self._end(Ending("the venue did not answer in time"), graceful=False)
            elif silence:
                self._end(Ending(f"no data for {silence:.1f} s", cause=GapCause.SILENCE), graceful=False)

    def _end(self, ending: Ending, *, graceful: bool = True) -> None:
        if self._ending is None and self._frames is not None:
            self._ending = ending
            self._frames.end(ending.text, graceful=graceful)

    def _on_records(self, now: int) -> None:
        self._report_missed()
        self._sink(*self._decoder.take())

    def _on_control(self, text: bytes) -> None:
        message = self._parse(text)
        kind = message.get("T")
        if kind == "error":
            self._on_error(message.get("code", 0), str(message.get("msg", "")))
        elif kind == "subscription":
            self._on_acknowledged(message)
        elif message.get("msg") == "connected":
            self._ask()
            self._send({"action": "auth", "key": self._keys[0], "secret": self._keys[1]})
        elif message.get("msg") == "authenticated":
            self._due = 0.0
            self._authenticated = True
            self.connections += 1
            self._advance()

    def _on_acknowledged(self, message: dict[str, Any]) -> None:
        self._due = 0.0
        asked = self.channels.pending
        if self.channels.acknowledge(message):
            self._advance()
        elif asked is not None and self.channels.given_up(asked):
            verb = "leaves out" if asked.action == "subscribe" else "keeps"
            self._tell(self.up, f"the venue {verb} {asked.channel} of {', '.join(sorted(asked.symbols))}")
            self._advance()
        else:  # not hotly
            asyncio.get_running_loop().call_later(self._again, self._advance)
        self._report_missed()

    def _on_error(self, code: int, text: str) -> None:
        if code in FINAL:
            self._end(Ending(f"{code} {text}: {FINAL[code]}", final=True))
        elif code == 406:
            self._end(Ending(f"406 {text}: another session is open", delay=self._limit_delay * self._rng.uniform(1.0, 1.5)))
        elif code == 407:
            self._end(Ending(f"407 {text}: data was lost", cause=GapCause.SLOW))
        elif code == 403:
            _log.info("data stream: 403 %s", masked(text))
        elif code in REFUSED or (self._authenticated and code not in (401, 404, 500)):
            asked = self.channels.pending
            self._due = 0.0
            self.channels.refuse(text, channel=code == 410)
            what = f": {asked.action} {asked.channel} {', '.join(sorted(asked.symbols))}" if asked else ""
            self._tell(self.up, masked(f"{code} {text}{what}"))
            self._advance()
        else:
            self._end(Ending(f"{code} {text}"))

    # ------------------------------------------------------------------------------------------------ subscriptions and gaps
    def _advance(self) -> None:
        # Sends the next request; the stream is up once everything that the venue grants is acknowledged.
        if not self._authenticated or self._frames is None or self._frames.lost.done():
            return
        if request := self.channels.next():
            self._ask()
            self._send(request.message())
        elif not self.up and self.channels.settled:
            self._tell(True, "")

    def _mark_missed(self, cause: GapCause) -> None:
        symbols = self.channels.symbols
        if self._intake.messages:  # told, though the acknowledgement of some of them may have been lost
            symbols |= self.channels.asked
        seen = self._intake.last or self._clock()
        for instrument in self._instruments:
            if instrument.symbol in symbols or "*" in symbols:
                self._missed.setdefault(instrument.id, (cause, seen))
        self._intake.plain = not self._missed

    def _report_missed(self) -> None:
        if not self._missed:
            return
        gaps = np.zeros(len(self._missed), gap_dtype)
        now = self._clock()
        gaps["type"], gaps["flags"], gaps["ts_event"], gaps["ts_recv"], gaps["to_ts"] = RecordType.GAP, Flag.GAP, now, now, now
        for gap, (instrument, (cause, seen)) in zip(gaps, sorted(self._missed.items()), strict=True):
            gap["instrument"], gap["cause"], gap["from_ts"] = instrument, cause, seen
        self._missed.clear()
        self._intake.plain = True
        self._sink(gaps.view(market_dtype), np.zeros(0, bar_dtype))

    # ------------------------------------------------------------------------------------------------ small things
    def _ask(self) -> None:
        self._due = asyncio.get_running_loop().time() + self._answer_within

    def _send(self, message: dict[str, Any]) -> None:
        if self._frames is not None:
            kind = WSMsgType.BINARY if self._codec == "msgpack" else WSMsgType.TEXT
            self._frames.transport.send(kind, self._compose(message))

    def _tell(self, up: bool, text: str, *, final: bool = False) -> None:
        self.up = up
        self._events(StreamState(stream="data", up=up, text=text, final=final, without=self.channels.without))
