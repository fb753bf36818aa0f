"""The session's own adapters under faults of sockets and requests: found in time, mended, and nothing lost or doubled."""

import asyncio
import time
from pathlib import Path
from typing import Any

import pytest
from tests.e2e.adapter import ANSWER, DEADLINE, LIMIT, PING, SETTLE, STALE, Day, trade

from pyrt.clock import SECOND
from pyrt.model import OrderStatus

pytestmark = pytest.mark.row("X08", "S021")


def only(truth: dict[str, Any], day: Day, order: Any) -> dict[str, Any]:
    """The one order that the venue has of an intent."""
    cid = day.session.execution.orders[order.number].cid
    (found,) = [o for o in truth["orders"] if o["client_order_id"] == cid]
    return dict(found)


# fault, settings, stream, the configured bound of its detection in s
SOCKETS: list[tuple[str, dict[str, Any], str, float]] = [
    ("mute_data", {"seconds": 600, "present": True}, "data", STALE + 0.5),
    ("drop_data", {"how": "rst"}, "data", 0.0),
    ("drop_data", {"how": "fin"}, "data", 0.0),
    ("drop_data", {"how": "rst", "seconds": 600}, "data", 0.0),
    ("drop_data", {"how": "half_open", "seconds": 600}, "data", min(2 * PING, STALE + 0.5)),
    ("drop_stream", {"how": "rst"}, "trading", 0.0),
    ("drop_stream", {"how": "fin", "seconds": 0.5}, "trading", 0.0),
    ("drop_stream", {"how": "half_open"}, "trading", 2 * PING),
]


def test_streams_that_die_are_found_and_come_back(tmp_path: Path) -> None:
    async def story(day: Day) -> None:
        orders = []
        for kind, settings, stream, bound in SOCKETS:
            await day.fault(kind, **settings)
            if kind == "mute_data":  # it begins with the first frame that is withheld
                while not await day.firings(kind):
                    await asyncio.sleep(0.05)
            if kind == "drop_data" and "seconds" in settings:  # nobody is let in until one was refused
                while not any(f["note"] == "406" for f in await day.firings(kind)):
                    await asyncio.sleep(0.05)
                await day.calm()
            firing = [f for f in await day.firings(kind) if f["note"] != "406"][-1]
            if stream == "trading":
                orders.append(day.take())  # what happens now is told to nobody
            text = await day.outage(stream, firing["mono_ns"], bound)
            if kind == "mute_data":
                assert "no data" in text
            await day.calm()
        for order in orders:
            await day.filled(order)
        seen = [c for c in (await day.truth())["connections"] if not c["closed_ns"] and not c["fault"]]
        assert sorted(c["path"] for c in seen) == ["/stream", "/v2/iex"]

    trade(tmp_path, story)


def test_a_venue_that_does_not_even_greet(tmp_path: Path) -> None:
    async def story(day: Day) -> None:
        await day.fault("mute_data", seconds=600, control=True)
        while not await day.firings("mute_data"):
            await asyncio.sleep(0.05)
        since = (await day.firings("mute_data"))[0]["mono_ns"]
        await day.until(lambda: any("did not answer" in e.text for _, e in day.states("data", since)), "an unanswered handshake")
        moments = [m for m, e in day.states("data", since) if "did not answer" in e.text]
        assert day.within(since, moments[0], STALE + ANSWER)
        await day.calm()
        assert "no data" in await day.outage("data", since, STALE + 0.5)

    trade(tmp_path, story)


UPDATES: list[tuple[str, dict[str, Any]]] = [
    ("drop_updates", {"probability": 0.4, "seed": 3}),
    ("duplicate_updates", {"probability": 0.5, "seed": 4}),
    ("reorder_updates", {"probability": 0.5, "seed": 5, "seconds": 0.3}),
    ("delay_updates", {"probability": 0.4, "seed": 6, "seconds": 0.4}),
    ("mute_stream", {"seconds": 600, "present": True}),
]


def test_updates_that_go_astray_change_nothing_in_the_end(tmp_path: Path) -> None:
    async def story(day: Day) -> None:
        for kind, settings in UPDATES:
            await day.fault(kind, **settings)
            bought = [day.take("AAPL", 2), day.take("MSFT", 1), day.take("AAPL", 1)]
            resting = [day.rest("AAPL", 1, 0.9), day.rest("MSFT", 1, 0.9)]
            for order in resting:
                await day.working(order)
                day.do(lambda order=order: day.hand.cancel(order))
            for order in bought:
                await day.filled(order)
            for order in resting:
                await day.canceled(order)
            assert await day.firings(kind), kind
            await day.calm()
        # all together, until each has bitten
        for kind, settings in UPDATES[:4]:
            await day.fault(kind, **settings)
        for order in [day.take("AAPL", 1) for _ in range(6)]:
            await day.filled(order)

    assert set(trade(tmp_path, story)) <= {"SWEPT"}


