"""Whatever clients ask and however market records are batched: the same happens, and the books add up."""

import random
from decimal import Decimal

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import structs
from tests.venues.sim.orders_world import INSTRUMENTS, T, body, bracket, opened, quote, trade

from pyrt._core.types import Side
from pyrt.venues.sim.exchange.exchange import Exchange
from pyrt.venues.sim.exchange.open_orders import worst_px
from pyrt.venues.sim.exchange.orders import FINAL, VenueRefusal
from pyrt.venues.sim.exchange.state import decode
from pyrt.venues.sim.exchange.travel import Latency
from pyrt.venues.sim.server.changes import Changes, file_of, replay

pytestmark = pytest.mark.row("X08")

MS = 1_000_000
SETTINGS = [{}, {"latency": Latency(entry=3 * MS, cancel=2 * MS, replace=4 * MS)}, {"second_leg": "new", "queue": "proportional"}]


def cents(px):
    return str(Decimal(px) / 100)


def records(rng, px, now):
    """A few market records around `px` (cents), one millisecond apart."""
    rows = []
    for i in range(rng.randint(1, 12)):
        px += rng.randint(-25, 25)
        if rng.random() < 0.5:
            rows.append(quote(cents(px), rng.randint(1, 60), cents(px + rng.randint(1, 4)), rng.randint(1, 60), now + i * MS))
        else:
            rows.append(trade(cents(px), rng.randint(1, 60), now + i * MS))
    return rows, px


def request(rng, px):
    side = rng.choice(["buy", "sell"])
    sign = 1 if side == "buy" else -1
    kind = rng.choice(
        ["market", "limit", "limit", "stop", "stop_limit", "trailing_stop", "money", "bracket", "bracket", "oto", "oco"]
    )
    qty, tif = str(rng.choice([1, 7, 20, 50])), rng.choice(["day", "gtc"])
    near = cents(px + rng.randint(-30, 30))
    far, loss = cents(px + sign * rng.randint(20, 90)), cents(px - sign * rng.randint(20, 90))
    if kind in ("bracket", "oto"):
        entry = {"kind": "limit", "limit_price": cents(px)} if rng.random() < 0.6 else {}
        stop_limit = cents(px - sign * 95) if rng.random() < 0.3 else None
        legs = (far, loss) if kind == "bracket" else rng.choice([(far, None), (None, loss)])
        return bracket(*legs, stop_limit if legs[1] else None, kind, side=side, qty=qty, tif=tif, **entry)
    if kind == "oco":
        return bracket(loss, far, None, "oco", side=side, qty=qty, tif=tif, kind="limit")
    if kind == "money":
        return body(side, None, notional=str(rng.randint(1, 9_000)))
    more = {}
    if "limit" in kind:
        more["limit_price"] = near
    if kind.startswith("stop"):
        more["stop_price"] = near
    if kind == "trailing_stop":
        more |= rng.choice([{"trail_price": cents(rng.randint(5, 60))}, {"trail_percent": "0.25"}])
    return body(side, qty, kind, tif, **more)


def life(seed, steps, chunk, check=lambda ex: None, **options):
    """What a client of this seed heard, and what was left; `chunk(n)` = how many of n records go in together."""
    rng = random.Random(seed)
    ex = opened(cash="60000", **options)
    heard, px, now = [], 18_950, T
    for _ in range(steps):
        rows, px = records(rng, px, now)
        now += len(rows) * MS
        batch = np.concatenate(rows)
        while len(batch):
            n = chunk(len(batch))
            ex.on_market(batch[:n])
            batch = batch[n:]
            check(ex)
        heard += ex.take_updates()
        open_ = ex.orders(limit=500)
        what = rng.random()
        try:
            if what < 0.55 or not open_:
                heard.append(ex.submit(request(rng, px), now))
            elif what < 0.75:
                ex.cancel(rng.choice(open_)["id"], now)
            elif what < 0.78:
                heard.append(ex.cancel_all(now))
            else:
                change = {
                    "limit_price": cents(px + rng.randint(-60, 60)),
                    "stop_price": cents(px + rng.randint(-60, 60)),
                    "qty": str(rng.randint(1, 60)),
                    "trail": "0.5",
                }
                heard.append(ex.replace(rng.choice(open_)["id"], {k: change[k] for k in rng.sample(sorted(change), 1)}, now))
        except VenueRefusal as no:
            assert no.http in (403, 422)  # noqa: PT017
            heard.append(no.body)
        check(ex)
    return heard, ex


