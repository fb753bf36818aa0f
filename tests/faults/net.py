"""The net between the adapters and the venue: below `requests` it takes a prepared request and gives an answer or an error, below
picows it takes and gives frames. Everything that can happen on the way happens here, by chance and counted.
"""

import asyncio
import random
from collections.abc import Callable, Iterator
from email.utils import formatdate
from functools import lru_cache
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, ClassVar
from urllib.parse import urlencode, urlsplit

import requests
from picows import WSError, WSFrame, WSHandshakeError, WSListener, WSMsgType, WSTransport
from picows.picows import _make_test_ws_frame  # type: ignore[attr-defined]
from requests.structures import CaseInsensitiveDict
from tests.faults.kernel import MS, SECOND, World, here, nap, park
from tests.faults.plan import REST
from tests.faults.themes import PART
from tests.faults.venue import Reply, VenueClock
from urllib3.exceptions import ProtocolError

from pyrt.venues.sim.server import data_session, trading_stream
from pyrt.venues.sim.server.truth import Connection

if TYPE_CHECKING:
    from tests.faults.world import Simulation

HTML = b"<html><head><title>502 Bad Gateway</title></head><body><center>cloudflare</center></body></html>"


# ---------------------------------------------------------------------------------------------------- REST
class Socket:
    """The socket of a connection, as the adapter may hold it."""

    def __init__(self) -> None:
        self.is_shut = False
        self.waiter: tuple[Any, int] | None = None

    def dup(self) -> "Socket":
        return self

    def shutdown(self, how: int) -> None:
        self.is_shut = True
        if self.waiter is not None:
            task, ticket = self.waiter
            task.wake(ticket)

    def close(self) -> None:
        pass


class Adapter:
    """Stands in for the HTTPAdapter of one VenueSession."""

    net: "Net"

    def __init__(self, owner: Any) -> None:
        self.owner = owner
        self.socket: Socket | None = None
        self.poolmanager = self

    def clear(self) -> None:
        """Of the pool: close the connection."""
        if self.socket is not None:
            self.socket = None
            self.owner.closed()

    def close(self) -> None:
        self.clear()

    def send(self, request: Any, *, timeout: float, **_: Any) -> Any:
        net = self.net
        if self.socket is None or self.socket.is_shut:
            net.connect(timeout)
            self.socket = Socket()
            self.owner.opened(self.socket)
        self.owner.claim()
        attempt = self.owner._attempt
        return net.exchange(self.socket, request.method, request.url, dict(request.headers), request.body or b"", timeout, attempt)


class Session:
    """Stands in for requests.Session where the library is used as it is."""

    net: "Net"

    def __init__(self) -> None:
        self.headers: dict[str, str] = {}
        self.trust_env = True

    def __enter__(self) -> "Session":
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def close(self) -> None:
        pass

    def get(self, url: str, *, params: Any = None, headers: Any = None, timeout: Any = (5.0, 10.0), **_: Any) -> Any:
        self.net.connect(timeout[0])
        target = f"{url}?{urlencode(params)}" if params else url
        answer = self.net.exchange(Socket(), "GET", target, {**self.headers, **(headers or {})}, b"", timeout[1], None)
        return Whole(answer)


class Whole:
    """An answer as requests.Response shows it."""

    def __init__(self, answer: Any) -> None:
        self.status_code, self.headers, self._raw = answer.status_code, answer.headers, answer.raw

    def iter_content(self, n: int) -> Iterator[bytes]:
        try:
            yield from self._raw.stream(n)
        except ProtocolError as e:
            raise requests.exceptions.ChunkedEncodingError(e) from None

    @property
    def content(self) -> bytes:
        return b"".join(self.iter_content(1 << 16))

    @property
    def text(self) -> str:
        return self.content.decode("latin-1")

    def close(self) -> None:
        pass


class Preparer:
    """Stands in for requests.Session where it only prepares: what the library prepared once is used again, for it is slow at it."""

    known: ClassVar[dict[tuple[Any, ...], Any]] = {}

    def __init__(self) -> None:
        self.headers: dict[str, str] = {}
        self.trust_env = True

    def mount(self, prefix: str, adapter: Any) -> None:
        self._adapter = adapter

    def prepare_request(self, request: Any) -> Any:
        key = (request.method, request.url, tuple(self.headers.items()))
        if key not in self.known:
            real = requests.Session()
            real.trust_env = False
            real.headers.clear()
            real.headers.update(self.headers)
            self.known[key] = real.prepare_request(request)
        return self.known[key].copy()

    def close(self) -> None:
        self._adapter.close()


