from typing import Any, NamedTuple, final

import numpy as np
from typing_extensions import disjoint_base

from pyrt._core.ledger import Ledger
from pyrt._core.loop import Decider, Loop
from pyrt._core.pipeline import Pipeline
from pyrt._core.recent import RecentBars

class Asked(NamedTuple):
    verb: int
    source: int
    target: int
    instrument: int
    side: int
    qty: int
    limit_px: int
    stop_px: int
    tif: int
    valid_for: int
    reduce_only: bool
    extended_hours: bool

@disjoint_base
class CompiledStrategy:
    def _callbacks(self) -> int: ...
    def _bind(
        self,
        number: int,
        pipeline: Pipeline,
        ledger: Ledger,
        rows: list[tuple[int, int, int, int, int]],
        windows: list[RecentBars],
    ) -> None: ...
    def _keep_order(
        self,
        source: int,
        instrument: int,
        side: int,
        qty: int,
        filled: int,
        limit_px: int,
        stop_px: int,
        status: int,
        is_open: bool,
    ) -> None: ...
    def _at(self, now: int) -> None: ...
    def _used(self, source: int) -> None: ...
    def _take_asked(self) -> tuple[list[Asked], int]: ...

@final
class Dispatch:
    sent: bool
    def __new__(cls, pipeline: Pipeline, loop: Loop | None = None) -> Dispatch: ...
    def watch(self, instrument: int, mask: int) -> None: ...
    def stream(self, instrument: int, interval: int, window: RecentBars, session: bool) -> None: ...
    def join(self, instrument: int, strategy: CompiledStrategy, wants: int, interval: int) -> int: ...
    def halt(self, strategy: CompiledStrategy) -> None: ...
    def decide_in(self, lane: Decider) -> None: ...
    def run(self, records: Any, start: int, now: int, live: bool, mono: int = 0) -> int: ...
    def resume(self) -> None: ...
    def take_bars(self) -> np.ndarray[Any, Any]: ...
    def take_count(self) -> int: ...
    def failed(self) -> CompiledStrategy: ...
    @property
    def running(self) -> bool: ...
    @property
    def due(self) -> int: ...
    @property
    def decided(self) -> bool: ...
    @property
    def bars(self) -> int: ...
    @property
    def error(self) -> BaseException | None: ...
