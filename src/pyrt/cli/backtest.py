"""`python -m pyrt backtest`: a strategy on recorded data, through the session of live trading."""

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from pyrt.cli.strategies import load_strategies
from pyrt.config.files import read_toml
from pyrt.errors import ConfigError
from pyrt.research import Latency, backtest_limits
from pyrt.research import backtest as run_backtest
from pyrt.risk import Limits


def backtest(
    *strategy: str,
    data: Annotated[list[str], Parameter(consume_multiple=False)],
    set_: Annotated[list[str] | None, Parameter(name="--set", consume_multiple=False)] = None,
    symbols: str | None = None,
    cash: str = "100000",
    limits: Path | None = None,
    latency: float = 0.02,
    seed: int = 0,
    calendar: bool = False,
    html: Path | None = None,
    json: bool = False,
) -> None:
    """Run strategies on recorded data and show what they would have brought.

    pyrt backtest my.py --data prices.csv --set Breakout.lookback=30 --html report.html
    pyrt backtest pyrt.strategies.sma_cross:SmaCross --data data --set interval=1m

    Parameters
    ----------
    strategy
        FILE.py, FILE.py:Class, dotted.name:Class or the name of an entry point; several trade together.
    data
        FILE.csv (or FILE.csv?symbol=NAME), a directory of `pyrt download`, or recorded data such as lobster:FILE and lean:FILE;
        may be repeated for bars of several symbols.
    set_
        A parameter of a strategy: Class.name=value, or name=value where there is one; may be repeated.
    symbols
        What every strategy trades instead of its own `symbols`, with commas between.
    cash
        What the account begins with.
    limits
        TOML file of risk limits; without it the profile `paper` with its amounts in proportion to the cash.
    latency
        Seconds from us to the venue, and from the venue to us.
    seed
        Of the venue's order ids.
    calendar
        Keep the hours of the exchange: day orders end with the session, auctions are held, bars of a day are those of its session.
    html
        Write a page with equity, drawdown and trades on candles.
    json
        Print the numbers as JSON.
    """
    if not strategy:
        raise ConfigError("no strategy", where="backtest", mend="write FILE.py, FILE.py:Class or dotted.name:Class")
    strategies = load_strategies(list(strategy), set_ or [], symbols)
    result = run_backtest(
        strategies,
        data,
        cash=cash,
        limits=_limits(limits, cash),
        latency=Latency(submit=latency, answer=latency, update=latency),
        seed=seed,
        calendar=calendar,
    )
    if html is not None:
        result.html(html)
    print(result.json() if json else result)


def _limits(file: Path | None, cash: str) -> Limits:
    if file is None:
        return backtest_limits(cash)
    return Limits.of(read_toml(file), base=backtest_limits(cash))
