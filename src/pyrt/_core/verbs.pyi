from collections.abc import Callable
from typing import Any, TypeVar, final

from typing_extensions import disjoint_base

from pyrt._core.ledger import Ledger
from pyrt._core.loop import Loop

_F = TypeVar("_F", bound=Callable[..., Any])

@disjoint_base
class Ticket:
    number: int
    status: Any
    reason: str
    breaches: tuple[str, ...]
    legs: Any
    is_exit: bool
    _intent: Any
    _instrument: Any
    _filled_qty: int
    _cost: int | None
    def __init__(self, intent: Any, instrument: Any) -> None: ...
    @property
    def _key(self) -> int: ...

@disjoint_base
class Holding:
    @property
    def quantity_qty(self) -> int: ...
    @property
    def _instrument(self) -> Any: ...
    @property
    def _cost(self) -> int: ...
    @property
    def _realised(self) -> int: ...
    def __init__(self, instrument: Any, qty: int, cost: int, realised: int) -> None: ...
    def __bool__(self) -> bool: ...

@final
class Row: ...

@final
class Seat:
    def __new__(
        cls,
        loop: Loop,
        ledger: Ledger,
        strategy: int,
        *,
        order: type[Ticket],
        holding: type[Holding],
        intent: Callable[[int, int, int, int, int, int, int, int, int, bool, int], Any],
        tif_of: Callable[[Any], int],
        post: Callable[[Any], object],
        known: dict[str, Any],
        tifs: dict[str, Any],
        orders: dict[tuple[int, int], Any],
        opened: dict[int, dict[int, Any]],
        sources: dict[int, int],
        shown: dict[int, Any],
    ) -> Seat: ...

def before(verb: str) -> Callable[[_F], _F]: ...
def buy(
    self: Any,
    symbol: Any,
    quantity: Any,
    *,
    limit: Any = None,
    stop: Any = None,
    trail: Any = None,
    trail_percent: Any = None,
    take_profit: Any = None,
    stop_loss: Any = None,
    stop_loss_limit: Any = None,
    tif: Any = None,
    reduce_only: Any = False,
    extended_hours: Any = False,
    valid_for: Any = 30.0,
    round: Any = None,
) -> Any: ...
def sell(
    self: Any,
    symbol: Any,
    quantity: Any,
    *,
    limit: Any = None,
    stop: Any = None,
    trail: Any = None,
    trail_percent: Any = None,
    take_profit: Any = None,
    stop_loss: Any = None,
    stop_loss_limit: Any = None,
    tif: Any = None,
    reduce_only: Any = False,
    extended_hours: Any = False,
    valid_for: Any = 30.0,
    round: Any = None,
) -> Any: ...
def position(self: Any, symbol: Any) -> Any: ...
def open_orders(self: Any, symbol: Any = None) -> Any: ...
