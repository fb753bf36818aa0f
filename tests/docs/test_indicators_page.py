"""The page on indicators and bars: its blocks run, its strategies trade, its tables are the classes."""

import re
from pathlib import Path
from typing import Any

import pytest
from bench import material
from tests.docs.test_examples import run
from tests.research.conftest import walk

from pyrt import bars, indicators
from pyrt.bars import bar_spec
from pyrt.research import backtest
from pyrt.strategies import Strategy

PAGE = Path(__file__).parents[2] / "docs" / "indicators.md"


@pytest.fixture(scope="module")
def names() -> dict[str, Any]:
    return run(PAGE)


@pytest.mark.row("S040")
def test_the_strategies_of_the_page_trade(names: dict[str, Any]) -> None:
    classes = {n: c for n, c in names.items() if isinstance(c, type) and issubclass(c, Strategy) and c is not Strategy}
    assert set(classes) == {"Cross", "Thrust"}
    crossed = backtest(classes["Cross"], {"AAPL": walk(300, seed=1), "MSFT": walk(300, seed=2)}, progress=False)
    trades = material.mixed(20_000)
    thrust = backtest(classes["Thrust"](interval="volume:1000"), trades, progress=False)
    for result in (crossed, thrust):
        assert len(result.fills) > 0
        assert not result.alarms


def test_the_tables_name_every_class_with_its_defaults() -> None:
    text = PAGE.read_text(encoding="utf-8")
    told = {}
    for call in re.findall(r"^\| `([A-Z]\w+\([^`]*\))` \|", text, re.M):
        made = eval(call, {**vars(indicators), **vars(bars)})
        told[type(made).__name__] = made
    assert set(told) == (set(indicators.__all__) | set(bars.__all__)) - {
        "BarAggregator", "BarSpec", "Indicator", "IndicatorSet", "bar_spec",
    }  # fmt: skip
    for name, made in told.items():
        if name in indicators.__all__:
            assert getattr(indicators, name)().warmup == made.warmup


def test_the_texts_of_the_specs_are_read() -> None:
    for spec, said in re.findall(r"^\| `(\w+\([^`]*\))` \| `\"([^\"]+)\"`", PAGE.read_text(encoding="utf-8"), re.M):
        assert eval(spec, vars(bars)) == bar_spec(said)
