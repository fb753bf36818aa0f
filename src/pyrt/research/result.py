"""What a backtest brought: arrays, metrics, a table, charts."""

import json
import math
from collections.abc import Mapping, Sequence
from decimal import Decimal
from hashlib import blake2b
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from pyrt._core.types import bar_dtype
from pyrt.model import Fact, Filled, Instrument, Instruments, Intended, OrderChanged, OrderStatus
from pyrt.ports import Alarm
from pyrt.research import metrics
from pyrt.research.samples import Samples
from pyrt.research.trades import round_trips

Records = np.ndarray[Any, Any]

equity_dtype = np.dtype([("ts", "<i8"), ("equity", "<f8"), ("cash", "<f8"), ("exposure", "<f8")])
order_dtype = np.dtype(
    [("number", "<u8"), ("strategy", "<u4"), ("instrument", "<u4")]
    + [(name, "<u1") for name in ("side", "type", "tif", "status")]
    + [(name, "<i8") for name in ("qty", "limit_px", "stop_px", "filled", "ts", "changed_ts")]
)
fill_dtype = np.dtype(
    [("number", "<u8"), ("strategy", "<u4"), ("instrument", "<u4"), ("side", "<u1")]
    + [(name, "<i8") for name in ("px", "qty", "cum_qty", "fee", "ts")]
)


class Result(msgspec.Struct, frozen=True, kw_only=True):
    """A backtest's outcome.

    equity: account value at the start and at the end of each interval, in currency. trades: round trips. orders and fills: as the
    journal has them, px in 1e-9, qty in units of the instrument, times ns UTC. metrics: name -> number, nan where there is none.
    """

    strategies: Mapping[int, str]
    instruments: Mapping[int, Instrument]
    cash: float
    equity: Records
    trades: Records
    orders: Records
    fills: Records
    metrics: dict[str, float]
    counts: dict[str, int]  # messages, bars, signals, intents, orders, fills
    refusals: dict[str, int]  # by control
    alarms: tuple[str, ...]
    samples: Samples
    facts: tuple[Fact, ...]

    @classmethod
    def of(
        cls,
        facts: Sequence[Fact],
        alarms: Sequence[Alarm],
        samples: Samples,
        strategies: Mapping[int, str],
        counts: tuple[dict[str, int], dict[str, int]],
        cash: Decimal,
    ) -> "Result":
        """Fold the facts of a session into arrays."""
        instruments = Instruments()
        for instrument in samples.instruments:
            instruments.add(instrument)
        filled = [f for f in facts if isinstance(f, Filled)]
        fills = np.array([_fill_row(f) for f in filled], fill_dtype)
        equity = _equity(fills, samples, instruments, float(cash))
        trades = round_trips(filled, instruments)
        return cls(
            strategies=dict(strategies),
            instruments={i.id: i for i in samples.instruments},
            cash=float(cash),
            equity=equity,
            trades=trades,
            orders=_orders(facts),
            fills=fills,
            metrics=_metrics(equity, trades, fills, instruments),
            counts=counts[0],
            refusals=counts[1],
            alarms=tuple(f"{a.code}: {a.text}" for a in alarms),
            samples=samples,
            facts=tuple(facts),
        )

    def to_bytes(self) -> bytes:
        """Everything that was decided and done, as bytes: equal for equal inputs."""
        facts = msgspec.msgpack.encode(list(self.facts))
        return b"".join([facts, self.equity.tobytes(), self.trades.tobytes(), self.orders.tobytes(), self.fills.tobytes()])

    @property
    def digest(self) -> str:
        """A hash of to_bytes."""
        return blake2b(self.to_bytes(), digest_size=16).hexdigest()

    def json(self) -> str:
        """Metrics, counts and refusals as JSON; a measure that has no value is null."""
        numbers = {name: value if math.isfinite(value) else None for name, value in self.metrics.items()}
        shown = {"metrics": numbers, "counts": self.counts, "refusals": self.refusals, "alarms": list(self.alarms)}
        return json.dumps({**shown, "digest": self.digest}, indent=2)

    def rows(self) -> list[tuple[str, str]]:
        """The table that print shows: name, value."""
        m, percent = self.metrics, "{:.2%}".format
        days = m["max_drawdown_duration"] / 86_400e9
        refused = ", ".join(f"{n:,} {code}" for code, n in sorted(self.refusals.items())) or "none"
        return [
            ("strategies", ", ".join(self.strategies.values())),
            ("from", _time(self.equity["ts"][0])),
            ("to", _time(self.equity["ts"][-1])),
            ("equity", f"{self.equity['equity'][0]:,.2f} -> {self.equity['equity'][-1]:,.2f}"),
            ("total return", percent(m["total_return"])),
            ("CAGR", percent(m["cagr"])),
            ("Sharpe", f"{m['sharpe']:.2f}"),
            ("Sortino", f"{m['sortino']:.2f}"),
            ("max drawdown", f"{percent(m['max_drawdown'])}, longest {days:.1f} days"),
            ("round trips", f"{len(self.trades):,}, hit rate {percent(m['hit_rate'])}"),
            ("turnover", f"{m['turnover']:.2f} x"),
            ("costs", f"{m['costs']:,.2f}"),
            ("exposure", percent(m["exposure"])),
            ("orders, fills", f"{len(self.orders):,}, {len(self.fills):,}"),
            ("refusals", refused),
            *(("alarm", text) for text in self.alarms[:5]),
        ]

    def __str__(self) -> str:
        return "\n".join(f"{name:<14} {value}" for name, value in self.rows())

    __repr__ = __str__

    def _repr_html_(self) -> str:
        from pyrt.research.report import table

        return table(self)

    def plot(self) -> Any:
        """A plotly figure of equity, drawdown and trades on candles. Raises ConfigError without the extra [report]."""
        from pyrt.research.report import figure

        return figure(self)

    def html(self, path: Path | str) -> Path:
        """Write a page that needs no network. Raises ConfigError without the extra [report]."""
        from pyrt.research.report import page

        target = Path(path)
        target.write_text(page(self), encoding="utf-8")
        return target


