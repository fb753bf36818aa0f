/* The pre-trade check of a new limit order against every control of the shipped profile, and its reservation, in one step.
 * Codes, the numbers behind them and what is reserved are those of the core's gate. Left out, and never met by the row's orders:
 * other order types, replaces, price bands, fills (so no position and no execution to look back at), tables that grow. */
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "money.h"

enum { LIMIT = 2, BUY = 1, SELL = 2, TICK_FLAGS = 1 | 512, HALT = 32, CODES = 31, RING = 128, WAITING = 64, ROOM = 4096, MOST = 64 };
enum {
    ORDER_QTY, ORDER_NOTIONAL, PRICE_COLLAR, SLIPPAGE, POSITION_LIMIT, GROSS, NET, OPEN_VALUE, OPEN_COUNT, BUYING_POWER, PARENT,
    REPEAT, DUPLICATE, SELF_MATCH, SHORT, RESTRICTED, CLOSED, HALTED, LULD, STALE, THROTTLE, RATE, CANCEL_RATIO, DAILY_LOSS,
    DRAWDOWN, KILLED, NOT_RECONCILED, REDUCE_ONLY, MISSING, OVERFLOWED, DRIFT
};

typedef struct {
    uint64_t key, replaces;
    int64_t qty, limit_px, stop_px, trail;
    uint32_t instrument;
    uint16_t strategy;
    uint8_t side, type, reduce_only, extended, auction;
} order;
typedef struct {
    int64_t max_age, max_trade_age, max_spread_bps, haircut_bps, gap_bps, max_slippage_bps, slippage_absolute, duplicate_window,
        repeat_max, repeat_window, round_trips, account_interval, account_burst, strategy_interval, strategy_burst, symbol_interval,
        symbol_burst, rate_max, rate_window, cancel_ratio, cancel_window, open_count, drift_bps, drift_window;
    i128 open_value, gross, net, daily_loss, drawdown, filled_loss, days_drawdown;
} rules;
typedef struct {
    i128 notional, position_notional;
    int64_t qty, position_qty, strategy_qty, collar_bps, passive_bps, adv_qty, share;
    int64_t restricted, shorts, equity, tick, sub_tick, lot, scale;
} bounds;
typedef struct { int64_t qty, buys, sells; } position;
typedef struct { int64_t at[RING]; uint32_t n; } ring;
typedef struct {
    ring sends, cancels, fills;
    int64_t throttle, open, close, upper_px, px, up, down;
    uint32_t unknown, level;
    i128 gross, net_long, net_short;
} tape;
typedef struct {
    uint64_t key;
    i128 cost;
    int64_t leaves, px, cross_px;
    uint32_t next, prev, instrument;
    uint16_t strategy;
    uint8_t side;
} reservation;
typedef struct { order o; int64_t at; } waiting;
typedef struct {
    rules r;
    bounds b[MOST];
    position account[MOST], own[MOST];              /* one strategy */
    tape t[MOST];
    ring sends[MOST][2], execs[MOST][2], trips[MOST];
    ref_t ref[MOST];
    uint32_t first[MOST];
    reservation reserved[ROOM];
    uint32_t used, free, orders, table[2 * ROOM];
    waiting w[WAITING];
    uint32_t n_waiting;
    int64_t account_throttle, strategy_throttle;
    i128 value, held, spent, buying_power, pnl, baseline, peak, days_peak, gross, net_long, net_short;
    int system_level, account_level, strategy_level, open, market_halted;
    int64_t lists_until;
    uint64_t failed, crossed;
    i128 limit[CODES], observed[CODES];
    int every;
} gate;

gate *gate_new(const rules *r, i128 *buying_power)
{
    gate *g = aligned_alloc(64, (sizeof *g + 63) / 64 * 64);
    memset(g, 0, sizeof *g);
    g->r = *r;
    g->buying_power = *buying_power;
    g->used = 1;
    g->open = 2;
    g->lists_until = INT64_MAX;
    return g;
}

void gate_define(gate *g, uint32_t i, const bounds *b, const ref_t *ref)
{
    g->b[i] = *b;
    g->ref[i] = *ref;
    g->t[i].close = INT64_MAX;
}

