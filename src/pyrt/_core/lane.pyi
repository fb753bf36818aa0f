from collections.abc import Callable
from typing import Any, final

from pyrt._core.risk import Gate
from pyrt._core.screen import Screen
from pyrt._core.strategy import Decider

@final
class Lane(Decider):
    def __new__(cls, gate: Gate, screen: Screen, prefix: str, remainder: int) -> Lane: ...
    is_open: bool
    @property
    def key(self) -> int: ...
    @property
    def number(self) -> int: ...
    @property
    def record(self) -> bytes: ...
    @property
    def body(self) -> bytes: ...
    def open(
        self,
        epoch: int,
        approval: int,
        limits_version: int,
        number: int,
        since: int,
        until: int,
        dirty: bool,
        mark_at: int,
    ) -> None: ...
    def close(self) -> None: ...
    def losses(
        self, daily: int | None, drawdown: int | None, days: int | None, peak: int | None, peak_from: int, exits: bool
    ) -> None: ...
    def learn(
        self,
        strategy: int,
        instrument: int,
        symbol: str,
        exp: int,
        tick: int,
        sub_tick: int,
        since: int,
        until: int,
        shortable: bool,
        easy: bool,
    ) -> bool: ...
    def forget(self) -> None: ...
    def decide(self, intent: Any, now: int, mono: int) -> bool: ...
    def decide_order(self, order: Any, now: Any) -> bool: ...
    def hand_to(self, hand: Callable[[int, bytes, bytes, Any], None], used: dict[int, int]) -> None: ...
