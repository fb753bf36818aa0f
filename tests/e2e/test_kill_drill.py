"""kill -9 at random moments: after a restart venue and journal agree, and no intent became two orders."""

from collections.abc import Callable
from pathlib import Path

import pytest
from tests.e2e.drill import drill
from tests.e2e.drill_groups import STRATEGY as GROUPS
from tests.e2e.processes import Run, Venue
from tests.sizes import size

KILLS = size("KILLS", 200)


def config(directory: Path, transport: str) -> str:
    file = directory / "transport.toml"
    file.write_text(f'[execution]\ntransport = "{transport}"\n')
    return str(file)


@pytest.fixture
def tell(record_property: Callable[[str, object], None]) -> Callable[[int], None]:
    """Notes in the suite's report how many kills there were: what counts them is not what asked for them."""
    return lambda kills: record_property("kills", kills)


def check(
    venue: Venue, start: Callable[..., Run], tell: Callable[[int], None], home: Path, kills: int, seed: int, *more: str
) -> None:
    report = drill(venue, start, home, kills, seed, *more)
    print(report)
    tell(report.kills)
    assert not report.faults, "\n".join([str(report), *report.faults[:20], report.log[-3000:]])
    assert report.orders >= kills, report
    assert report.fills > 0, report


@pytest.mark.row("S122")
def test_five_kills(venue: Venue, start: Callable[..., Run], tell: Callable[[int], None], tmp_path: Path) -> None:
    check(venue, start, tell, tmp_path / "home", 5, 1, "--no-watchdog")


@pytest.mark.row("S122")
@pytest.mark.parametrize("transport", ["requests", "direct"])
def test_five_kills_while_every_third_order_is_accepted_and_answered_504(
    venue: Venue, start: Callable[..., Run], tell: Callable[[int], None], tmp_path: Path, transport: str
) -> None:
    venue.fault("gateway_timeout", every=3)
    check(venue, start, tell, tmp_path / "home", 5, 2, "--watchdog", "--config", config(tmp_path, transport))


@pytest.mark.nightly
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("weather", ["calm", "504", "storm", "direct"])
def test_many_kills(venue: Venue, start: Callable[..., Run], tell: Callable[[int], None], tmp_path: Path, weather: str) -> None:
    kills, seed = {"calm": (KILLS // 2, 11), "504": (KILLS // 2, 12), "storm": (KILLS // 4, 13), "direct": (KILLS // 4, 14)}[
        weather
    ]
    if weather != "calm":
        venue.fault("gateway_timeout", every=3)
    if weather in ("storm", "direct"):
        venue.fault("delay_accept", every=5, seconds=1.5)  # it lands when its deadline has passed
        venue.fault("drop_updates", probability=0.3, seed=seed)
        venue.fault("duplicate_updates", probability=0.3, seed=seed)
    way = "direct" if weather == "direct" else "requests"
    check(
        venue,
        start,
        tell,
        tmp_path / "home",
        kills,
        seed,
        "--watchdog" if weather == "calm" else "--no-watchdog",
        "--config",
        config(tmp_path, way),
    )


def check_groups(venue: Venue, start: Callable[..., Run], tell: Callable[[int], None], home: Path, kills: int, seed: int) -> None:
    report = drill(venue, start, home, kills, seed, "--no-watchdog", strategy=GROUPS, still=True, groups=kills)
    print(report)
    tell(report.kills)
    assert not report.faults, "\n".join([str(report), *report.faults[:20], report.log[-3000:]])
    assert report.groups >= kills, report


@pytest.mark.row("S122")
def test_kills_among_brackets(venue: Venue, start: Callable[..., Run], tell: Callable[[int], None], tmp_path: Path) -> None:
    check_groups(venue, start, tell, tmp_path / "home", 3, 7)


@pytest.mark.nightly
@pytest.mark.timeout(3600)
def test_many_kills_among_brackets(venue: Venue, start: Callable[..., Run], tell: Callable[[int], None], tmp_path: Path) -> None:
    venue.fault("gateway_timeout", every=4)
    check_groups(venue, start, tell, tmp_path / "home", size("GROUP_KILLS", 60), 8)