# fault, settings, whether the venue has the order after the first attempt
SUBMITS: list[tuple[str, dict[str, Any], bool]] = [
    ("gateway_timeout", {}, True),
    ("server_error", {"status": 500}, False),
    ("server_error", {"status": 502, "body": "html", "applied": True}, True),
    ("server_error", {"status": 503, "body": "empty"}, False),
    ("truncate", {"how": "short"}, True),
    ("truncate", {"how": "closed"}, True),
    ("slow_answer", {"interval": 0.05}, True),
    ("cut_request", {"when": "before", "how": "rst"}, False),
    ("cut_request", {"when": "before", "how": "fin"}, False),
    ("cut_request", {"when": "after", "how": "rst"}, True),
    ("delay_accept", {"seconds": DEADLINE + SETTLE / 10}, True),  # after its deadline, before it counts as absent
    ("delay_accept", {"seconds": 2 * (DEADLINE + SETTLE)}, True),  # when it was sent again: the venue refuses the second
]


def test_a_submit_whose_fate_is_open_becomes_one_order(tmp_path: Path) -> None:
    async def story(day: Day) -> None:
        for kind, settings, arrives in SUBMITS:
            begun = time.monotonic_ns()
            await day.fault("drop_updates")  # the stream must not give it away
            await day.fault(kind, on="submits", count=1, **settings)
            order = day.rest("AAPL" if arrives else "MSFT")
            await day.working(order)
            shown = only(await day.truth(), day, order)
            (firing,) = [f for f in await day.firings(kind) if f["fault"] == (await day.truth())["faults"]["armings"][-1]["number"]]
            posts = [r for r in (await day.truth())["requests"] if r["method"] == "POST" and shown["client_order_id"] in r["body"]]
            assert firing["request"] == posts[0]["seq"], kind
            twice = not arrives or settings.get("seconds", 0) > DEADLINE + SETTLE
            pause = (posts[-1]["arrived_mono_ns"] - posts[0]["arrived_mono_ns"]) / SECOND
            stalled = kind == "delay_accept" and day.late(begun) > SETTLE / 2  # then absence may be seen where it would not be
            assert len(posts) == (2 if twice or (stalled and pause) else 1), kind
            if len(posts) > 1:  # absence is proved before a second POST
                assert pause >= DEADLINE + SETTLE - 0.1 - day.late(begun)
            await day.calm()
            day.do(lambda order=order: day.hand.cancel(order))
            await day.canceled(order)

    trade(tmp_path, story)


def test_a_replace_whose_fate_is_open_is_made_once_or_not(tmp_path: Path) -> None:
    async def story(day: Day) -> None:
        for kind, settings, arrives in [row for row in SUBMITS if row[0] in ("gateway_timeout", "cut_request")][:2]:
            order = await day.working(day.rest("AAPL" if arrives else "MSFT", 2))
            await day.fault("drop_updates")
            await day.fault(kind, on="replaces", count=1, **settings)
            changed = day.do(lambda order=order: day.hand.replace(order, limit=round(float(order.limit) - 0.05, 2)))
            await day.until(lambda changed=changed: changed.status and changed.status is not OrderStatus.INTENT, "an attempt")
            await day.until(lambda changed=changed: changed.is_done or changed.status is OrderStatus.ACCEPTED, "its fate")
            if arrives:
                assert changed.status is OrderStatus.ACCEPTED, kind
                await day.until(lambda order=order: order.status is OrderStatus.REPLACED, f"{kind}: {order.status}")
            else:  # a replacement is not repeated: the order stays as it was
                assert changed.status is OrderStatus.ABANDONED, kind
                await day.working(order)
            assert await day.firings(kind), kind
            await day.calm()
            last = changed if arrives else order
            day.do(lambda last=last: day.hand.cancel(last))
            await day.canceled(last)

    trade(tmp_path, story)


def test_a_request_is_over_at_its_deadline(tmp_path: Path) -> None:
    async def story(day: Day) -> None:
        await day.fault("slow_answer", on="submits", interval=0.3, count=1)  # some minutes, if one waits
        order = day.take()
        await day.until(lambda: order.status is OrderStatus.UNKNOWN or order.status is OrderStatus.FILLED, "an end of the attempt")
        (firing,) = await day.firings("slow_answer")
        await day.until(lambda: day.shell.broker.counters.get("deadlines"), "the deadline")  # type: ignore[union-attr]
        assert day.within(firing["mono_ns"], time.monotonic_ns(), DEADLINE)
        await day.filled(order)

    trade(tmp_path, story)


