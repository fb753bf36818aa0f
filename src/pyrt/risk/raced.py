"""Both exits of one position filled: what was sold twice is bought back, as far as its strategy stands on the wrong side.

What is owed is what the facts say, so that a crash between the race and the way back loses nothing; when it was last tried is not.
"""

from pyrt._core.ledger import Ledger
from pyrt._core.types import Side
from pyrt.clock import SECOND
from pyrt.model import Instruments
from pyrt.ports import Alarm, Command, ExitWanted
from pyrt.risk.exits import LONGEST, Exits
from pyrt.risk.self_match import Parked

Key = tuple[int, int]  # (strategy, instrument)


class Raced:
    """What strategies owe after races of their exits."""

    def __init__(self, ledger: Ledger, instruments: Instruments) -> None:
        self._ledger = ledger
        self._instruments = instruments
        self.owed: dict[Key, tuple[Side, int]] = {}  # the way back, and qty units of it
        self._tries: dict[Key, tuple[int, int]] = {}  # next try, venue ns; wait after it

    # ------------------------------------------------------------------------------------------------ facts
    def add(self, strategy: int, instrument: int, side: Side, over: int) -> None:
        """An exit filled too much; `side`: of the way back."""
        self.owed[strategy, instrument] = side, self.owed.get((strategy, instrument), (side, 0))[1] + over

    def settle(self, strategy: int, instrument: int) -> None:
        """A position moved: what is no longer on the wrong side is not owed."""
        known = self.owed.get((strategy, instrument))
        if known is None:
            return
        side, qty = known
        held = self._ledger.position(strategy, instrument).qty
        qty = min(qty, max(-held if side is Side.BUY else held, 0))
        if qty:
            self.owed[strategy, instrument] = side, qty
        else:
            del self.owed[strategy, instrument]
            self._tries.pop((strategy, instrument), None)

    # ------------------------------------------------------------------------------------------------ decisions
    def begin(self) -> list[Command]:
        """A life begins: what an earlier one left owed is told again."""
        self._tries = {}
        return [self.alarm(key, qty, "is still owed from an earlier start") for key, (_, qty) in self.owed.items()]

    def alarm(self, key: Key, qty: int, words: str) -> Alarm:
        """What strategy, symbol and quantity a race concerns."""
        known = self._instruments[key[1]]
        text = f"strategy {key[0]}: both exits of one position in {known.symbol} filled, {known.quantity(qty)} too many {words}"
        return Alarm(severity="critical", code="EXITS_RACED", text=text.rstrip())

    def check(self, exits: Exits, parked: Parked, now: int) -> list[Command]:
        """Wishes for the way back: of each what no order is about to bring, later and later while it is refused."""
        commands: list[Command] = []
        for (strategy, instrument), (side, owed) in self.owed.items():
            held = self._ledger.position(strategy, instrument)
            qty = owed - (held.buys if side is Side.BUY else held.sells)
            at, wait = self._tries.get((strategy, instrument), (0, 0))
            if qty <= 0 or now < at or parked.exit_of(strategy, instrument, side):
                continue
            wait = min(max(2 * wait, SECOND), LONGEST)
            self._tries[strategy, instrument] = now + wait, wait
            wish = ExitWanted(strategy=strategy, instrument=instrument, side=side, qty=qty, reason="both exits filled")
            commands.append(exits.want(wish))
        return commands
