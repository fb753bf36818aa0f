"""What a mutant is, and the weathers in which one shows itself."""

from typing import Any, NamedTuple

from tests.faults.patching import Patch

BOTH = ("safety", "liveness")
SAFE = ("safety",)
HEALED = ("liveness",)  # only what does not heal tells it
SECOND = 10**9
# Weathers: what a fault needs to show itself, and little else. Arguments of tests.faults.plan.Plan, not to be imported here.
CALM: dict[str, Any] = {"lives": 0.0, "pace": 0.1, "chaos": 20 * SECOND}
SLOW_VENUE = {**CALM, "pace": 0.05, "travel": SECOND // 4}
# Replacements that are under way when what they replace fills.
RACES = {**SLOW_VENUE, "travel": SECOND, "hasty": True, "two": True, "chaos": 40 * SECOND}
RESTING = {**CALM, "resting": 0.8, "hasty": True}  # many orders work at once
QUICK = {**CALM, "quick": True}
DEATHS = {"lives": 250.0, "power": 0.5, "pace": 0.1, "chaos": 20 * SECOND, "quick": True}
POWER = {"lives": 150.0, "power": 1.0, "pace": 0.05, "chaos": 20 * SECOND}
LONG_LIVES = {"keep": 8, "lives": 400.0, "power": 0.3, "pace": 0.03, "chaos": 20 * SECOND}
# Many starts, which orders near the market meet.
STARTS = {
    **DEATHS,
    "lives": 150.0,
    "chaos": 30 * SECOND,
    "hasty": True,
    "two": True,
    "exits": 0.9,
}
EXITS = {**DEATHS, "exits": 0.3, "require_exit": True}
KILLED = {"lives": 300.0, "power": 1.0, "pace": 0.05, "chaos": 20 * SECOND, "events": {"kill": 1}}


def net(weather: dict[str, Any], **chances: float) -> dict[str, Any]:
    return {**weather, "chances": {name.replace("_", " ").strip(): chance for name, chance in chances.items()}}


def orders(weather: dict[str, Any], **chances: float) -> dict[str, Any]:
    return {**weather, "chances": {f"order: {name.replace('_', ' ').strip()}": chance for name, chance in chances.items()}}


class Mutant(NamedTuple):
    """A fault of ours."""

    name: str
    what: str
    patches: tuple[Patch, ...]
    weather: dict[str, Any]  # empty: the seed's own
    modes: tuple[str, ...] = BOTH


def one(
    name: str, what: str, module: str, old: str, new: str, weather: dict[str, Any] | None = None, modes: tuple[str, ...] = BOTH
) -> Mutant:
    return Mutant(name, what, (Patch(module, old, new),), weather or {}, modes)
