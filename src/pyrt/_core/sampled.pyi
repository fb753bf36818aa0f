from decimal import Decimal
from typing import final

from typing_extensions import disjoint_base

_Number = int | float | str | Decimal

@disjoint_base
class BarSpec:
    @property
    def code(self) -> int: ...
    def __eq__(self, other: object, /) -> bool: ...
    def __hash__(self) -> int: ...

@final
class Time(BarSpec):
    def __init__(self, seconds: _Number) -> None: ...

@final
class Tick(BarSpec):
    def __init__(self, trades: int) -> None: ...

@final
class Volume(BarSpec):
    def __init__(self, quantity: _Number) -> None: ...

@final
class Dollar(BarSpec):
    def __init__(self, money: _Number) -> None: ...

@final
class Range(BarSpec):
    def __init__(self, money: _Number) -> None: ...

@final
class Imbalance(BarSpec):
    def __init__(self, expected: int, *, of: str = "tick", span: int = 20) -> None: ...

def bar_spec(text: str) -> BarSpec: ...
def spec_text(code: int) -> str: ...
