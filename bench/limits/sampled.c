/* Trades to bars of so many ticks, so much volume, so much money and so wide a range, in one pass: the rules of the core's bars for the
 * row's records. Sums of px * qty are 128 bits wide, condition letters say what a trade may change, the last trades are kept to be
 * taken back. Left out, and never met by the records: odd lots, backfilled trades, gaps, cancels. */
#include <stdlib.h>
#include <string.h>

#include "records.h"

enum { TRADE = 1, BAR = 20, KINDS = 4, KEPT = 256, ALL = 7, INELIGIBLE = 1024, INHERITED = 16 | 4096 | 8192 };
enum { TICK, VOLUME, DOLLAR, RANGE };

typedef struct { int64_t ts, px, qty; uint64_t id; uint8_t exchange, fields, live; } kept;
typedef struct { int64_t start, end, open, high, low, close, volume; i128 notional; uint32_t trades; uint16_t flags; } window;
typedef struct {
    window now[KINDS];
    int64_t code[KINDS], ticks, volume, range;
    i128 money;
    kept kept[KEPT];
    uint64_t kept_count, refused;
    uint8_t rules[256];
    bar_t *rows;
    int64_t n, room;
} bars;

bars *sampled_new(const int64_t *codes, const uint8_t *rules)
{
    bars *b = calloc(1, sizeof *b);
    const int64_t size = ((int64_t)1 << 56) - 1;
    memcpy(b->code, codes, sizeof b->code);
    memcpy(b->rules, rules, sizeof b->rules);
    b->ticks = -codes[TICK] & size;
    b->volume = -codes[VOLUME] & size;
    b->money = (i128)(-codes[DOLLAR] & size) * 10000000 * 1000000000;
    b->range = -codes[RANGE] & size;
    b->rows = malloc((b->room = 1024) * sizeof *b->rows);
    return b;
}

void sampled_free(bars *b)
{
    free(b->rows);
    free(b);
}

static void write(bars *b, int k, int64_t ts_recv, uint32_t instrument)
{
    window *w = &b->now[k];
    if (b->n == b->room)
        b->rows = realloc(b->rows, (b->room *= 2) * sizeof *b->rows);
    b->rows[b->n++] = (bar_t){.type = BAR, .flags = w->flags, .instrument = instrument, .ts_event = w->end, .ts_recv = ts_recv,
        .start = w->start, .interval = b->code[k], .open_px = w->open, .high_px = w->high, .low_px = w->low, .close_px = w->close,
        .volume = w->volume, .notional_lo = (uint64_t)w->notional, .notional_hi = (int64_t)(w->notional >> 64), .trades = w->trades};
    memset(w, 0, sizeof *w);
}

static inline int whole(const bars *b, const window *w, int k)
{
    switch (k) {
    case TICK: return w->trades >= b->ticks;
    case VOLUME: return w->volume >= b->volume;
    case DOLLAR: return (w->notional > 0 ? w->notional : -w->notional) >= b->money;
    default: return (i128)w->high - w->low >= b->range;
    }
}

static inline void trade(bars *b, const trade_t *t)
{
    uint8_t fields = ALL;
    for (uint32_t letters = t->conditions; letters; letters >>= 8)
        if (letters & 255)
            fields &= b->rules[letters & 255];
    if (t->ts_event < 0 || t->qty <= 0 || t->px == NO_PX || fields != ALL || t->flags & INELIGIBLE) {
        b->refused++;
        return;
    }
    b->kept[b->kept_count++ & (KEPT - 1)] = (kept){t->ts_event, t->px, t->qty, t->trade_id, t->exchange, fields, 1};
    i128 notional = (i128)t->px * t->qty;
    for (int k = 0; k < KINDS; k++) {
        window *w = &b->now[k];
        if (!w->trades) {
            w->start = w->end = t->ts_event;
            w->open = w->high = w->low = t->px;
        }
        w->end = t->ts_event > w->end ? t->ts_event : w->end;
        w->high = t->px > w->high ? t->px : w->high;
        w->low = t->px < w->low ? t->px : w->low;
        w->close = t->px;
        if (__builtin_add_overflow(w->volume, t->qty, &w->volume))
            w->volume = INT64_MAX;
        w->notional += notional;
        w->trades++;
        w->flags |= t->flags & INHERITED;
        if (whole(b, w, k))
            write(b, k, t->ts_recv, t->instrument);
    }
}

/* How many were trades. */
int64_t sampled_apply(bars *b, const market_t *records, int64_t n)
{
    int64_t trades = 0;
    for (int64_t i = 0; i < n; i++)
        if (records[i].header.type == TRADE) {
            trade(b, &records[i].trade);
            trades++;
        }
    return trades;
}

/* The bars since the last call: how many, and where they are until the next sampled_apply. */
int64_t sampled_take(bars *b, bar_t **rows)
{
    int64_t n = b->n;
    *rows = b->rows;
    b->n = 0;
    return n;
}