void gate_free(gate *g)
{
    free(g);
}

static inline int fail(gate *g, int code, i128 limit, i128 observed)
{
    if (!(g->failed >> code & 1)) {
        g->limit[code] = limit;
        g->observed[code] = observed;
    }
    g->failed |= 1u << code;
    return !g->every;
}

static inline int64_t back(const ring *r, int64_t k)
{
    return k <= r->n && k <= RING ? r->at[(r->n - (uint32_t)k) % RING] : INT64_MIN;
}

static inline int full(const ring *r, int64_t limit, int64_t waits, int64_t window, int64_t now)
{
    return waits >= limit || back(r, limit - waits) > now - window;
}

static inline int empty(int64_t at, int64_t now, int64_t interval, int64_t burst, int64_t waits)
{
    return (at > now ? at : now) + interval * (waits + 1) - now > interval * (burst - burst / 5);
}

static inline int64_t used(int64_t at, int64_t now, int64_t interval, int64_t waits)
{
    return ((at > now ? at - now : 0) + interval - 1) / interval + waits + 1;
}

static inline uint32_t place(uint64_t key) { return (uint32_t)(key * 0x9E3779B97F4A7C15u >> 32) % (2 * ROOM); }

static inline uint32_t find(const gate *g, uint64_t key)
{
    for (uint32_t i = place(key);; i = (i + 1) % (2 * ROOM))
        if (!g->table[i] || g->reserved[g->table[i]].key == key)
            return g->table[i];
}

static inline int collar(gate *g, const order *o, const bounds *b, int64_t ref)
{
    int64_t up = o->side == BUY ? b->collar_bps : b->passive_bps, down = o->side == BUY ? b->passive_bps : b->collar_bps;
    if ((i128)o->limit_px * 10000 > (i128)ref * (10000 + up))
        return fail(g, PRICE_COLLAR, px_widen(ref, up, false), o->limit_px);
    return (i128)o->limit_px * 10000 < (i128)ref * (10000 - down) && fail(g, PRICE_COLLAR, px_widen(ref, -down, true), o->limit_px);
}

static inline int64_t average(const order *o, const ref_t *ref)
{
    int64_t last = o->side == BUY ? ref->ask_px : ref->bid_px, take = o->side == BUY ? ref->ask_qty : ref->bid_qty, left = o->qty;
    if (last > 0 && take >= left)
        return last;
    i128 paid = last > 0 && take > 0 ? (i128)last * take : 0;
    left -= last > 0 && take > 0 ? take : 0;
    paid += (i128)o->limit_px * left;
    return (int64_t)((paid + (o->side == BUY ? o->qty - 1 : 0)) / o->qty);
}

static void contribute(gate *g, uint32_t i)
{
    tape *t = &g->t[i];
    const ref_t *ref = &g->ref[i];
    int64_t px = ref->ask_px > 0 ? ref->ask_px : ref->last_px > 0 ? ref->last_px : ref->bid_px > 0 ? ref->bid_px : 0;
    int64_t up = g->account[i].qty + g->account[i].buys, down = g->account[i].qty - g->account[i].sells;
    if (px == t->px && up == t->up && down == t->down)
        return;
    i128 l, s;
    money_of(px, up, g->b[i].scale, &l);
    money_of(px, down, g->b[i].scale, &s);
    i128 gross = i128_max(i128_abs(l), i128_abs(s));
    t->px = px, t->up = up, t->down = down;
    g->gross += gross - t->gross;
    g->net_long += l - t->net_long;
    g->net_short += s - t->net_short;
    t->gross = gross, t->net_long = l, t->net_short = s;
}

