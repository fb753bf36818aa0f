from os import PathLike
from typing import Any, Literal, Self, final

import numpy as np
from _typeshed import ReadableBuffer, WriteableBuffer
from numpy.typing import DTypeLike
from typing_extensions import disjoint_base

from pyrt._core.types import market_dtype as market_dtype

class RingError(Exception): ...
class RingBusy(RingError): ...

@disjoint_base
class RingBuffer:
    path: str
    dtype: np.dtype[np.void]
    @staticmethod
    def create(
        name: str,
        dtype: DTypeLike = ...,
        *,
        capacity: int = 65536,
        wakes: bool = False,
        directory: str | PathLike[str] | None = None,
    ) -> RingWriter: ...
    @staticmethod
    def open(
        name: str,
        dtype: DTypeLike = ...,
        *,
        start: Literal["new", "oldest"] | int = "new",
        directory: str | PathLike[str] | None = None,
    ) -> RingReader: ...
    @staticmethod
    def remove(name: str, *, directory: str | PathLike[str] | None = None) -> bool: ...
    @property
    def capacity(self) -> int: ...
    @property
    def window(self) -> int: ...
    @property
    def head(self) -> int: ...
    @property
    def life(self) -> int: ...
    @property
    def pid(self) -> int: ...
    @property
    def closed(self) -> bool: ...
    def close(self) -> None: ...
    def __enter__(self) -> Self: ...
    def __exit__(self, *_: object) -> None: ...

@final
class RingWriter(RingBuffer):
    def __new__(
        cls,
        name: str,
        dtype: DTypeLike = ...,
        *,
        capacity: int = 65536,
        wakes: bool = False,
        directory: str | PathLike[str] | None = None,
    ) -> RingWriter: ...
    def publish(self, records: ReadableBuffer | np.ndarray[Any, Any], *, every: int = 0) -> None: ...

@final
class RingReader(RingBuffer):
    def __new__(
        cls,
        name: str,
        dtype: DTypeLike = ...,
        *,
        start: Literal["new", "oldest"] | int = "new",
        directory: str | PathLike[str] | None = None,
    ) -> RingReader: ...
    @property
    def cursor(self) -> int: ...
    @property
    def lag(self) -> int: ...
    @property
    def lost(self) -> int: ...
    @property
    def gaps(self) -> int: ...
    @property
    def restarts(self) -> int: ...
    @property
    def state(self) -> Literal["live", "closed", "dead"]: ...
    def read(self, limit: int | None = None) -> np.ndarray[Any, np.dtype[np.void]]: ...
    def read_into(self, out: WriteableBuffer | np.ndarray[Any, Any]) -> int: ...
    def wait(self, timeout: float | None = None, *, spin: float = 0.0) -> bool: ...
