from pyrt._core.codes import UNITS as UNITS
from pyrt._core.codes import Failure
from pyrt._core.controls import Controls

def measure(
    controls: Controls,
    key: int,
    strategy: int,
    instrument: int,
    side: int,
    kind: int,
    qty: int,
    limit_px: int = 0,
    stop_px: int = 0,
    *,
    now: int,
    mono: int,
    trail: int = 0,
    reduce_only: bool = False,
    extended: bool = False,
    auction: bool = False,
    replaces: int = 0,
) -> list[tuple[str, Failure]]: ...