def _fill_row(f: Filled) -> tuple[int, ...]:
    return f.number, f.strategy, f.instrument, int(f.side), f.px, f.qty, f.cum_qty, f.fee, f.ts


def _orders(facts: Sequence[Fact]) -> Records:
    rows: dict[int, list[int]] = {}
    for fact in facts:
        if isinstance(fact, Intended):
            i = fact.intent
            what = [fact.number, i.strategy, i.instrument, int(i.side), int(i.type), int(i.tif), int(OrderStatus.INTENT)]
            rows[fact.number] = [*what, i.qty, i.limit_px, i.stop_px, 0, fact.ts, fact.ts]
        elif isinstance(fact, OrderChanged) and fact.number in rows:
            rows[fact.number][6], rows[fact.number][12] = int(fact.status), fact.ts
        elif isinstance(fact, Filled) and fact.number in rows:
            rows[fact.number][10] += fact.qty
    return np.array([tuple(row) for row in rows.values()], order_dtype)


def _equity(fills: Records, samples: Samples, instruments: Instruments, cash: float) -> Records:
    candles = {i.id: _candles(samples, i.id, fills) for i in instruments}
    starts = [int(c["start"][0]) for c in candles.values() if len(c)] or [0]
    ends = np.unique(np.concatenate([c["start"] + c["interval"] for c in candles.values()]))
    out = np.zeros(len(ends) + 1, equity_dtype)
    out["ts"][0], out["ts"][1:] = min(starts), ends
    flow = np.zeros(len(out))
    for number, candle in candles.items():
        unit = float(10 ** instruments[number].qty_exp)
        own = fills[fills["instrument"] == number]
        signed = np.where(own["side"] == 1, own["qty"], -own["qty"])
        paid = -(own["px"] / 1e9) * (signed / unit) - own["fee"] / 1e9
        done = own["ts"].searchsorted(out["ts"], side="right")
        held = np.append(0, np.cumsum(signed))[done] / unit
        flow += np.append(0.0, np.cumsum(paid))[done]
        if len(candle):
            at = (candle["start"] + candle["interval"]).searchsorted(out["ts"], side="right") - 1
            price = np.where(at >= 0, candle["close_px"][np.maximum(at, 0)], candle["open_px"][0]) / 1e9
            out["exposure"] += np.abs(held * price)
            out["equity"] += held * price
    out["cash"] = cash + flow
    out["equity"] += out["cash"]
    return out


def _candles(samples: Samples, instrument: int, fills: Records) -> Records:
    """Of an instrument's prints; where the data has none, its price is that of the last fill."""
    candles = samples.candles(instrument)
    if len(candles):
        return candles
    own = fills[fills["instrument"] == instrument]
    made = np.zeros(len(own), bar_dtype)
    made["interval"], made["start"], made["open_px"], made["close_px"] = 1, own["ts"], own["px"], own["px"]
    return made


def _metrics(equity: Records, trades: Records, fills: Records, instruments: Instruments) -> dict[str, float]:
    value, ts = np.ascontiguousarray(equity["equity"]), np.ascontiguousarray(equity["ts"])
    units = np.array([float(10 ** instruments[i].qty_exp) for i in fills["instrument"].tolist()])
    traded = float((fills["px"] / 1e9 * (fills["qty"] / units)).sum()) if len(fills) else 0.0
    return {
        "total_return": metrics.total_return(value),
        "cagr": metrics.cagr(value, ts),
        "sharpe": metrics.sharpe(value, ts),
        "sortino": metrics.sortino(value, ts),
        "max_drawdown": metrics.max_drawdown(value),
        "max_drawdown_duration": float(metrics.max_drawdown_duration(value, ts)),
        "hit_rate": metrics.hit_rate(trades["pnl"]),
        "turnover": metrics.turnover(traded, value),
        "costs": metrics.costs(fills["fee"] / 1e9),
        "exposure": metrics.exposure(equity["exposure"], ts),
    }


def _time(ns: Any) -> str:
    return str(np.datetime64(int(ns), "ns").astype("datetime64[s]")).replace("T", " ")