class Preparing:
    """Stands in for the module `requests` in the adapter's own session."""

    Session, Request = Preparer, requests.Request


class Requests:
    """Stands in for the module `requests`."""

    Session = Session
    RequestException = requests.RequestException
    Response = requests.Response


class Body:
    """The raw part of an answer; `broken`: it ends before its time."""

    def __init__(self, data: bytes, broken: bool) -> None:
        self._data, self._broken = data, broken

    def stream(self, n: int, decode_content: bool = True) -> Iterator[bytes]:
        yield self._data
        if self._broken:
            raise ProtocolError("IncompleteRead")

    def close(self) -> None:
        pass


REFUSALS: tuple[tuple[int, dict[str, str], bytes], ...] = (
    (403, {}, b'{"code":40310000,"message":"insufficient buying power"}'),
    (422, {}, b'{"code":42210000,"message":"qty is not valid"}'),
)
ALL = ("DELETE", "/v2/orders")  # that cancels whatever works
KINDS = (*REST, "doubled request", "refusal")
PAGES = ("/v2/account", "/v2/positions", "/v2/orders", "/v2/account/activities/FILL")  # of what a start reads whole


class Net:
    """Ways to the venue, and what becomes of what is on them."""

    def __init__(self, sim: "Simulation", rng: random.Random) -> None:
        self.sim = sim
        self.rng = rng
        self.kernel = sim.kernel
        self.wires: list[Wire] = []
        self.unheard: list[Wire] = []  # of dead machines, which the venue still keeps
        self.doubled: set[str] = set()  # cids of which somebody on the way sent a copy
        self.flying: dict[str, int] = {}  # cid -> requests on their way that may still create it

    # ------------------------------------------------------------------------------------------------ requests
    def connect(self, timeout: float) -> None:
        self.sim.point("rest connect")
        nap(self.rng.randrange(200_000, 3 * MS))
        if self.sim.happens("refused"):
            if self.rng.random() < 0.3:
                nap(int(timeout * SECOND))
                raise requests.ConnectTimeout("no connection")
            raise requests.ConnectionError("refused")

    def exchange(
        self, socket: Socket, method: str, url: str, headers: dict[str, str], body: bytes, timeout: float, attempt: Any
    ) -> Any:
        """Send a request and wait for its answer. Raises what `requests` raises."""
        sim, rng, kernel = self.sim, self.rng, self.kernel
        parts = urlsplit(url)
        target = parts.path + (f"?{parts.query}" if parts.query else "")
        cid = sim.oracle.first_byte(method, target, body)
        World.changes += method != "GET"
        sim.point("rest first byte")
        box: list[Any] = []
        task, ticket = here(), here().ticket
        socket.waiter = (task, ticket)

        def give(value: Any) -> None:
            if not box:
                box.append(value)
                task.wake(ticket)

        kind = self._out(method, parts.path) or self._kind(method, target)
        up, down = self._delay(), self._delay()
        if kind == "slow":
            up, down = rng.randrange(int(timeout * SECOND * 0.9)), rng.randrange(int(timeout * SECOND * 0.5))
        elif kind == "held":  # lands when nobody waits any more, as late as our assumption about the venue allows
            up = rng.randrange(SECOND // 2, sim.landing)
            if up // 1000 % 2:  # and who waited is told early that the way broke
                kernel.later(up % (2 * SECOND), give, requests.ConnectionError("reset"))
        if kind in ("lost request", "error before", "429", "refusal") or (kind == "html" and rng.random() < 0.5):
            answer = self._without(kind)
            if answer is not None:
                kernel.later(up + down, give, answer)
            elif rng.random() < 0.5:
                kernel.later(up + down, give, requests.ConnectionError("reset"))
        else:
            if cid:
                self.flying[cid] = self.flying.get(cid, 0) + 1
            kernel.later(up, self._land, cid, method, target, headers, body, kind, down, give)
            if kind == "doubled request" and cid:  # a balancer that tries again: the first answer is lost on its way
                self.doubled.add(cid)
                self.flying[cid] += 1
                kernel.later(up + down, self._land, cid, method, target, headers, body, "", down, give)
        if kind == "reset":
            kernel.later(rng.randrange(up + down + 1), give, requests.ConnectionError("reset"))
        if not park(kernel.now + int(timeout * SECOND)) and not box:
            raise requests.ReadTimeout("read timed out")
        socket.waiter = None
        sim.point("rest answered")
        if socket.is_shut or not box:
            raise requests.ConnectionError("shut")
        if isinstance(box[0], Exception):
            raise box[0]
        if cid and box[0].tells:
            sim.oracle.answered(cid)
        return box[0]

    def _land(
        self,
        cid: str,
        method: str,
        target: str,
        headers: dict[str, str],
        body: bytes,
        kind: str,
        down: int,
        give: Callable[..., None],
    ) -> None:
        """The venue gets a request, from whoever sent it, be he dead."""
        if cid:
            self.flying[cid] -= 1
        reply = self._handled(method, target, headers, body)
        World.changes += method != "GET"
        if target.startswith(PAGES[-1]) and self.sim.happens("meanwhile"):  # somebody trades when all was read and nothing is known
            self.sim.strike("foreign trade")
        if cid:
            self.sim.oracle.landed()
            if reply.status in (400, 403, 404, 422):
                self.sim.note("rejected")
        elif method == "DELETE" and reply.status == 422:
            self.sim.note("raced")
        if kind == "doubled request" and cid:
            return
        if kind in ("lost answer", "held"):
            if self.rng.random() < 0.5:
                self.kernel.later(down, give, requests.ConnectionError("reset"))
            return
        broken = False
        if kind == "error after":
            reply = self.rng.choice(
                (Reply(504, {}, HTML), Reply(502, {}, HTML), Reply(500, {}, b'{"code":50010000,"message":"x"}'))
            )
        elif kind == "truncated":
            reply.body = reply.body[: self.rng.randrange(len(reply.body) or 1)]
            broken = self.rng.random() < 0.5
        elif kind == "html":
            reply = Reply(self.rng.choice((200, 404, 403, 408)), {}, HTML)
        tells = kind not in ("error after", "truncated", "html") and reply.status < 500
        self.kernel.later(down, give, _response(reply, broken, tells=tells))

    def _handled(self, method: str, target: str, headers: dict[str, str], body: bytes) -> Reply:
        sim = self.sim
        if (method, target) != ALL or not sim.happens(PART):
            return sim.venue.handle(method, target, headers, body)
        with sim.venue.in_part(self.rng):
            return sim.venue.handle(method, target, headers, body)

    def _without(self, kind: str) -> Any:
        """The answer of somebody on the way; None = silence."""
        rng = self.rng
        if kind == "429":
            json = b'{"code":42910000,"message":"too many requests."}'
            wait = str(rng.randrange(4))
            which = rng.randrange(4)
            if which == 0:
                return _response(Reply(429, {"Retry-After": wait}, json), tells=True)
            if which == 1:
                told = {"X-Ratelimit-Limit": str(self.sim.rate_limit), "X-Ratelimit-Remaining": "0"}
                if (
                    self.sim.mode == "liveness" or rng.random() < 0.5 or self.sim.mode == "points"
                ):  # without it a window of a minute is gone: that does not heal
                    told["X-Ratelimit-Reset"] = str(int(VenueClock.time()) + rng.randrange(1, 5))
                return _response(Reply(429, told, HTML), tells=True)
            return _response(Reply(429, {}, json if which == 2 else HTML), tells=which == 2)
        if kind == "refusal":
            return _response(Reply(*rng.choice(REFUSALS)), tells=True)
        if kind == "error before":
            status = rng.choice((500, 502, 503, 504, 408))
            return _response(Reply(status, {}, rng.choice((HTML, b'{"message":"upstream"}', b""))))
        if kind == "html":
            return _response(Reply(rng.choice((200, 403, 404, 422)), {}, HTML))
        return None

    def _out(self, method: str, path: str) -> str:
        """A part of the venue is down: its pages do not come."""
        if method != "GET" or path != self.sim.outage:
            return ""
        self.sim.note("outage")
        return self.rng.choice(("error before", "html"))

    def _kind(self, method: str, target: str) -> str:
        if self.sim.storm:
            return self.sim.note(self.sim.storm)
        often = 4.0 if method != "GET" else 1.0  # what makes and ends orders is what matters
        places = method in ("POST", "PATCH")
        for kind in KINDS:
            if places and self.sim.happens(f"order: {kind}"):  # of requests that place orders alone
                return kind
            if (method, target) == ALL and kind != "refusal" and self.sim.happens(f"all: {kind}"):
                return kind
            if kind == "refusal" and not places:
                continue
            if kind != "refused" and self.sim.happens(kind, often):
                return kind
        return ""

    def _delay(self) -> int:
        rng = self.rng
        return rng.randrange(MS, 6 * MS) if rng.random() < 0.8 else rng.randrange(MS, 400 * MS if self.sim.faulty else 40 * MS)

    # ------------------------------------------------------------------------------------------------ WebSockets
    async def dial(self, make: Callable[[], Any], url: str, **options: Any) -> Any:
        """Stands in for dial, which is picows.ws_connect."""
        sim, rng = self.sim, self.rng
        sim.point("ws connect")
        await asyncio.sleep(rng.randrange(1, 20) / 1000)
        if sim.happens("ws refused"):
            which = rng.randrange(4)
            if which == 0:
                await asyncio.sleep(options["websocket_handshake_timeout"])
                raise TimeoutError
            if which == 1:
                raise ConnectionRefusedError(111, "refused")
            if which == 2:
                raise WSError("the peer went away")
            response = SimpleNamespace(status=rng.choice((429, 500, 503, 408)))
            raise WSHandshakeError("upgrade failed", response=response)  # type: ignore[arg-type]
        listener = make()
        wire = Wire(self, listener, urlsplit(url).path, options)
        self.wires.append(wire)
        if type(listener).on_ws_connected is not WSListener.on_ws_connected:  # picows' own wants a transport of its own
            listener.on_ws_connected(wire.transport)
        wire.begin()
        return wire.transport, listener

    def end_of(self, machine: Any) -> None:
        """A process died: the kernel resets its connections, or nobody tells the venue (power was lost)."""
        for wire in [w for w in self.wires if w.machine is machine]:
            wire.closed = True
            self.wires.remove(wire)
            wire.listener = wire.loop = wire.gone = wire.transport = None  # type: ignore[assignment]
            gone = self.sim.plan.unheard if self.sim.unclean else self.rng.randrange(MS, 50 * MS)
            self.unheard = [kept for kept in self.unheard if not kept.left] + [wire]
            self.kernel.later(gone if self.sim.faulty else MS, wire.leave)


def frame_of(kind: WSMsgType, payload: bytes, fin: bool = True, code: int = 1000) -> WSFrame:
    """A frame, as picows hands it to a listener."""
    if kind == WSMsgType.CLOSE:
        payload = code.to_bytes(2, "big")
    return _make_test_ws_frame(kind, payload, fin, False)  # type: ignore[no-any-return]


class Transport(WSTransport):
    """The client's end of a WebSocket."""

    def __init__(self, wire: "Wire") -> None:
        self.wire = wire

    @property
    def underlying_transport(self) -> Any:  # type: ignore[override]
        return SimpleNamespace(get_extra_info=lambda name: SimpleNamespace(setsockopt=lambda *a: None))

    def send(self, kind: Any, data: bytes) -> None:
        self.wire.upwards(bytes(data))

    def send_close(self, code: Any) -> None:
        pass

    def disconnect(self, graceful: bool = True) -> None:
        self.wire.hang_up(graceful)

    def wait_disconnected(self) -> Any:
        return asyncio.shield(self.wire.gone)


class Outbox:
    """The venue's end of a WebSocket: stands in for the server's queue of frames."""

    waiting = 0

    def __init__(self, wire: "Wire") -> None:
        self.wire = wire

    def put(self, frame: bytes, kind: Any) -> bool:
        if b"connection limit" in frame:
            self.wire.net.sim.note("406")
        self.wire.downwards(bytes(frame), WSMsgType.TEXT if int(kind) == 1 else WSMsgType.BINARY)
        return True

    def close(self, code: int, last: Any = None, *, discard: bool = False) -> None:
        if last is not None:
            self.put(*last)
        self.wire.downwards(b"", WSMsgType.CLOSE, code)

    def silence(self) -> None:
        pass

    async def drained(self) -> None:
        pass


class Wire:
    """One WebSocket, both ends: in order, until it is cut, half open, or silent."""

    def __init__(self, net: Net, listener: Any, path: str, options: dict[str, Any]) -> None:
        self.net, self.kernel, self.listener, self.path = net, net.kernel, listener, path
        self.machine = World.machine
        self.loop = asyncio.get_running_loop()
        self.gone: asyncio.Future[None] = self.loop.create_future()
        self.transport = Transport(self)
        self.closed = False  # for the client
        self.left = False  # for the venue
        self.deaf = False  # half open: nothing passes any more, and nobody is told
        self.silent = False  # what the venue says gets lost; pings are answered
        self._arrived = [0, 0]  # last arrival, downwards and upwards: a stream keeps its order
        self._heard = self.kernel.now
        self._bound = int((options.get("auto_ping_idle_timeout", 8) + options.get("auto_ping_reply_timeout", 8)) * SECOND)
        venue = net.sim.venue
        entry: Connection = venue.truth.connection(path, venue.floor.now, self.kernel.now)
        request: Any = SimpleNamespace(headers=dict(options.get("extra_headers") or {}), transport=None)
        self.hub: Any
        self.session: Any
        if path == "/stream":
            self.hub, self.session = venue.trading, trading_stream.Session(venue.trading, None, request, entry)  # type: ignore[arg-type]
            venue.trading._sessions.append(self.session)
        else:
            codec = "msgpack" if "msgpack" in request.headers.get("Content-Type", "") else "json"
            self.hub, self.session = venue.data, data_session.Session(venue.data, None, request, codec, entry)  # type: ignore[arg-type]
        self.session.outbox = Outbox(self)
        World.changes += 1

    def begin(self) -> None:
        if self.path != "/stream":
            self.session.say({"T": "success", "msg": "connected"})

    # ---- on the way
    def _arrival(self, way: int) -> int:
        at = max(self._arrived[way] + 1, self.kernel.now + self.net._delay())
        self._arrived[way] = at
        return at

    def downwards(self, data: bytes, kind: WSMsgType, code: int = 1000) -> None:
        if not self.closed:
            self.kernel.at(self._arrival(0), self._arrive, data, kind, code)

    def _arrive(self, data: bytes, kind: WSMsgType, code: int) -> None:
        if self.silent and self.path != "/stream" and kind != WSMsgType.CLOSE:
            self.net.sim.beliefs.blind = True  # no loss of a stream's bytes that its reader could notice
        if self.closed or self.deaf or self.silent or self.machine.dead:
            return
        self._heard = self.kernel.now
        rng = self.net.rng
        if kind != WSMsgType.CLOSE and len(data) > 2 and rng.random() < 0.01:
            cut = rng.randrange(1, len(data))
            frames = [frame_of(kind, data[:cut], False), frame_of(WSMsgType.CONTINUATION, data[cut:])]
        else:
            frames = [frame_of(kind, data, True, code)]
        for frame in frames:
            self.loop.call_soon_threadsafe(self._frame, frame)

    def _frame(self, frame: WSFrame) -> None:
        if self.closed:
            return
        self.net.sim.point("ws frame")
        for ear in self.net.sim.listeners if self.path != "/stream" else ():
            ear.frame(self, frame)
        try:
            self.listener.on_ws_frame(self.transport, frame)
        except Exception as e:
            self.net.sim.violate("-", f"a listener raised {type(e).__name__}: {e}")
            self.hang_up(False)

    def upwards(self, data: bytes) -> None:
        if not self.closed and not self.machine.dead:
            self.net.sim.point("ws send")
            self.kernel.at(self._arrival(1), self._heard_by_venue, data)

    def _heard_by_venue(self, data: bytes) -> None:
        if not self.deaf and not self.left:
            self.session._hear(data)

    # ---- ends
    def hang_up(self, graceful: bool) -> None:
        """The client ends it."""
        if self.closed:
            return
        self.closed = True
        if not self.machine.dead:
            self.loop.call_soon(self._lost)
        if not self.deaf:
            self.kernel.later(self.net._delay(), self.leave)

    def _lost(self) -> None:
        if self in self.net.wires:
            self.net.wires.remove(self)
        if not self.gone.done():
            self.gone.set_result(None)
            self.listener.on_ws_disconnected(self.transport)

    def leave(self) -> None:
        """The venue forgets it; what of it is still on its way finds nobody."""
        self.left = True
        World.changes += 1
        self.hub.leave(self.session)

    def reset(self) -> None:
        """Cut under both."""
        self.leave()
        if not self.closed and not self.machine.dead:
            self.closed = True
            self.loop.call_soon_threadsafe(self._lost)

    def half_open(self) -> None:
        """Nobody hears anything any more; the client's ping finds out, the venue keeps the session for 90 s."""
        self.deaf = True
        self.kernel.at(self.kernel.now + self._bound, self._ping_fails)
        self.kernel.later(90 * SECOND, self.leave)

    def _ping_fails(self) -> None:
        if not self.closed and not self.machine.dead:
            self.closed = True
            self.loop.call_soon_threadsafe(self._lost)

    def mute(self, lasts: int) -> None:
        """The venue's words get lost for a while."""
        self.silent = True
        self.kernel.later(lasts, self._unmute)

    def _unmute(self) -> None:
        self.silent = False


@lru_cache(maxsize=4)
def _date(at: int) -> str:
    return formatdate(at, usegmt=True)


def _response(reply: Reply, broken: bool = False, *, tells: bool = False) -> Any:
    """tells: it says what became of the request."""
    headers = CaseInsensitiveDict({"Date": _date(int(VenueClock.time())), **reply.headers})
    return SimpleNamespace(status_code=reply.status, headers=headers, raw=Body(reply.body, broken), tells=tells)
