"""Kill drills in the simulation: orders at work, one request for all that is lost, late or in part, crashes; then all must heal."""

from collections import Counter

import pytest
from tests.faults.installed import sweep
from tests.faults.themes import EVERY, THEME
from tests.faults.world import run
from tests.sizes import size

KILLED = next(number for number, theme in THEME.items() if theme == "killed")


def drill(first: int, kills: int) -> Counter[str]:
    """Histories from the first of this weather on until there were so many kills; what was met in them."""
    met: Counter[str] = Counter()
    seed = KILLED + EVERY * first
    while met["kill"] < kills:
        verdict = run(seed, mode="liveness")
        assert not verdict.violations, (seed, verdict.violations)
        met += verdict.faults + Counter(histories=1, crashes=verdict.crashes, orders=verdict.orders)
        seed += EVERY
        sweep()
    return met


def test_after_a_kill_nothing_leaves_and_nothing_is_left() -> None:
    met = drill(0, 6)
    assert met["cancel all"] > 1
    assert met["healed"] == met["histories"]


@pytest.mark.nightly
@pytest.mark.timeout(36_000)
def test_a_thousand_kills() -> None:
    met = drill(0, size("KILL_DRILLS", 1000))
    print({name: n for name, n in met.items() if name.startswith(("kill", "cancel", "all:", "partial", "foreign"))})
    print({name: met[name] for name in ("histories", "crashes", "orders", "healed")})
    assert met["partial 207"] > met["kill"] // 20
