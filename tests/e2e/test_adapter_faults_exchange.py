"""The session's own adapters when the exchange itself does what nobody ordered."""

import time
from pathlib import Path
from typing import Any

import pytest
from tests.e2e.adapter import RECONCILE, Day, trade

from pyrt.clock import SECOND
from pyrt.journal.inspect import show
from pyrt.live import runner
from pyrt.model import OrderStatus, PositionAdjusted

pytestmark = pytest.mark.row("X08", "S021")


def adjustments(tmp_path: Path) -> list[str]:
    facts = [fact for _, _, fact in show(tmp_path / "home" / "journal")]
    return [f.reason.split()[0] for f in facts if isinstance(f, PositionAdjusted)]


def held(day: Day, symbol: str = "AAPL") -> int:
    number = day.session.instruments[symbol].id
    return day.session.risk.position(1, number).qty // 10**9


def test_an_overfill_is_booked_and_alarmed(tmp_path: Path) -> None:
    async def story(day: Day) -> None:
        await day.fault("overfill", qty="2", count=1)
        order = await day.filled(day.take("AAPL", 3))
        await day.until(lambda: held(day) == 5, "the shares beyond the order")
        (firing,) = await day.firings("overfill")
        assert firing["order"] == day.session.execution.orders[order.number].venue_order_id

    alarms = trade(tmp_path, story)
    assert "OVERFILL" in alarms
    assert "POSITION_BREAK" not in alarms


def test_busts_and_corrections_are_booked_again(tmp_path: Path) -> None:
    async def story(day: Day) -> None:
        await day.filled(day.take("AAPL", 3))
        await day.fault("duplicate_updates", events=["trade_bust", "trade_correct"])
        await day.fault("bust", count=1)
        await day.filled(day.take("AAPL", 2))
        await day.until(lambda: held(day) == 3, f"the shares without those taken back: {held(day)}")
        await day.fault("correct", count=1, price_by="-0.05", qty="1")
        await day.filled(day.take("AAPL", 4))
        await day.until(lambda: held(day) == 4, f"the shares as corrected: {held(day)}")
        assert {f["kind"] for f in (await day.truth())["faults"]["firings"]} >= {"bust", "correct", "duplicate_updates"}
        for _ in range(3):  # what the venue lists of it later agrees
            synced = day.session.execution._reconciler.synced_at
            await day.until(lambda synced=synced: day.session.execution._reconciler.synced_at > synced, "another snapshot")

    alarms = trade(tmp_path, story, adjusted=True)
    assert "CORRECTED" in alarms
    assert not {"BREAK", "POSITION_BREAK", "CASH_BREAK", "FILLS_MISSING", "KILLED"} & set(alarms)
    assert adjustments(tmp_path) == ["trade_bust", "trade_correct"]


def test_a_bust_that_nobody_tells_closes_the_instrument(tmp_path: Path) -> None:
    async def story(day: Day) -> None:
        await day.filled(day.take("AAPL", 3))
        await day.fault("drop_updates", events=["trade_bust"])
        await day.fault("bust", count=1)
        await day.filled(day.take("AAPL", 2))
        (firing,) = await day.firings("bust")
        await day.until(lambda: "POSITION_BREAK" in day.alarms, "the break that two readings show")
        assert day.within(firing["mono_ns"], time.monotonic_ns(), 2 * RECONCILE)
        await day.until(lambda: day.take("AAPL").breaches == ("KILLED", "NOT_RECONCILED"), "entries that are refused")
        await day.filled(day.take("MSFT"))

    trade(tmp_path, story, broken=True)


