/* Quotes and trades of many instruments: the top of each book, the reference that risk reads, and bars of several intervals.
 * The rules of the core's pipeline for live records; deltas are the book's row. */
#include "bars.c"

enum { QUOTE = 2, BACKFILLED = 16, CROSSED = 512, GAPPED = 1 };

typedef struct { int64_t bid_px, bid_qty, ask_px, ask_qty, ts; int gap; } top;
typedef struct {
    bars **bars;
    top *tops;
    ref_t *refs;
    int64_t *closes, next_close, closed_at;
    uint32_t n;                                     /* ids are below it */
    uint64_t unknown;
} pipeline;

pipeline *pipeline_new(uint32_t n, const int64_t *intervals, int n_intervals, const uint8_t *rules, output *out)
{
    pipeline *p = calloc(1, sizeof *p);
    p->n = n;
    p->bars = calloc(n, sizeof *p->bars);
    p->tops = calloc(n, sizeof *p->tops);
    p->refs = calloc(n, sizeof *p->refs);
    p->closes = calloc(n, sizeof *p->closes);
    for (uint32_t i = 0; i < n; i++) {
        p->refs[i].bid_px = p->refs[i].ask_px = NO_PX;
        if (i) {
            p->bars[i] = bars_new(intervals, n_intervals, rules, out);
            p->bars[i]->instrument = i;
        }
    }
    return p;
}

void pipeline_free(pipeline *p)
{
    for (uint32_t i = 1; i < p->n; i++)
        bars_free(p->bars[i]);
    free(p->bars);
    free(p->tops);
    free(p->refs);
    free(p->closes);
    free(p);
}

static inline void quoted(pipeline *p, uint32_t id, const quote_t *q)
{
    top *t = &p->tops[id];
    ref_t *r = &p->refs[id];
    t->bid_px = q->bid_qty > 0 ? q->bid_px : NO_PX;
    t->ask_px = q->ask_qty > 0 ? q->ask_px : NO_PX;
    t->bid_qty = q->bid_qty > 0 && q->bid_px != NO_PX ? q->bid_qty : 0;
    t->ask_qty = q->ask_qty > 0 && q->ask_px != NO_PX ? q->ask_qty : 0;
    t->gap = 0;
    t->ts = q->ts_event;
    if (q->flags & BACKFILLED && q->ts_event < r->quote_ts)
        return;
    r->bid_qty = t->bid_qty;
    r->ask_qty = t->ask_qty;
    r->bid_px = t->bid_qty ? q->bid_px : NO_PX;
    r->ask_px = t->ask_qty ? q->ask_px : NO_PX;
    r->quote_ts = q->ts_event;
    int crossed = r->bid_qty && r->ask_qty && r->bid_px > r->ask_px;
    r->flags = (r->flags & ~(uint32_t)(CROSSED | (q->flags & BACKFILLED ? 0 : GAPPED))) | (crossed ? CROSSED : 0);
}

static inline void traded(pipeline *p, uint32_t id, const trade_t *t)
{
    bars *b = p->bars[id];
    ref_t *r = &p->refs[id];
    if (fields_of(b, t) & LAST && t->ts_event >= r->last_ts && t->qty > 0 && t->px != NO_PX) {
        r->last_px = t->px;
        r->last_ts = t->ts_event;
    }
    b->closed_at = p->closed_at;
    trade(b, t);
    if (b->next_close != p->closes[id]) {
        p->closes[id] = b->next_close;
        if (b->next_close && (!p->next_close || b->next_close < p->next_close))
            p->next_close = b->next_close;
    }
}

static void close_all(pipeline *p, int64_t at)
{
    p->closed_at = at > p->closed_at ? at : p->closed_at;
    if (!p->next_close || at < p->next_close)
        return;
    p->next_close = 0;
    for (uint32_t i = 1; i < p->n; i++) {
        if (p->closes[i] && p->closes[i] <= at)
            close_windows(p->bars[i], at);
        p->closes[i] = p->bars[i]->next_close;
        if (p->closes[i] && (!p->next_close || p->closes[i] < p->next_close))
            p->next_close = p->closes[i];
    }
}

void pipeline_run(pipeline *p, const market_t *records, int64_t n)
{
    for (int64_t i = 0; i < n; i++) {
        uint32_t id = records[i].header.instrument, kind = records[i].header.type;
        if (kind == TIMER && records[i].timer.clock == VENUE)
            close_all(p, records[i].timer.at);
        else if (!id || id >= p->n)
            p->unknown++;
        else if (kind == QUOTE)
            quoted(p, id, &records[i].quote);
        else if (kind == TRADE)
            traded(p, id, &records[i].trade);
        else
            p->unknown++;
    }
}

const ref_t *pipeline_refs(const pipeline *p)
{
    return p->refs;
}
