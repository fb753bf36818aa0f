from collections.abc import Callable
from typing import Self, final

import numpy as np
from numpy.typing import NDArray
from typing_extensions import Buffer, disjoint_base

from pyrt._core.inbox import Inbox
from pyrt._core.pipeline import Pipeline
from pyrt._core.wire import Decoder

@disjoint_base
class Reader: ...

@final
class Intake(Reader):
    plain: bool
    messages: int
    @property
    def last(self) -> int: ...
    @property
    def decoder(self) -> Decoder: ...
    def __new__(
        cls,
        decoder: Decoder,
        *,
        clock: Callable[[], int],
        on_control: Callable[[bytes], object],
        on_records: Callable[[int], object],
        inbox: Inbox | None = None,
    ) -> Self: ...

@final
class OnePass(Reader):
    @property
    def decoder(self) -> Decoder: ...
    @property
    def pipeline(self) -> Pipeline: ...
    def __new__(
        cls,
        decoder: Decoder,
        pipeline: Pipeline,
        *,
        clock: Callable[[], int] | None = None,
        on_due: Callable[[], object] | None = None,
    ) -> Self: ...
    def feed(self, frame: Buffer, ts_recv: int) -> int: ...
    def feed_batch(self, data: Buffer, ends: NDArray[np.int64], times: NDArray[np.int64], start: int = 0) -> int: ...
    def resume(self) -> int: ...
    @property
    def due(self) -> int: ...
    @property
    def at(self) -> int: ...
    @property
    def records(self) -> NDArray[np.void]: ...
    @property
    def bars(self) -> NDArray[np.void]: ...
    @property
    def control(self) -> list[bytes]: ...
    def take_bars(self) -> NDArray[np.void]: ...