def test_a_fill_that_overtakes_a_replace(tmp_path: Path) -> None:
    async def story(day: Day) -> None:
        order = await day.working(day.rest("AAPL", 3))
        await day.fault("fill_during_replace", count=1)
        changed = day.do(lambda: day.hand.replace(order, limit=round(float(order.limit) - 0.05, 2)))
        await day.filled(order)
        await day.until(lambda: changed.is_done, f"the end of the replacement: {changed.status}")
        assert changed.status in (OrderStatus.REJECTED, OrderStatus.ABANDONED)
        assert held(day) == 3
        part = await day.working(day.rest("MSFT", 3))
        await day.fault("fill_during_replace", qty="1", count=1)
        changed = day.do(lambda: day.hand.replace(part, limit=round(float(part.limit) - 0.05, 2)))
        await day.until(lambda: held(day, "MSFT") == 1, "the part that filled first")
        await day.until(lambda: part.status is OrderStatus.REPLACED, f"the replaced order: {part.status}")
        await day.working(changed)

    trade(tmp_path, story)


def test_a_fill_while_a_replacement_travels(tmp_path: Path) -> None:
    async def story(day: Day) -> None:
        order = await day.working(day.rest("AAPL", 3))
        await day.fault("fill_during_replace", count=1)
        changed = day.do(lambda: day.hand.replace(order, limit=round(float(order.limit) - 0.05, 2)))
        await day.filled(order)
        await day.until(lambda: changed.status is OrderStatus.REJECTED, f"the end of the replacement: {changed.status}")
        assert held(day) == 3
        patches = [r["status"] for r in (await day.truth())["requests"] if r["method"] == "PATCH"]
        assert patches == [200]  # which was no promise

    trade(tmp_path, story, replace_latency=SECOND // 2)


def test_a_halt_is_heard_and_orders_wait(tmp_path: Path) -> None:
    async def story(day: Day) -> None:
        await day.fault("halt", symbol="AAPL", seconds=600)
        refused = day.take("AAPL")
        await day.until(lambda: day.take("AAPL").breaches == ("HALTED",), f"a refusal: {refused.breaches}")
        await day.filled(day.take("MSFT"))
        await day.fault("halt", symbol="AAPL", seconds=0.1)  # the other end of it
        await day.until(lambda: day.take("AAPL").status is not None and not day.take("AAPL").breaches, "the end of the halt")
        await day.until(lambda: held(day) > 0, "a fill after the halt")

    trade(tmp_path, story)


def test_a_clock_that_jumps_is_measured_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runner, "CLOCK_EVERY", 0.3)

    async def story(day: Day) -> None:
        before = day.shell.clock
        for offset in (3.0, 0.0):
            await day.fault("clock_skew", offset=offset)
            (firing,) = [f for f in await day.firings("clock_skew") if f["note"] == f"{offset:+g} s"]
            await day.until(
                lambda offset=offset: _shift(day, before) - offset < 2 and _shift(day, before) > offset - 2, "the clock"
            )
            assert firing
            await day.fresh()
            order = day.take()
            await day.until(lambda order=order: order.status is not None or order.breaches, "a decision")
            if not order.breaches:
                await day.filled(order)
        why: list[Any] = []
        await day.until(lambda: not _refused(day, why), f"orders that are taken again {why}")

    trade(tmp_path, story)


def _shift(day: Day, before: Any) -> float:
    mono = day.shell.now().mono
    return float(day.shell.clock.at(mono) - before.at(mono)) / SECOND


def _refused(day: Day, why: list[Any] | None = None) -> bool:
    breaches = day.rest().breaches
    if why is not None:
        why[:] = [breaches]
    return bool(breaches)


def test_the_venue_s_day_rolls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runner, "CLOCK_EVERY", 0.3)

    async def story(day: Day) -> None:
        await day.filled(day.take("AAPL", 2))
        resting = await day.working(day.rest("MSFT"))
        before = day.shell.now().venue
        await day.fault("day_roll")
        (firing,) = await day.firings("day_roll")
        await day.until(lambda: day.shell.now().venue >= firing["venue_ns"] > before, "the next day")
        await day.fresh()
        await day.until(lambda: not _refused(day), "orders that are taken")
        day.do(lambda: day.hand.cancel(resting))
        await day.canceled(resting)
        assert held(day) >= 2

    trade(tmp_path, story)
