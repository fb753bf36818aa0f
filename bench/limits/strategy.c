/* Quotes of one instrument through the market stage, each to a callback that the compiler does not know: what a compiled strategy
 * costs where nothing else is done. */
#include "pipeline.c"

typedef struct strategy strategy;
struct strategy {
    int (*on_quote)(strategy *, const quote_t *);
    int64_t now, total, seen;
};

static int mid(strategy *s, const quote_t *q)
{
    s->total += (q->bid_px + q->ask_px) >> 1;
    s->seen++;
    return 0;
}

strategy *strategy_new(void)
{
    strategy *s = calloc(1, sizeof *s);
    *(int (*volatile *)(strategy *, const quote_t *))&s->on_quote = mid;
    return s;
}

int64_t strategy_run(pipeline *p, strategy *s, const market_t *records, int64_t n)
{
    s->total = s->seen = 0;
    for (int64_t i = 0; i < n; i++) {
        pipeline_run(p, &records[i], 1);
        s->now = records[i].header.ts_event;
        if (records[i].header.type == QUOTE && s->on_quote(s, &records[i].quote))
            break;
    }
    return s->total;
}