static void reserve(gate *g, const order *o, int64_t px, i128 cost, i128 notional, int64_t now, int64_t mono)
{
    uint32_t slot = g->free ? g->free : g->used++, at = place(o->key);
    reservation *r = &g->reserved[slot];
    g->free = r->next && slot == g->free ? r->next : 0;
    *r = (reservation){o->key, cost, o->qty, px, o->limit_px, g->first[o->instrument], 0, o->instrument, o->strategy, o->side};
    if (r->next)
        g->reserved[r->next].prev = slot;
    g->first[o->instrument] = slot;
    while (g->table[at])
        at = (at + 1) % (2 * ROOM);
    g->table[at] = slot;
    g->orders++;
    g->value += notional;
    g->held += cost;
    if (o->side == BUY)
        g->account[o->instrument].buys += o->qty, g->own[o->instrument].buys += o->qty;
    else
        g->account[o->instrument].sells += o->qty, g->own[o->instrument].sells += o->qty;
    g->w[g->n_waiting++] = (waiting){*o, now};
    g->account_throttle = (g->account_throttle > mono ? g->account_throttle : mono) + g->r.account_interval;
}

static inline int same(const order *a, const order *b)
{
    return a->strategy == b->strategy && a->instrument == b->instrument && a->side == b->side && a->type == b->type && a->qty == b->qty
        && a->limit_px == b->limit_px && a->stop_px == b->stop_px && a->trail == b->trail && a->replaces == b->replaces;
}

