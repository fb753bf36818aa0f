"""What is worth how much where no feed tells: what was bought by hand, or in symbols that no strategy watches (R7, R20).

The venue's account values each position; a fill told a price too. Both are of this life alone: nothing of it is durable.
"""

from collections.abc import Iterable
from decimal import Decimal

from pyrt._core.risk import Gate
from pyrt._core.types import PX_SCALE
from pyrt.model import Filled, Instrument, Instruments
from pyrt.ports import Alarm, Command, VenueSnapshot

MOST_PX = 1 << 62


class Marks:
    """Tells the gate what the feed does not, and a human what nobody does."""

    def __init__(self, gate: Gate, instruments: Instruments) -> None:
        self._gate = gate
        self._instruments = instruments
        self._lives = False  # facts are of now, not of an earlier life
        self._fresh = False  # the venue told anew what it values positions at
        self._flagged: set[tuple[int, str]] = set()  # (instrument, where its price comes from) that was told

    def begin(self) -> None:
        """A life begins."""
        self._lives = True

    def told(self, snapshot: VenueSnapshot) -> None:
        """The venue's own value of each position."""
        self._fresh = True
        for position in snapshot.positions:
            known = self._instruments.get(position.symbol)
            if known is not None and position.price:
                self._gate.value_at(known.id, _px(position.price))

    def filled(self, fact: Filled) -> None:
        """A fill says what its instrument was worth just now; that of an earlier life says nothing."""
        if self._lives:
            self._gate.value_at(fact.instrument, fact.px)

    def missing(self, defined: Iterable[Instrument]) -> str:
        """The symbols that are held or ordered and have no price at all."""
        return ", ".join(i.symbol for i in defined if not self._gate.priced_by(i.id))

    def alarms(self, defined: Iterable[Instrument]) -> list[Command]:
        """What counts and is not priced by a feed, each once: priced by the venue, or by nobody."""
        if not (self._fresh or self._gate.unpriced or self._gate.unmarked):
            return []
        self._fresh = False
        found: dict[str, list[str]] = {"venue": [], "": []}
        for instrument in defined:
            source = self._gate.priced_by(instrument.id)
            if source in found and (instrument.id, source) not in self._flagged:
                self._flagged.add((instrument.id, source))
                found[source].append(instrument.symbol)
        commands: list[Command] = []
        if found["venue"]:
            text = "no feed tells its price: it counts at what the venue says of the account, in exposures with the haircut"
            commands.append(Alarm(severity="warning", code="VENUE_PRICED", text=f"{', '.join(found['venue'])}: {text}"))
        if found[""]:
            text = "held, or ordered, and nobody tells a price: no entry is approved, and no loss is counted, until somebody does"
            commands.append(Alarm(severity="critical", code="UNPRICED", text=f"{', '.join(found[''])}: {text}"))
        return commands


def _px(text: str) -> int:
    """Px units, rounded down; 0 where it is no price."""
    try:
        px = int(Decimal(text).scaleb(PX_SCALE))
    except (ArithmeticError, ValueError):
        return 0
    return px if 0 < px < MOST_PX else 0
