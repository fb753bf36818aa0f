/* The one pass of onepass.c, and six indicators of each bar that it publishes: those of indicators.c, in every interval of a symbol. */
#include "onepass.c"
#define tick six_tick /* it is the name of a price step too */
#include "indicators.c"

typedef struct {
    six_t state;
    double values[10];
} fed;

fed *feds_new(int64_t n)
{
    return calloc((size_t)n, sizeof(fed));
}

double *feds_values(fed *all, int64_t i)
{
    return all[i].values;
}

static void feed(fed *all, const output *o, int64_t first, const int64_t *intervals, int64_t n)
{
    for (int64_t i = first; i < o->n; i++) {
        const bar_t *bar = &o->rows[i];
        int64_t k = 0;
        while (k < n - 1 && intervals[k] != bar->interval)
            k++;
        fed *f = &all[bar->instrument * n + k];
        six_tick(&f->state, (double)bar->high_px / 1e9, (double)bar->low_px / 1e9, (double)bar->close_px / 1e9, f->values);
    }
}

void onepass_six(decoder *d, pipeline *p, fed *all, const output *o, const int64_t *intervals, int64_t kinds, const uint8_t *bytes,
    const int64_t *at, int64_t frames, int64_t ts_recv, const market_t *timer)
{
    market_t *records;
    for (int64_t i = 0; i < frames; i++) {
        int64_t before = o->n;
        decoder_feed(d, bytes, at + i, 1, 0, ts_recv);
        int64_t n = decoder_take(d, &records);
        pipeline_run(p, records, n);
        feed(all, o, before, intervals, kinds);
    }
    int64_t before = o->n;
    pipeline_run(p, timer, 1);
    feed(all, o, before, intervals, kinds);
}
