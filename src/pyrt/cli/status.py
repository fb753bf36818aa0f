"""`pyrt status`, `pyrt orders`: what a session holds and does. The journal is read, never written or locked."""

from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any

import msgspec
from cyclopts import Parameter
from rich.console import Console
from rich.table import Table

from pyrt.cli.state import Past, find_state, read_past
from pyrt.live.control_socket import ask
from pyrt.live.figures import held, scope_name, working
from pyrt.model import EXTERNAL, OrderStatus, money


def status(*, state: Path | None = None, json: Annotated[bool, Parameter(negative="")] = False) -> None:
    """Show what a session holds: positions, P&L, latches, and where one runs what it does.

    Parameters
    ----------
    state
        The session's state directory; by default the one used last.
    json
        Print JSON.
    """
    directory = find_state(state)
    running = ask(directory, verb="status")
    past = read_past(directory)
    seen = _seen(directory, past, running)
    if json:
        print(msgspec.json.format(msgspec.json.encode(seen)).decode())
        return
    print("\n".join(_lines(seen, past, running)))


def orders(
    *,
    state: Path | None = None,
    all_: Annotated[bool, Parameter(name="--all", negative="")] = False,
    json: Annotated[bool, Parameter(negative="")] = False,
) -> None:
    """Show a session's open orders, or the last that are done, too.

    Parameters
    ----------
    state
        The session's state directory; by default the one used last.
    all_
        The last 1,024 that are done, too.
    json
        Print JSON, one order a line.
    """
    past = read_past(find_state(state))
    session = past.session
    names = {EXTERNAL: "external", **session.names}
    found = [o for _, o in sorted(session.execution.orders.items()) if all_ or o.is_open]
    if json:
        for order in found:
            row = msgspec.to_builtins(working(order, session.instruments, names))
            print(msgspec.json.encode({**row, "cid": order.cid, "ts": order.ts}).decode())
        return
    if not found:
        print("no orders" if all_ else "no open orders")
        return
    table = Table("number", "venue time", "strategy", "order", "filled", "status", box=None)
    for order in found:
        row = working(order, session.instruments, names)
        what = f"{row.side} {row.quantity} {row.symbol} {row.terms}"
        table.add_row(str(row.number), _time(order.ts), row.strategy, what, str(row.filled), row.status)
    Console().print(table)


def _seen(directory: Path, past: Past, running: dict[str, Any] | None) -> dict[str, Any]:
    session = past.session
    names = {EXTERNAL: "external", **session.names}
    pnl = session.risk.pnl()
    open_orders = session.execution.open_orders()
    return {
        "state": str(directory),
        "journal": past.journal,
        "facts": past.facts,
        "last": _time(past.last_ts),
        "process": None if running is None else running["pid"],
        "latches": [
            {"scope": scope_name(s, names, session.instruments), "level": f.level, "code": f.code, "reason": f.reason, "who": f.who}
            for s, f in session.risk.latches.items()
        ],
        "realised": money(pnl.realised),
        "fees": money(pnl.fees),
        "positions": [row for row in held(session, names) if row.quantity],
        "open_orders": len(open_orders),
        "unknown_orders": sum(o.status is OrderStatus.UNKNOWN for o in open_orders),
        "limits_version": session.risk.limits_version,
        "figures": None if running is None else running["figures"],
    }


def _lines(seen: dict[str, Any], past: Past, running: dict[str, Any] | None) -> list[str]:
    lines = [
        f"state      {seen['state']}",
        f"journal    {seen['journal']}, {seen['facts']:,} facts, the last at {seen['last']} of the venue's clock",
    ]
    if running is None:
        lines.append("run        none")
    else:
        f = running["figures"]
        counts = "  ".join(f"{name} {f['counts'].get(name, 0):,}" for name in ("messages", "bars", "intents", "orders", "fills"))
        doing = f"{f['state']} on {f['venue']} for {f['seconds']:,.0f} s; unrealised {Decimal(f['unrealised']):,.2f}"
        lines.append(f"run        process {running['pid']}, {doing}")
        lines.append(f"           {counts}")
    lines.append(f"P&L        realised {seen['realised']:,.2f}   fees {seen['fees']:,.2f}")
    lines.append(f"orders     {seen['open_orders']} open, {seen['unknown_orders']} of unknown fate")
    for row in seen["positions"]:
        lines.append(f"position   {row.strategy}: {row.quantity} {row.symbol} at {row.average:,.4f}")
    if not seen["positions"]:
        lines.append("position   flat")
    for latch in seen["latches"]:
        lines.append(
            f"latch      {latch['scope']} is {latch['level']} since {latch['who']} said {latch['code']}: {latch['reason']}"
        )
    if not seen["latches"]:
        lines.append("latch      none")
    return lines


def _time(ns: int) -> str:
    return datetime.fromtimestamp(ns / 1e9, UTC).strftime("%Y-%m-%d %H:%M:%S") if ns else "no time"
