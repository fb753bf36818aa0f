"""What a venue says anew of instruments that the journal knows: what may be traded and borrowed changes by the day."""

from collections.abc import Callable, Iterable, Sequence

import msgspec

from pyrt.errors import ConfigError
from pyrt.model import Instrument

CHANGING = ("tradable", "shortable", "easy_to_borrow", "min_qty")


def seen_again(ask: Callable[[Sequence[str], int], list[Instrument]], known: Iterable[Instrument]) -> list[Instrument]:
    """Those of `known` that the venue now describes otherwise, by their old id and units; what is gone is not tradable.

    ask: symbols and a first id -> definitions; raises ConfigError for what is not traded.
    """
    changed = []
    for instrument in known:
        try:
            (told,) = ask([instrument.symbol], instrument.id)
            now = msgspec.structs.replace(instrument, **{name: getattr(told, name) for name in CHANGING})
        except ConfigError:  # shares of it may still be held: the session starts, and its orders are refused
            now = msgspec.structs.replace(instrument, tradable=False)
        if now != instrument:
            changed.append(now)
    return changed
