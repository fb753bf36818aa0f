"""pyrt: strategies in Python, native speed, and orders that are never lost and never doubled."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pyrt._core.events import Bar, Quote, Trade
    from pyrt._core.itch import ItchBooks
    from pyrt._core.ring import RingBuffer
    from pyrt._core.types import Side
    from pyrt.errors import PyrtError
    from pyrt.library.bars import BarAggregator
    from pyrt.library.book import OrderBook
    from pyrt.library.gate import RiskGate
    from pyrt.library.orders import L3Book
    from pyrt.risk import Limits
    from pyrt.strategies import Order, Position, Strategy
    from pyrt.venues.sim.library import sim

# Names are found where they are defined when they are first used, so that `pyrt --help` stays quick.
_HOMES = {
    "Bar": "pyrt._core.events",
    "BarAggregator": "pyrt.library.bars",
    "ItchBooks": "pyrt._core.itch",
    "L3Book": "pyrt.library.orders",
    "Limits": "pyrt.risk",
    "Order": "pyrt.strategies",
    "OrderBook": "pyrt.library.book",
    "Position": "pyrt.strategies",
    "PyrtError": "pyrt.errors",
    "Quote": "pyrt._core.events",
    "RingBuffer": "pyrt._core.ring",
    "RiskGate": "pyrt.library.gate",
    "Side": "pyrt._core.types",
    "Strategy": "pyrt.strategies",
    "Trade": "pyrt._core.events",
    "sim": "pyrt.venues.sim.library",
}

__all__ = [
    "Bar",
    "BarAggregator",
    "ItchBooks",
    "L3Book",
    "Limits",
    "Order",
    "OrderBook",
    "Position",
    "PyrtError",
    "Quote",
    "RingBuffer",
    "RiskGate",
    "Side",
    "Strategy",
    "Trade",
    "sim",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'pyrt' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