def test_cancels_that_are_lost_are_sent_again(tmp_path: Path) -> None:
    async def story(day: Day) -> None:
        for settings in ({}, {"happens": True}):
            order = await day.working(day.rest())
            await day.fault("lose_cancel", count=1, **settings)
            day.do(lambda order=order: day.hand.cancel(order))
            await day.canceled(order)
            assert len(await day.firings("lose_cancel")) == (2 if settings else 1)
        for kind, settings in (("server_error", {"status": 503}), ("truncate", {"how": "closed"}), ("cut_request", {})):
            order = await day.working(day.rest())
            await day.fault(kind, on="cancels", count=1, **settings)
            day.do(lambda order=order: day.hand.cancel(order))
            await day.canceled(order)

    trade(tmp_path, story)


def test_cancels_are_served_in_a_storm_of_429(tmp_path: Path) -> None:
    async def story(day: Day) -> None:
        orders = [await day.working(day.rest("AAPL", 1, share)) for share in (0.95, 0.93, 0.91)]
        await day.fault("rate_limited", seconds=600, probability=0.6, seed=1)
        waiting = day.rest("MSFT")
        for order in orders:
            day.do(lambda order=order: day.hand.cancel(order))
        for order in orders:
            await day.canceled(order)
        stormed = {f["request"] for f in await day.firings("rate_limited")}
        deletes = [r for r in (await day.truth())["requests"] if r["method"] == "DELETE"]
        assert stormed & {r["seq"] for r in deletes}
        assert [r["status"] for r in deletes].count(204) >= 3  # in the storm, each
        await day.calm()
        await day.working(waiting)

    trade(tmp_path, story)


@pytest.mark.parametrize("retry_after", [False, True])
def test_a_storm_delays_orders_and_doubles_none(tmp_path: Path, retry_after: bool) -> None:
    async def story(day: Day) -> None:
        posts: list[dict[str, Any]] = []
        while not posts or posts[0]["status"] == 200:  # the machine let the storm pass before the order came
            await day.fault("rate_limited", seconds=1.0, retry_after=retry_after, on="submits")
            order = await day.working(day.rest())
            (shown,) = [only(await day.truth(), day, order)]
            posts = [r for r in (await day.truth())["requests"] if r["method"] == "POST" and shown["client_order_id"] in r["body"]]
        assert [r["status"] for r in posts[:1] + posts[-1:]] == [429, 200]
        assert len(posts) <= 3  # it waits as told, or a second

    trade(tmp_path, story)


def test_queries_that_fail_prove_nothing(tmp_path: Path) -> None:
    async def story(day: Day) -> None:
        day.take("AAPL", 3)
        for kind, settings in (
            ("server_error", {"status": 502, "body": "html"}),
            ("truncate", {"how": "short"}),
            ("truncate", {"how": "closed", "keep": 0.9}),
            ("cut_request", {"when": "after"}),
        ):
            await day.fault("drop_updates")
            await day.fault(kind, on="reads", probability=0.5, seed=2, **settings)
            await day.filled(day.take("MSFT", 1))
            while not await day.firings(kind):  # the query that told it may be one that the dice spared
                await asyncio.sleep(0.05)
            await day.calm()

    assert "POSITION_BREAK" not in trade(tmp_path, story)


def test_history_waits_out_a_storm_on_the_data_host(tmp_path: Path) -> None:
    async def story(day: Day) -> None:
        instrument = day.session.instruments["AAPL"]
        now = day.shell.now().venue
        for kind, settings in (("rate_limited", {"seconds": 0.6}), ("server_error", {"status": 503, "count": 1})):
            while not await day.firings(kind):  # the machine let the storm pass before the question came
                await day.fault(kind, on="data", **settings)
                trades = await asyncio.to_thread(day.link.trades, instrument, now - 60 * SECOND, now)
                assert len(trades) > 0
        await day.fault("truncate", on="data", how="closed", count=1)
        assert len(await asyncio.to_thread(day.link.trades, instrument, now - 60 * SECOND, now)) == len(trades)
        await day.fault("truncate", on="data", how="short", count=1)
        assert len(await asyncio.to_thread(day.link.trades, instrument, now - 60 * SECOND, now)) == len(trades)

    trade(tmp_path, story)


assert LIMIT < ANSWER  # the deadlines that the bounds above are made of
