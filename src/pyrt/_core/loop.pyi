from collections.abc import Callable
from typing import Any, final

from typing_extensions import disjoint_base

@disjoint_base
class Decider:
    def hand_over(self, now: Any) -> int: ...

@final
class Listeners: ...

@disjoint_base
class Loop:
    now: Any
    instant: type[tuple[Any, ...]] | None
    running: bool
    halted: set[int]
    _busy: bool
    _told: Any
    _calls: Any
    _queue: Any
    _decider: Decider | None
    def listen(
        self,
        instrument: int,
        symbol: str,
        unit: float,
        trade: list[tuple[int, Callable[..., None]]],
        quote: list[tuple[int, Callable[..., None]]],
        book: bool,
    ) -> None: ...
    def give_record(self, records: Any, index: int) -> bool: ...
