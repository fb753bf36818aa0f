/* Trades to bars of several intervals at once: trades in order are gathered once, for all intervals, until the first window ends.
 * The rules of the core's bars: condition letters say what a trade may change, sums of px * qty are 128 bits wide, the last trades are
 * kept to be taken back, a TIMER closes. Left out, and never met by the
 * row's records: sessions, trades before a window that is open or after one that nobody closed (counted), cancels. */
#include <stdlib.h>
#include <string.h>

#include "records.h"

enum { TRADE = 1, TIMER = 6, BAR = 20, VENUE = 1, MOST = 8, KEPT = 256, VOLUME = 1, RANGE = 2, LAST = 4, ALL = 7, INELIGIBLE = 1024 };
enum { INHERITED = 16 | 4096 | 8192 };

typedef struct { int64_t ts, px, qty; uint64_t id; uint8_t exchange, fields, live; } kept;
typedef struct { int64_t start, end, open, high, low, close, volume; i128 notional; uint32_t trades; uint16_t flags; } window;
typedef struct { bar_t *rows; int64_t n, room; } output;
typedef struct {
    int64_t ts, until, high, low, close, volume;
    i128 notional;
    uint32_t trades;
    uint16_t flags;
} tip;
typedef struct {
    tip tip;
    int64_t interval[MOST];
    window now[MOST];
    int n;
    uint32_t instrument;
    kept kept[KEPT];
    uint64_t kept_count, refused, late, restricted;
    int64_t closed_at, next_close;
    uint8_t rules[256];
    output *out;
} bars;

output *output_new(void)
{
    output *o = calloc(1, sizeof *o);
    o->rows = malloc((o->room = 1024) * sizeof *o->rows);
    return o;
}

void output_free(output *o)
{
    free(o->rows);
    free(o);
}

bars *bars_new(const int64_t *intervals, int n, const uint8_t *rules, output *out)
{
    bars *b = calloc(1, sizeof *b);
    memcpy(b->interval, intervals, n * sizeof *intervals);
    memcpy(b->rules, rules, sizeof b->rules);
    b->n = n;
    b->out = out;
    return b;
}

void bars_free(bars *b)
{
    free(b);
}

static void fold(bars *b)
{
    tip *t = &b->tip;
    t->until = 0;
    if (!t->trades)
        return;
    for (int k = 0; k < b->n; k++) {
        window *w = &b->now[k];
        w->high = t->high > w->high ? t->high : w->high;
        w->low = t->low < w->low ? t->low : w->low;
        w->close = t->close;
        w->volume += t->volume;
        w->notional += t->notional;
        w->trades += t->trades;
        w->flags |= t->flags;
    }
    t->trades = 0;
}

static void write(bars *b, int k)
{
    window *w = &b->now[k];
    output *o = b->out;
    if (o->n == o->room)
        o->rows = realloc(o->rows, (o->room *= 2) * sizeof *o->rows);
    o->rows[o->n++] = (bar_t){.type = BAR, .flags = w->flags, .instrument = b->instrument, .ts_event = w->end,
        .ts_recv = b->closed_at, .start = w->start, .interval = b->interval[k], .open_px = w->open, .high_px = w->high,
        .low_px = w->low, .close_px = w->close, .volume = w->volume, .notional_lo = (uint64_t)w->notional,
        .notional_hi = (int64_t)(w->notional >> 64), .trades = w->trades};
    w->trades = 0;
}

static void each_window(bars *b, const trade_t *t)
{
    tip *tip = &b->tip;
    fold(b);
    memset(tip, 0, sizeof *tip);
    for (int k = 0; k < b->n; k++) {
        window *w = &b->now[k];
        if (!w->trades) {
            int64_t start = t->ts_event - t->ts_event % b->interval[k];
            *w = (window){.start = start, .end = start + b->interval[k], .open = t->px, .high = t->px, .low = t->px};
            if (!b->next_close || w->end < b->next_close)
                b->next_close = w->end;
        } else if (t->ts_event < w->start || t->ts_event >= w->end) {
            b->late++;
            continue;
        }
        w->high = t->px > w->high ? t->px : w->high;
        w->low = t->px < w->low ? t->px : w->low;
        w->close = t->px;
        w->volume += t->qty;
        w->notional += (i128)t->px * t->qty;
        w->trades++;
        w->flags |= t->flags & INHERITED;
        if (!k || w->end < tip->until)
            tip->until = w->end;
    }
    tip->high = INT64_MIN;
    tip->low = INT64_MAX;
    tip->ts = t->ts_event;
}

static inline uint8_t fields_of(const bars *b, const trade_t *t)
{
    uint8_t fields = ALL;
    for (uint32_t letters = t->conditions; letters; letters >>= 8)
        if (letters & 255)
            fields &= b->rules[letters & 255];
    return t->flags & INELIGIBLE ? fields & VOLUME : fields;
}

static inline void trade(bars *b, const trade_t *t)
{
    uint8_t fields = fields_of(b, t);
    int64_t volume;
    if (__builtin_expect(t->ts_event < 0 || t->qty <= 0 || t->px == NO_PX, 0)) {
        b->refused++;
        return;
    }
    if (!fields)
        return;
    if (__builtin_expect(fields != ALL, 0)) {
        b->restricted++;
        return;
    }
    kept *k = &b->kept[b->kept_count++ & (KEPT - 1)];
    *k = (kept){t->ts_event, t->px, t->qty, t->trade_id, t->exchange, fields, 1};
    tip *tip = &b->tip;
    if (__builtin_expect(t->ts_event < tip->ts || t->ts_event >= tip->until, 0)
        || __builtin_add_overflow(tip->volume, t->qty, &volume)) {
        each_window(b, t);
        return;
    }
    tip->high = t->px > tip->high ? t->px : tip->high;
    tip->low = t->px < tip->low ? t->px : tip->low;
    tip->close = t->px;
    tip->ts = t->ts_event;
    tip->notional += (i128)t->px * t->qty;
    tip->volume = volume;
    tip->trades++;
    tip->flags |= t->flags & INHERITED;
}

static void close_windows(bars *b, int64_t at)
{
    b->closed_at = at > b->closed_at ? at : b->closed_at;
    if (!b->next_close || at < b->next_close)
        return;
    fold(b);
    b->next_close = 0;
    for (int k = 0; k < b->n; k++) {
        window *w = &b->now[k];
        if (w->trades && w->end <= at)
            write(b, k);
        else if (w->trades && (!b->next_close || w->end < b->next_close))
            b->next_close = w->end;
    }
}

/* How many were trades. */
int64_t bars_apply(bars *b, const market_t *records, int64_t n)
{
    int64_t trades = 0;
    for (int64_t i = 0; i < n; i++) {
        if (records[i].header.type == TRADE) {
            trade(b, &records[i].trade);
            trades++;
        } else if (records[i].header.type == TIMER && records[i].timer.clock == VENUE) {
            close_windows(b, records[i].timer.at);
        }
    }
    return trades;
}

/* The bars since the last call: how many, and where they are until the next bars_apply. */
int64_t output_take(output *o, bar_t **rows)
{
    int64_t n = o->n;
    *rows = o->rows;
    o->n = 0;
    return n;
}
