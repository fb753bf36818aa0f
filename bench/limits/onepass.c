/* A frame's bytes to records, and those through book, reference and bars: the decoder and the pipeline of this directory, a frame
 * at a time, so that its records are still in the cache. */
#define trade(...) decoded_trade(__VA_ARGS__)   /* both have one */
#define INELIGIBLE DECODED_INELIGIBLE
#define ROOM 32768
#include "decode.c"
#undef trade
#undef INELIGIBLE
#include "pipeline.c"

void onepass_feed(decoder *d, pipeline *p, const uint8_t *bytes, const int64_t *at, int64_t frames, int64_t ts_recv)
{
    market_t *records;
    for (int64_t i = 0; i < frames; i++) {
        decoder_feed(d, bytes, at + i, 1, 0, ts_recv);
        int64_t n = decoder_take(d, &records);
        pipeline_run(p, records, n);
    }
}