static uint64_t check(gate *g, const order *o, int64_t now, int64_t mono, int every)
{
    uint32_t i = o->instrument;
    const rules *r = &g->r;
    g->failed = 0;
    g->every = every;
    if (i >= MOST || !g->b[i].scale) {
        fail(g, MISSING, 0, i);
        return g->failed;
    }
    const bounds *b = &g->b[i];
    const position *a = &g->account[i], *own = &g->own[i];
    const ref_t *ref = &g->ref[i];
    tape *t = &g->t[i];
    int buy = o->side == BUY, reducing, own_reducing;

    /* the size */
    if (o->qty <= 0 || (b->lot > 1 && o->qty % b->lot)) {
        fail(g, ORDER_QTY, b->lot, o->qty);
        return g->failed;
    }
    if ((o->side != BUY && o->side != SELL) || o->type != LIMIT) {
        fail(g, ORDER_QTY, 0, o->type);
        return g->failed;
    }
    if (o->qty > b->qty && fail(g, ORDER_QTY, b->qty, o->qty))
        return g->failed;
    i128 buys = a->buys, sells = a->sells, own_buys = own->buys, own_sells = own->sells;
    if (buy) {
        reducing = a->qty < 0 && o->qty <= -a->qty - buys;
        own_reducing = own->qty < 0 && o->qty <= -own->qty - own_buys;
        buys += o->qty;
        own_buys += o->qty;
    } else {
        reducing = a->qty > 0 && o->qty <= a->qty - sells;
        own_reducing = own->qty > 0 && o->qty <= own->qty - own_sells;
        sells += o->qty;
        own_sells += o->qty;
        if (a->qty - sells < 0 && !b->shorts && fail(g, SHORT, a->qty - sells + o->qty, o->qty))
            return g->failed;
    }
    i128 up = a->qty + buys, down = a->qty - sells, own_up = own->qty + own_buys, own_down = own->qty - own_sells;
    if (!fits_i64(up) || !fits_i64(down) || !fits_i64(own_up) || !fits_i64(own_down)) {
        fail(g, OVERFLOWED, INT64_MAX, i128_max(i128_abs(up), i128_abs(down)));
        return g->failed;
    }
    if (o->reduce_only && !own_reducing && fail(g, REDUCE_ONLY, i128_max((buy ? -own_up : own_down) + o->qty, 0), o->qty))
        return g->failed;
    if (o->qty > b->adv_qty && !(reducing && !b->adv_qty) && fail(g, ORDER_QTY, b->adv_qty, o->qty))
        return g->failed;

    /* latches, hours, losses */
    int level = g->system_level > g->account_level ? g->system_level : g->account_level;
    level = (int)t->level > level ? (int)t->level : level;
    if ((level >= 2 || (level == 1 && !reducing)) && fail(g, KILLED, 0, level))
        return g->failed;
    if ((g->strategy_level >= 2 || (g->strategy_level == 1 && !own_reducing)) && fail(g, KILLED, 0, g->strategy_level))
        return g->failed;
    if ((g->open == 0 || (g->open == 1 && !reducing)) && fail(g, NOT_RECONCILED, 2, g->open))
        return g->failed;
    if (t->unknown && !reducing && fail(g, NOT_RECONCILED, 0, t->unknown))
        return g->failed;
    if (b->restricted && (b->restricted > 1 || !reducing) && fail(g, RESTRICTED, 0, b->restricted))
        return g->failed;
    if (now >= g->lists_until && !reducing && fail(g, RESTRICTED, 0, 3))
        return g->failed;
    if (!o->auction && !(t->close == 0 || (t->open <= now && now < t->close)) && fail(g, CLOSED, now < t->open ? t->open : t->close, now))
        return g->failed;
    if (ref->flags & HALT && fail(g, HALTED, 0, 1))
        return g->failed;
    if (g->market_halted && b->equity && fail(g, HALTED, 0, 2))
        return g->failed;
    if (!reducing && g->pnl - g->baseline <= -r->daily_loss && fail(g, DAILY_LOSS, -r->daily_loss, g->pnl - g->baseline))
        return g->failed;
    if (!reducing && g->pnl <= g->peak - r->drawdown && fail(g, DRAWDOWN, -r->drawdown, g->pnl - g->peak))
        return g->failed;
    if (!reducing && g->pnl <= g->days_peak - r->days_drawdown && fail(g, DRAWDOWN, -r->days_drawdown, g->pnl - g->days_peak))
        return g->failed;

    /* the reference and the price */
    int quoted = ref->bid_px > 0 && ref->ask_px > ref->bid_px, fresh = 1;
    int64_t mid = quoted ? ref->bid_px + (ref->ask_px - ref->bid_px) / 2 : 0, at;
    if (quoted && !(ref->flags & TICK_FLAGS) && ref->quote_ts > 0 && now - ref->quote_ts <= r->max_age
        && (i128)(ref->ask_px - ref->bid_px) * 10000 <= (i128)mid * r->max_spread_bps) {
        at = mid;
    } else if (!(ref->flags & 1) && ref->last_px > 0 && ref->last_ts > 0 && now - ref->last_ts <= r->max_trade_age) {
        at = ref->last_px;
    } else {
        fresh = 0;
        at = ref->last_px > 0 ? ref->last_px : mid;
    }
    int64_t ask = fresh && ref->ask_px > 0 ? ref->ask_px : at, worst = 0;
    i128 notional = 0;
    if (!fresh) {
        if ((!reducing || at <= 0) && fail(g, STALE, r->max_age, now - ref->quote_ts))
            return g->failed;
        ask = px_widen(at, r->haircut_bps, true);
    }
    if (o->limit_px <= 0 || o->limit_px % (o->limit_px >= PX_ONE ? b->tick : b->sub_tick)) {
        if (fail(g, PRICE_COLLAR, 0, o->limit_px))
            return g->failed;
    } else if (at > 0) {
        worst = o->limit_px > ask ? o->limit_px : ask;
        if (collar(g, o, b, at))
            return g->failed;
        if (fresh) {
            int crosses = buy ? o->limit_px >= ask : o->limit_px <= ref->bid_px;
            if (r->slippage_absolute || (crosses && ref->quote_ts)) {
                int64_t px = r->slippage_absolute ? o->limit_px : average(o, ref);
                i128 worse = buy ? (i128)px - at : (i128)at - px;
                worse = r->slippage_absolute ? i128_abs(worse) : worse;
                if (worse * 10000 > (i128)at * r->max_slippage_bps
                    && fail(g, SLIPPAGE, r->max_slippage_bps, (worse * 10000 + at - 1) / at))
                    return g->failed;
            }
        }
        if (!money_of(worst, o->qty, b->scale, &notional)) {
            if (fail(g, OVERFLOWED, 0, o->qty))
                return g->failed;
        } else if (notional > b->notional && fail(g, ORDER_NOTIONAL, b->notional, notional)) {
            return g->failed;
        }
    }

    /* the position and the portfolio at their worst */
    i128 far = i128_max(i128_abs(up), i128_abs(down)), long_ = 0, short_ = 0, cost;
    if (!money_of(worst, up, b->scale, &long_) || !money_of(worst, down, b->scale, &short_)) {
        if (fail(g, OVERFLOWED, 0, far))
            return g->failed;
    } else {
        i128 reach = i128_max(i128_abs(long_), i128_abs(short_));
        if (!reducing && ((far > b->position_qty && fail(g, POSITION_LIMIT, b->position_qty, far))
                          || (reach > b->position_notional && fail(g, POSITION_LIMIT, b->position_notional, reach))))
            return g->failed;
        far = i128_max(i128_abs(own_up), i128_abs(own_down));
        if (!own_reducing && far > b->strategy_qty && fail(g, POSITION_LIMIT, b->strategy_qty, far))
            return g->failed;
    }
    contribute(g, i);
    i128 gross = g->gross - t->gross + i128_max(i128_abs(long_), i128_abs(short_));
    i128 net = i128_max(i128_abs(g->net_long - t->net_long + long_), i128_abs(g->net_short - t->net_short + short_));
    if (!reducing && ((gross > r->gross && fail(g, GROSS, r->gross, gross)) || (net > r->net && fail(g, NET, r->net, net))))
        return g->failed;
    if (!reducing && g->value + notional > r->open_value && fail(g, OPEN_VALUE, r->open_value, g->value + notional))
        return g->failed;
    if (g->orders >= r->open_count && fail(g, OPEN_COUNT, r->open_count, g->orders + 1))
        return g->failed;
    int64_t free = buy ? -a->qty - a->buys : a->qty - a->sells, px = worst;
    if (!buy) {
        int64_t over = px_widen(ref->ask_px > 0 ? ref->ask_px : at, 300, true);
        px = px > over ? px : over;
    }
    free = free > 0 ? free : 0;
    money_of(px, o->qty - (free < o->qty ? free : o->qty), b->scale, &cost);
    if (cost > 0 && g->held + g->spent + cost > g->buying_power
        && fail(g, BUYING_POWER, i128_max(g->buying_power, 0), g->held + g->spent + cost))
        return g->failed;

    /* the own orders, the past */
    for (uint32_t s = buy ? (a->sells ? g->first[i] : 0) : (a->buys ? g->first[i] : 0); s; s = g->reserved[s].next) {
        const reservation *other = &g->reserved[s];
        if (other->side != o->side && other->leaves > 0 && (buy ? o->limit_px >= other->cross_px : o->limit_px <= other->cross_px)) {
            g->crossed = other->key;
            if (fail(g, SELF_MATCH, other->cross_px, o->limit_px))
                return g->failed;
            break;
        }
    }
    int64_t waits = 0, mine = 0, symbol = 0;
    int duplicate = 0;
    for (uint32_t j = 0; j < g->n_waiting; j++) {
        const order *w = &g->w[j].o;
        mine += w->strategy == o->strategy;
        symbol += w->instrument == i;
        if (w->strategy == o->strategy && w->instrument == i && w->side == o->side) {
            waits++;
            if ((w->key == o->key || (same(w, o) && now - g->w[j].at < r->duplicate_window)) && !duplicate) {
                duplicate = 1;
                if (fail(g, DUPLICATE, r->duplicate_window, now - g->w[j].at))
                    return g->failed;
            }
        }
    }
    if (find(g, o->key) && fail(g, DUPLICATE, 0, 0))
        return g->failed;
    if ((full(&g->sends[i][!buy], r->repeat_max, waits, r->repeat_window, now)
         || full(&g->execs[i][!buy], r->repeat_max, 0, r->repeat_window, now))
        && fail(g, REPEAT, r->repeat_max, r->repeat_max + 1))
        return g->failed;
    if (!own_reducing && full(&g->trips[i], r->round_trips, 0, r->repeat_window, now) && fail(g, REPEAT, r->round_trips, r->round_trips + 1))
        return g->failed;
    if (!g->account_throttle)
        g->account_throttle = mono + r->account_interval * (r->account_burst / 2);
    if ((empty(g->account_throttle, mono, r->account_interval, r->account_burst, 0) || g->n_waiting == WAITING)
        && fail(g, THROTTLE, r->account_burst - r->account_burst / 5, used(g->account_throttle, mono, r->account_interval, 0)))
        return g->failed;
    if (empty(g->strategy_throttle, now, r->strategy_interval, r->strategy_burst, mine)
        && fail(g, THROTTLE, r->strategy_burst - r->strategy_burst / 5, used(g->strategy_throttle, now, r->strategy_interval, mine)))
        return g->failed;
    if (empty(t->throttle, now, r->symbol_interval, r->symbol_burst, symbol)
        && fail(g, THROTTLE, r->symbol_burst - r->symbol_burst / 5, used(t->throttle, now, r->symbol_interval, symbol)))
        return g->failed;
    if (full(&t->sends, r->rate_max, symbol, r->rate_window, now) && fail(g, RATE, r->rate_max, r->rate_max + 1))
        return g->failed;
    if (!reducing && back(&t->cancels, r->cancel_ratio + 1) > now - r->cancel_window && fail(g, CANCEL_RATIO, r->cancel_ratio, 0))
        return g->failed;
    if (!g->failed)
        reserve(g, o, worst, cost, notional, now, mono);
    return g->failed;
}