def books_add_up(ex):
    account = ex.state.accounts[ex.default]
    rows = [row for row in ex.state.rows if row.status not in FINAL]
    assert account.reserved == sum(ex._reserve(row) for row in rows) == sum(row.reserved for row in ex.state.rows)
    assert {order["id"] for order in ex.orders(limit=10**6)} == {row.id for row in rows}
    for (_, instrument), open_ in ex._open.items():
        mine = [row for row in rows if row.instrument == instrument]
        assert list(open_.rows) == [row.number for row in mine]
        for side in (Side.BUY, Side.SELL):
            assert open_.held[side] == sum(ex._hold(row) for row in mine if row.side is side)
            meets = {row.number: worst_px(row.type, row.limit_px) for row in mine if row.side is side and row.status != "held"}
            assert sorted(open_._priced[side]) == sorted((px, n) for n, px in meets.items() if px is not None)
            assert set(open_._unpriced[side]) == {n for n, px in meets.items() if px is None}
        qty = ex.state.accounts[ex.default].positions.get(instrument)
        for row in mine:
            if row.flying and row.replaces:  # what it is to replace may have ended: then it will be rejected
                continue
            assert row.leaves > 0
            if not row.opening and not row.waits and qty is not None:
                assert (qty.qty > 0) == (row.side is Side.SELL), "a closing order has something to close"
        if qty is not None and qty.qty:
            closing = Side.SELL if qty.qty > 0 else Side.BUY
            sides = [row for row in mine if row.side is closing]
            assert all(not row.opening for row in sides) or open_.held[closing] >= 0
            if all(not row.opening for row in sides):
                assert open_.held[closing] <= abs(qty.qty), "never more is sold than held"


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10**6), st.randoms(use_true_random=False), st.sampled_from(SETTINGS))
def test_batches_make_no_difference(seed, slices, options):
    ones, a = life(seed, 25, lambda n: 1, **options)
    some, b = life(seed, 25, lambda n: slices.randint(1, n), **options)
    whole, c = life(seed, 25, lambda n: n, **options)
    assert ones == some == whole
    assert a.save() == b.save() == c.save()


@pytest.mark.parametrize("options", SETTINGS)
@pytest.mark.parametrize(("seed", "steps"), [(1, 700), pytest.param(2, 10_000, marks=pytest.mark.nightly)])
def test_the_books_of_a_random_client_add_up(seed, steps, options):
    heard, ex = life(seed, steps, lambda n: n, books_add_up, **options)
    events = {u[1]["event"] for u in heard if isinstance(u, tuple)}
    assert events >= {"new", "fill", "partial_fill", "canceled", "replaced", "held"}
    if options.get("latency"):
        assert events >= {"pending_new", "pending_cancel", "pending_replace", "order_cancel_rejected", "order_replace_rejected"}
    ex.cancel_all(ex.now)
    ex.advance(ex.now + 50 * MS)
    ex.cancel_all(ex.now)
    ex.advance(ex.now + 50 * MS)
    books_add_up(ex)
    assert ex.orders() == []
    assert ex.state.accounts[ex.default].reserved == 0
    saved = ex.save()
    assert Exchange.load(saved, INSTRUMENTS, **options).save() == saved


def test_an_exit_meets_the_record_after_the_one_that_filled_its_entry():
    rows = [quote("188.50", 300, "188.90", 60, T + 1), trade("199.50", 300, T + 2), trade("179", 1, T + 3)]
    for step in (1, 3):
        ex = opened()
        ex.submit(bracket(kind="limit", limit_price="189"), T)
        ex.take_updates()
        for i in range(0, 3, step):
            ex.on_market(np.concatenate(rows[i : i + step]))
        assert [u["event"] for _, u in ex.take_updates()] == ["fill", "new", "fill", "canceled"]


@pytest.mark.parametrize("options", SETTINGS)
def test_what_a_killed_venue_wrote_is_what_it_was(tmp_path, options):
    base, changes = {}, {}

    def check(ex):
        if not base:
            base["save"] = ex.save()
            changes["file"] = Changes(tmp_path, 1, ex)
            return
        ex.take_updates()
        changes["file"].note()
        kept = replay(file_of(tmp_path, 1), decode(base["save"]))
        # what a trailing stop has seen since the last look is the matcher's
        assert [structs.replace(row, hwm=0) for row in kept.rows] == [structs.replace(row, hwm=0) for row in ex.state.rows]
        assert (kept.agenda, kept.fills, kept.refused) == (ex.state.agenda, ex.state.fills, ex.state.refused)
        assert kept.accounts[ex.default].reserved == ex.state.accounts[ex.default].reserved

    life(3, 80, lambda n: n, check, **options)
    changes["file"].close()
