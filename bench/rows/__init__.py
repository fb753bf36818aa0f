"""One job a row: ours, the C program that does the same and no more, and what else Python users can install for it.

A module of this package is named as its rows' family and has `rows() -> Iterator[Row]`; a row is measured before the next is made.
"""

import importlib
import pkgutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

Run = Callable[[], Any]


class Took(NamedTuple):
    """What a contender with a clock of its own returns: seconds of its round, and the result."""

    seconds: float
    result: Any


@dataclass(frozen=True)
class Contender:
    """`run` does one round over input that is ready, and returns the result: ours and the limit's must be equal.

    A peer's result may be None: it answers something that cannot be compared. `run` None: the peer is not installed here.
    `before` brings the state of a round to its beginning and is not timed. With clock "own" `run` returns Took: a row that
    crosses processes measures itself. `operations`: how many a run does where it is not the row's number (a slow peer).
    """

    name: str
    kind: Literal["ours", "limit", "peer"]
    run: Run | None
    before: Callable[[], object] | None = None
    clock: Literal["thread", "own"] = "thread"
    operations: int | None = None


@dataclass(frozen=True)
class Row:
    """`name` is family.case; `what` says the operation; `unit` is ns, us or ms of one operation.

    `bound`: how many times the limit ours may take; `most`: how much ours may take, in the unit; None: nothing is promised.
    """

    name: str
    what: str
    unit: Literal["ns", "us", "ms"]
    operations: int
    contenders: tuple[Contender, ...]
    bound: float | None = None
    most: float | None = None

    def __post_init__(self) -> None:
        kinds = [c.kind for c in self.contenders]
        if kinds.count("ours") != 1 or kinds.count("limit") > 1:
            raise ValueError(f"{self.name}: one contender is ours and at most one is the limit, not {kinds}")

    def of(self, kind: str) -> Contender | None:
        return next((c for c in self.contenders if c.kind == kind and c.run), None)


_peers_wanted = [True]


def peer(name: str, make: Callable[[], Run], *, operations: int | None = None) -> Contender:
    """A peer whose `make` imports what it needs and returns `run`: absent where the import fails."""
    try:
        if not _peers_wanted[0]:
            return Contender(name, "peer", None)
        return Contender(name, "peer", make(), operations=operations)
    except ImportError:
        return Contender(name, "peer", None)


def families() -> list[str]:
    return sorted(module.name for module in pkgutil.iter_modules(__path__))


def rows(*wanted: str, peers: bool = True) -> Iterator[Row]:
    """All rows, or those whose family or name is wanted, with their peers or without. Raises KeyError for an unknown name."""
    found: set[str] = set()
    _peers_wanted[0] = peers
    for family in families():
        if wanted and not any(name.split(".")[0] == family for name in wanted):
            continue
        for row in importlib.import_module(f"{__name__}.{family}").rows():
            if not wanted or row.name in wanted or family in wanted:
                found |= {row.name, family}
                yield row
    if lost := set(wanted) - found:
        raise KeyError(f"no row {', '.join(sorted(lost))}; families: {', '.join(families())}")