void gate_check(gate *g, const order *orders, int64_t n, int64_t now, int64_t mono, int every, uint64_t *codes)
{
    for (int64_t i = 0; i < n; i++)
        codes[i] = check(g, &orders[i], now, mono, every);
}

/* Approvals that became no fact: their reservations end. */
void gate_expire(gate *g, const order *orders, int64_t n)
{
    for (int64_t k = 0; k < n; k++) {
        uint32_t slot = find(g, orders[k].key), i = place(orders[k].key);
        reservation *r = &g->reserved[slot];
        i128 value;
        if (!slot)
            continue;
        money_of(r->px, r->leaves, g->b[r->instrument].scale, &value);
        g->value -= value;
        g->held -= r->cost;
        if (r->side == BUY)
            g->account[r->instrument].buys -= r->leaves, g->own[r->instrument].buys -= r->leaves;
        else
            g->account[r->instrument].sells -= r->leaves, g->own[r->instrument].sells -= r->leaves;
        if (r->prev)
            g->reserved[r->prev].next = r->next;
        else
            g->first[r->instrument] = r->next;
        if (r->next)
            g->reserved[r->next].prev = r->prev;
        while (g->table[i] != slot)
            i = (i + 1) % (2 * ROOM);
        for (uint32_t j = (i + 1) % (2 * ROOM); g->table[j]; j = (j + 1) % (2 * ROOM)) {
            uint32_t home = place(g->reserved[g->table[j]].key);
            if ((j - home) % (2 * ROOM) >= (j - i) % (2 * ROOM))
                g->table[i] = g->table[j], i = j;
        }
        g->table[i] = 0;
        memset(r, 0, sizeof *r);
        r->next = g->free;
        g->free = slot;
        g->orders--;
        for (uint32_t j = 0; j < g->n_waiting; j++)
            if (g->w[j].o.key == orders[k].key)
                g->w[j--] = g->w[--g->n_waiting];
    }
}

/* ns that the checks of all batches took; what each reserved is taken back, untimed, before the next. */
int64_t gate_batches(gate *g, const order *orders, int64_t n, int64_t batch, int64_t now, uint64_t *codes)
{
    int64_t ns = 0;
    for (int64_t i = 0; i < n; i += batch) {
        struct timespec a, b;
        clock_gettime(CLOCK_MONOTONIC, &a);
        gate_check(g, orders + i, batch, now, now, 1, codes + i);
        clock_gettime(CLOCK_MONOTONIC, &b);
        ns += (b.tv_sec - a.tv_sec) * 1000000000 + b.tv_nsec - a.tv_nsec;
        gate_expire(g, orders + i, batch);
    }
    return ns;
}

/* Open value, buying power held (each as two words), open orders. */
void gate_state(const gate *g, uint64_t out[5])
{
    uint64_t state[] = {i128_lo(g->value), (uint64_t)i128_hi(g->value), i128_lo(g->held), (uint64_t)i128_hi(g->held), g->orders};
    memcpy(out, state, sizeof state);
}
