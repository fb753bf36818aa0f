"""What is wanted of a data stream, what the venue acknowledged, and the next request that brings them together. No I/O."""

from typing import Any

import msgspec

from pyrt.ports import Subscription

# Bars come with their amendments, statuses with the price bands.
CHANNELS: dict[str, tuple[str, ...]] = {
    "trades": ("trades",),
    "quotes": ("quotes",),
    "bars": ("bars", "updatedBars"),
    "books": ("orderbooks",),
    "statuses": ("statuses", "lulds"),
}
NAMES = tuple(name for names in CHANNELS.values() for name in names)
TRIES = 5  # of a request that the venue acknowledges and leaves out
Sets = dict[str, frozenset[str]]


class Request(msgspec.Struct, frozen=True):
    """One change of one channel. The venue answers each with the whole list or an error, in order."""

    action: str  # "subscribe" or "unsubscribe"
    channel: str
    symbols: frozenset[str]

    def message(self) -> dict[str, Any]:
        """The request in the venue's words."""
        return {"action": self.action, self.channel: sorted(self.symbols)}


class Channels:
    """Steps from the acknowledged set to the wanted one, a request at a time, so that an error says what it refuses."""

    def __init__(self) -> None:
        self.wanted: Sets = dict.fromkeys(NAMES, frozenset())
        self.acknowledged: Sets = dict.fromkeys(NAMES, frozenset())
        self.refused: dict[Request, str] = {}
        self.dropped: dict[str, str] = {}  # channels that this feed does not have
        self.pending: Request | None = None
        self.repeated = 0  # requests that an acknowledgement had not fulfilled
        self.left_out: dict[Request, int] = {}  # requests that no acknowledgement fulfilled -> how often they were sent

    def want(self, subscription: Subscription) -> None:
        """Replace the wanted set; what was refused may be asked again."""
        for field, names in CHANNELS.items():
            for name in names:
                self.wanted[name] = frozenset(getattr(subscription, field))
        self.refused.clear()
        self.dropped.clear()
        self.left_out.clear()

    def lost(self) -> None:
        """The connection is gone, and with it every subscription."""
        self.acknowledged = dict.fromkeys(NAMES, frozenset())
        self.pending = None
        self.left_out.clear()

    def next(self) -> Request | None:
        """The request to send now, which is then under way; None while one is, or where nothing is left to ask."""
        if self.pending is None:
            self.pending = self._outstanding()
            if self.pending is not None:
                self.repeated += self.pending in self.left_out
                return self.pending
        return None

    def acknowledge(self, message: dict[str, Any]) -> bool:
        """Take in the venue's list; True where the request under way is fulfilled by it."""
        for name in NAMES:
            listed = message.get(name)
            self.acknowledged[name] = frozenset(listed) if isinstance(listed, list) else frozenset()
        request, self.pending = self.pending, None
        if request is None:
            return True
        have = self.acknowledged[request.channel]
        fulfilled = request.symbols <= have if request.action == "subscribe" else not request.symbols & have
        if fulfilled:
            self.left_out.pop(request, None)
        else:
            self.left_out[request] = self.left_out.get(request, 0) + 1
        return fulfilled

    def given_up(self, request: Request) -> bool:
        """Whether a request was left out so often that it is not sent again before the next connection."""
        return self.left_out.get(request, 0) >= TRIES

    @property
    def without(self) -> tuple[str, ...]:
        """Symbols of which the venue does not tell something that is wanted: it leaves them out, or refused them."""
        asked = (*(r for r in self.left_out if self.given_up(r)), *self.refused)
        missing = (r.symbols & self.wanted[r.channel] - self.acknowledged[r.channel] for r in asked if r.action == "subscribe")
        return tuple(sorted(frozenset().union(*missing)))

    def refuse(self, text: str, *, channel: bool = False) -> None:
        """The request under way was answered with an error: it, or its whole channel, is not asked again until `want`."""
        request, self.pending = self.pending, None
        if request is not None and channel:
            self.dropped[request.channel] = text
        elif request is not None:
            self.refused[request] = text

    @property
    def settled(self) -> bool:
        """Everything wanted is acknowledged, but for what was refused or left out too often."""
        return self.pending is None and self._outstanding() is None

    @property
    def symbols(self) -> frozenset[str]:
        """Every symbol that the venue acknowledged on any channel."""
        return frozenset().union(*self.acknowledged.values())

    @property
    def asked(self) -> frozenset[str]:
        """Every symbol that is wanted on any channel."""
        return frozenset().union(*self.wanted.values())

    def _outstanding(self) -> Request | None:
        for name in NAMES:
            if name in self.dropped:
                continue
            surplus = Request("unsubscribe", name, self.acknowledged[name] - self.wanted[name])
            missing = Request("subscribe", name, self.wanted[name] - self.acknowledged[name])
            for request in (surplus, missing):
                if request.symbols and request not in self.refused and not self.given_up(request):
                    return request
        return None
