"""Orders as an array: order_dtype, the fields that `RiskGate.check` takes apart."""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pyrt._core.controls import order_dtype
from pyrt._core.types import Side
from pyrt.errors import OrderError
from pyrt.model import Instrument, OrderType

_KINDS = [int(kind) for kind in (OrderType.MARKET, OrderType.LIMIT, OrderType.STOP, OrderType.STOP_LIMIT)]
_WITH_LIMIT = [int(OrderType.LIMIT), int(OrderType.STOP_LIMIT)]
_WITH_STOP = [int(OrderType.STOP), int(OrderType.STOP_LIMIT)]


def filled(orders: Iterable[tuple[int, tuple[int, int, int, int, int]]], n: int, strategy: int) -> NDArray[np.void]:
    """(instrument, (side, kind, qty, limit_px, stop_px)) of each as n rows."""
    rows = np.zeros(n, order_dtype)
    rows["strategy"] = strategy
    names = ["instrument", "side", "type", "qty", "limit_px", "stop_px"]
    rows[names] = np.array([(i, *order) for i, order in orders], dtype=rows[names].dtype)
    return rows


def count(columns: Iterable[Any]) -> int:
    """How many orders columns make: as many as the longest has, one where all are single values."""
    return max((len(values) for values in columns if _is_column(values)), default=1)


def column(values: Any, n: int, name: str) -> Sequence[Any]:
    """One value for all rows, or one for each. Raises OrderError where there are more or fewer."""
    if not _is_column(values):
        return [values] * n
    if len(values) != n:
        raise OrderError(f"{len(values)} of {name} for {n} orders", where="orders", mend="give one for all, or one for each")
    return list(values)


def _is_column(values: Any) -> bool:
    return hasattr(values, "__len__") and not isinstance(values, str)


def looked_at(rows: Any, known: Sequence[Instrument], strategy: int) -> NDArray[np.void]:
    """Rows that somebody else may have made: what the controls take for granted. Raises OrderError, which names the first row."""
    if not isinstance(rows, np.ndarray) or rows.dtype != order_dtype or rows.ndim != 1 or not rows.flags.carray:
        raise OrderError("that is no array of order_dtype", where="check_all", mend="`orders` makes one; keep it whole")
    ids = rows["instrument"]
    here = (ids > 0) & (ids <= len(known))
    tick, sub_tick = (np.array([1, *(getattr(i, name) for i in known)], np.int64) for name in ("tick", "sub_tick"))
    at = np.where(here, ids, 0)
    limited, stopped = np.isin(rows["type"], _WITH_LIMIT), np.isin(rows["type"], _WITH_STOP)
    for what, right in (
        ("its instrument was never quoted, traded or checked here", here),
        (f"its strategy is not {strategy}", rows["strategy"] == strategy),
        ("its side is neither Side.BUY nor Side.SELL", np.isin(rows["side"], [int(Side.BUY), int(Side.SELL)])),
        ("its type is not market, limit, stop or stop-limit", np.isin(rows["type"], _KINDS)),
        ("it replaces another order", rows["replaces"] == 0),
        ("it trails", rows["trail"] == 0),
        *((f"its {name} is not above 0 and on the tick, or not of its type", _is_price(rows[name], has, tick[at], sub_tick[at]))
          for name, has in (("limit_px", limited), ("stop_px", stopped))),
    ):  # fmt: skip
        if not right.all():
            raise OrderError(f"row {int(np.argmin(right))}: {what}", where="check_all", mend="`orders` makes rows that are right")
    return rows


def _is_price(px: NDArray[np.int64], has: NDArray[np.bool_], tick: NDArray[np.int64], sub_tick: NDArray[np.int64]) -> Any:
    return np.where(has, (px > 0) & (px % np.where(px < 10**9, sub_tick, tick) == 0), px == 0)
