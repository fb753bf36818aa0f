"""The pages of the simulated venue name what it has, all of it and nothing else; and what they show is run."""

import ast
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
from alpaca.trading.enums import OrderClass, OrderStatus, OrderType, TimeInForce, TradeEvent
from tests.docs import sim_tables
from tests.docs.test_examples import blocks, help_of
from tests.venues.sim.test_fixture import project

from pyrt.history.spec import READERS
from pyrt.venues.sim.actions import read_actions
from pyrt.venues.sim.market.market import GeneratedOptions
from pyrt.venues.sim.server.config import SimConfig
from pyrt.venues.sim.server.data_session import ERRORS
from pyrt.venues.sim.server.feeds import CRYPTO, NEWS_PATH, STOCKS, STREAM_PATHS
from pyrt.venues.sim.server.openapi import describe
from pyrt.venues.sim.server.script import read_script
from pyrt.venues.sim.server.server import Venue

DOCS = sim_tables.DOCS
PAGE, SETTINGS, ANSWERS = DOCS / "sim.md", DOCS / "sim-settings.md", DOCS / "sim-answers.md"
SIM = DOCS.parent / "src" / "pyrt" / "venues" / "sim"
pytestmark = pytest.mark.row("X08", "S019")


def words(page: Path) -> set[str]:
    """What the page shows in backquotes."""
    return set(re.findall(r"`([^`\n]+)`", page.read_text(encoding="utf-8")))


def test_the_tables_name_every_route_and_no_other() -> None:
    app = Venue(SimConfig(market="generated:symbols=AAPL")).application()
    there = {(method.upper(), path) for path, methods in describe(app)["paths"].items() for method in methods}
    there |= {("WS", path) for path in (*STREAM_PATHS, "/stream", NEWS_PATH)}
    assert sim_tables.named_routes(PAGE) == there


def events_of(file: Path) -> Iterator[str]:
    """The words that a module tells, ends or drops orders with."""
    for call in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(call, ast.Call) and isinstance(call.func, ast.Attribute) and call.func.attr in ("tell", "end", "drop"):
            for constant in (found for argument in call.args[1:2] for found in ast.walk(argument)):
                if isinstance(constant, ast.Constant) and isinstance(constant.value, str):
                    yield constant.value


def test_every_order_event_and_channel_is_named() -> None:
    named = words(PAGE)
    # Alpaca's client, our adapter and the source of the venue: whatever one of them knows.
    known = {member.value for kind in (TradeEvent, OrderClass, OrderType, TimeInForce) for member in kind}
    told = {event for file in (SIM / "exchange").glob("*.py") for event in events_of(file)}
    assert {"new", "held", "replaced", "trade_bust", "order_cancel_rejected"} <= told
    assert (known | told) - named == set()
    text = PAGE.read_text(encoding="utf-8")
    assert [channel for channel in (*STOCKS.channels, *STOCKS.implied, *CRYPTO.channels) if channel not in text] == []


def test_events_and_statuses_that_never_come_are_those_that_it_does_not_know() -> None:
    source = "".join(file.read_text(encoding="utf-8") for file in (SIM / "exchange").glob("*.py"))
    [line] = re.findall(r"^Statuses that are never shown: (.*)\.$", PAGE.read_text(encoding="utf-8"), re.M)
    never = set(re.findall(r"`(\w+)`", line))
    assert never == {s.value for s in OrderStatus if f'"{s.value}"' not in source}
    [row] = re.findall(r"^\| (.*) \| never \|$", PAGE.read_text(encoding="utf-8"), re.M)
    events = set(re.findall(r"`(\w+)`", row))
    assert events <= never
    assert all(f'"{event}"' not in source for event in events)


def test_the_table_of_faults_is_that_of_the_structs() -> None:
    assert sim_tables.shown_table() == sim_tables.fault_table(), "docs/sim-faults.md is old: run `make status`"


def test_every_setting_has_its_row_with_its_default_and_its_option() -> None:
    rows = re.findall(r"^\| `(\w+)` \| `([^`]*)` \| (?:`(--[\w-]+)`)? ?\|", SETTINGS.read_text(encoding="utf-8"), re.M)
    assert [(name, default) for name, default, _ in rows] == [
        (f, repr(getattr(SimConfig(), f))) for f in SimConfig.__struct_fields__
    ]
    options = set(re.findall(r"--[a-z][\w-]*", help_of("sim"))) - {"--no-calendar", "--control-fd"}  # one is for programs
    assert "--control-fd" in words(PAGE)
    assert {option for _, _, option in rows if option} == options
    generated = {word.partition("=")[0] for word in words(SETTINGS)}
    assert set(GeneratedOptions._fields) <= generated
    [formats] = re.findall(r"a recording as a market: ([\w, -]+) \|", SETTINGS.read_text(encoding="utf-8"))
    assert formats.split(", ") == list(READERS)


def test_every_code_of_the_data_streams_has_its_text() -> None:
    rows = dict(re.findall(r"^\| (4\d\d) \| ([^|]+) \| [^|]+ \|$", ANSWERS.read_text(encoding="utf-8"), re.M))
    assert {int(code): text for code, text in rows.items()} == ERRORS


@pytest.mark.filterwarnings("ignore::DeprecationWarning:websockets.*")
@pytest.mark.parametrize("name", ["sim.md", "sim-settings.md", "sim-faults.md"])
def test_the_examples_run(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    names: dict[str, object] = {"__name__": "example"}
    for line, text in blocks(DOCS / name, "python"):
        if "def test_" not in text:
            exec(compile("\n" * (line - 1) + text, name, "exec"), names)
    assert capsys.readouterr().out


def test_the_examples_of_the_fixture_pass(tmp_path: Path) -> None:
    tests = "\n".join(text for _, text in blocks(PAGE, "python") if "def test_" in text)
    done = project(tmp_path, {"test_bot.py": tests})
    assert done.returncode == 0, done.stdout + done.stderr
    assert "2 passed" in done.stdout


def test_scripts_and_actions_are_read(tmp_path: Path) -> None:
    for page in (PAGE, SETTINGS, sim_tables.FAULTS):
        for number, (_, text) in enumerate(blocks(page, "toml")):
            file = tmp_path / f"{page.stem}-{number}.toml"
            file.write_text(text)
            wanted = sum(map(len, tomllib.loads(text).values()))
            assert wanted
            assert len(read_actions(file) if "[[action]]" in text else read_script(file)) == wanted
