/* A level book of 1,024 ticks a side: the bitmap finds the best price after each record. What the ladder does not cover is kept in a
 * sorted array and read when the ladder is empty. The rules of the core's book: type, action, side, tick and sign are checked. */
#include <stdlib.h>
#include <string.h>

#include "records.h"

enum { SLOTS = 1024, WORDS = SLOTS / 64, FAR = 4096, DELTA = 3, SET = 0, CLEAR = 1, NOTHING = 2, BUY = 1, SELL = 2 };

typedef struct { int64_t key, qty; } level;
typedef struct {
    int64_t px, qty, base, step;
    uint64_t inverse, top, map[WORDS];
    int64_t slot[SLOTS];
    level far[FAR];
    int32_t far_levels;
    int32_t placed;
} side;
typedef struct {
    side sides[2];
    int64_t reach, ts;
    uint64_t update_id, refused;
    int shift;
} book;

book *book_new(int64_t tick)
{
    book *b = calloc(1, sizeof *b);
    b->shift = __builtin_ctzll(tick);
    uint64_t odd = (uint64_t)tick >> b->shift, inverse = odd;
    for (int i = 0; i < 5; i++)
        inverse *= 2 - odd * inverse;
    b->reach = (1LL << 61) / tick;
    b->sides[0] = (side){.px = NO_PX, .step = -tick, .inverse = -inverse};
    b->sides[1] = (side){.px = NO_PX, .step = tick, .inverse = inverse};
    return b;
}

void book_free(book *b)
{
    free(b);
}

static void set_far(side *s, int64_t key, int64_t qty)
{
    int i = 0;
    while (i < s->far_levels && s->far[i].key < key)
        i++;
    int found = i < s->far_levels && s->far[i].key == key;
    if (found && qty) {
        s->far[i].qty = qty;
    } else if (found) {
        memmove(&s->far[i], &s->far[i + 1], (size_t)(--s->far_levels - i) * sizeof(level));
    } else if (qty && s->far_levels < FAR) {
        memmove(&s->far[i + 1], &s->far[i], (size_t)(s->far_levels++ - i) * sizeof(level));
        s->far[i] = (level){key, qty};
    }
}

static inline void best(side *s)
{
    if (s->top) {
        int word = __builtin_ctzll(s->top), slot = (word << 6) + __builtin_ctzll(s->map[word]);
        s->px = (s->base + slot) * s->step;
        s->qty = s->slot[slot];
    } else if (s->far_levels) {
        s->px = s->far[0].key * s->step;
        s->qty = s->far[0].qty;
    } else {
        s->px = NO_PX;
        s->qty = 0;
    }
}

static inline int set_level(book *b, int which, int64_t px, int64_t qty)
{
    side *s = &b->sides[which != BUY];
    uint64_t product = (uint64_t)px * s->inverse;
    int64_t key = (int64_t)product >> b->shift;
    if (__builtin_expect((product & ((1ULL << b->shift) - 1)) != 0 || (uint64_t)key + b->reach > 2 * (uint64_t)b->reach || qty < 0
                         || (which != BUY && which != SELL), 0)) {
        b->refused++;
        return 0;
    }
    if (__builtin_expect(!s->placed, 0)) {
        s->base = key - SLOTS / 2;
        s->placed = 1;
    }
    uint64_t slot = (uint64_t)(key - s->base);
    if (__builtin_expect(slot >= SLOTS, 0)) {
        set_far(s, key, qty);
        best(s);
        return 1;
    }
    uint64_t bit = 1ULL << (slot & 63), *word = &s->map[slot >> 6], bits = qty ? *word | bit : *word & ~bit;
    s->slot[slot] = qty;
    *word = bits;
    bit = 1ULL << (slot >> 6);
    s->top = bits ? s->top | bit : s->top & ~bit;
    best(s);
    return 1;
}

static void clear(book *b)
{
    for (int i = 0; i < 2; i++) {
        side *s = &b->sides[i];
        memset(s->map, 0, sizeof s->map);
        memset(s->slot, 0, sizeof s->slot);
        s->top = 0;
        s->far_levels = s->placed = 0;
        best(s);
    }
}

/* How many of the records changed the book. */
int64_t book_apply(book *b, const market_t *records, int64_t n)
{
    int64_t applied = 0;
    for (int64_t i = 0; i < n; i++) {
        const delta_t *d = &records[i].delta;
        if (d->type != DELTA)
            continue;
        if (d->action == SET)
            applied += set_level(b, d->side, d->px, d->qty);
        else if (d->action == CLEAR)
            clear(b), applied++;
        else if (d->action == NOTHING)
            applied++;
        else
            b->refused++;
        if (d->update_id)
            b->update_id = d->update_id;
        b->ts = d->ts_event;
    }
    return applied;
}

/* bid px, qty, ask px, qty, last update id, last time, refused. */
void book_state(const book *b, int64_t out[7])
{
    const side *s = b->sides;
    int64_t state[] = {s[0].px, s[0].qty, s[1].px, s[1].qty, (int64_t)b->update_id, b->ts, (int64_t)b->refused};
    memcpy(out, state, sizeof state);
}
