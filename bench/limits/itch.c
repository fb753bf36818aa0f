/* ITCH 5.0 bytes into the books of all shares, order by order. Lengths and references are checked, tables double when they are full,
 * large ones lie on huge pages. An order is found through lines of five places, four numbers that follow one another to a line and
 * sixteen lines together; prices are sorted rows, best last; the orders of a price are chained. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

enum { PLACES = 5, GROUP = 16, NEAR = 16, SHARES = 65536, HUGE = 2 << 20 };
#define likely(x) __builtin_expect(!!(x), 1)

typedef struct { uint64_t order[PLACES]; uint32_t slot[PLACES], beyond; } line;
typedef struct { uint64_t number; int64_t qty; uint32_t level, before, behind, by; } order;
typedef struct { int64_t key, qty; uint32_t first, last, orders, where; } level;
typedef struct { int64_t key; uint32_t level, unused; } rung;
typedef struct { rung *rungs; uint32_t n, cap; } row;
typedef struct {
    line *lines;
    uint64_t mask, live, most;
    order *orders;
    level *levels;
    uint32_t shift, order_cap, order_used, order_free, level_cap, level_used, level_free;
    uint64_t counts[256], malformed, unknown, duplicates, refused, clipped;
    char symbols[SHARES][8];
    uint8_t states[SHARES], event;
    row rows[2 * SHARES];
} books;

static inline uint16_t two(const uint8_t *p) { uint16_t v; memcpy(&v, p, 2); return __builtin_bswap16(v); }
static inline uint32_t four(const uint8_t *p) { uint32_t v; memcpy(&v, p, 4); return __builtin_bswap32(v); }
static inline uint64_t eight(const uint8_t *p) { uint64_t v; memcpy(&v, p, 8); return __builtin_bswap64(v); }

static void *pages(size_t size)
{
    void *p = NULL;
    size_t align = size < HUGE ? 64 : HUGE;
    size = (size + align - 1) & ~(align - 1);
    if (posix_memalign(&p, align, size))
        abort();
    if (align == HUGE)
        madvise(p, size, MADV_HUGEPAGE);
    return memset(p, 0, size);
}

static void *twice(void *old, uint32_t *cap, size_t size)
{
    void *more = pages(2 * *cap * size);
    memcpy(more, old, *cap * size);
    free(old);
    *cap *= 2;
    return more;
}

static inline uint64_t home(const books *b, uint64_t n)
{
    return ((((n >> 6) * 0x9E3779B97F4A7C15) >> b->shift) & ~(uint64_t)(GROUP - 1)) | ((n >> 2) & (GROUP - 1));
}

static inline uint64_t another(const books *b, uint64_t n, uint64_t at, uint64_t tried)
{
    return tried ? (at + 1) & b->mask : ((n ^ (n >> 31)) * 0xD6E8FEB86659FD93) >> b->shift;
}

static inline uint32_t find(const books *b, uint64_t n)
{
    uint64_t at = home(b, n), tried;
    for (tried = 0; tried <= b->mask + 1; tried++) {
        const line *l = &b->lines[at];
        int i = n & 3;
        if (likely(l->order[i] == n && l->slot[i]))
            return l->slot[i];
        for (i = 0; i < PLACES; i++)
            if (l->order[i] == n && l->slot[i])
                return l->slot[i];
        if (!l->beyond)
            return 0;
        at = another(b, n, at, tried);
    }
    return 0;
}

static inline void enter(books *b, uint64_t n, uint32_t slot)
{
    uint64_t at = home(b, n), tried = 0;
    b->live++;
    for (;; at = another(b, n, at, tried++)) {
        line *l = &b->lines[at];
        int i = n & 3;
        if (!likely(!l->slot[i]))
            for (i = 0; i < PLACES && l->slot[i]; i++) {}
        if (likely(i < PLACES)) {
            l->order[i] = n;
            l->slot[i] = slot;
            return;
        }
        l->beyond++;
    }
}

static inline void leave(books *b, uint64_t n)
{
    uint64_t at = home(b, n), tried = 0;
    b->live--;
    for (;; at = another(b, n, at, tried++)) {
        line *l = &b->lines[at];
        int i = n & 3;
        if (!likely(l->order[i] == n && l->slot[i]))
            for (i = 0; i < PLACES && !(l->order[i] == n && l->slot[i]); i++) {}
        if (likely(i < PLACES)) {
            l->slot[i] = 0;
            return;
        }
        l->beyond--;
    }
}

static void index_of(books *b, uint64_t lines)
{
    line *old = b->lines;
    uint64_t n = old ? b->mask + 1 : 0, k;
    b->lines = pages(lines * sizeof(line));
    b->mask = lines - 1;
    b->most = lines * PLACES / 2;
    b->shift = 64 - __builtin_ctzll(lines);
    b->live = 0;
    for (k = 0; k < n; k++)
        for (int i = 0; i < PLACES; i++)
            if (old[k].slot[i])
                enter(b, old[k].order[i], old[k].slot[i]);
    free(old);
}

static inline uint32_t rung_of(const row *r, int64_t key)
{
    uint32_t i = r->n, stop = i > NEAR ? i - NEAR : 0, low = 0, high = stop;
    while (i > stop && r->rungs[i - 1].key >= key)
        i--;
    if (likely(i > stop || !stop))
        return i;
    while (low < high) {
        uint32_t mid = (low + high) / 2;
        if (r->rungs[mid].key < key)
            low = mid + 1;
        else
            high = mid;
    }
    return low;
}

static inline uint32_t level_at(books *b, uint32_t where, int64_t key)
{
    row *r = &b->rows[where];
    uint32_t i = rung_of(r, key), n;
    if (i < r->n && r->rungs[i].key == key)
        return r->rungs[i].level;
    if (!likely(r->n < r->cap)) {
        r->cap = r->cap ? 2 * r->cap : 16;
        if (!(r->rungs = realloc(r->rungs, r->cap * sizeof(rung))))
            abort();
    }
    if ((n = b->level_free))
        b->level_free = b->levels[n].first;
    else {
        if (!likely(b->level_used < b->level_cap))
            b->levels = twice(b->levels, &b->level_cap, sizeof(level));
        n = b->level_used++;
    }
    memmove(&r->rungs[i + 1], &r->rungs[i], (r->n++ - i) * sizeof(rung));
    r->rungs[i] = (rung){key, n, 0};
    b->levels[n] = (level){key, 0, 0, 0, 0, where};
    return n;
}

static inline void drop(books *b, uint32_t slot)
{
    order *o = &b->orders[slot];
    level *v = &b->levels[o->level];
    v->qty -= o->qty;
    v->orders--;
    b->orders[o->before].behind = o->behind; /* slot 0 stands for nobody */
    b->orders[o->behind].before = o->before;
    v->first = o->before ? v->first : o->behind;
    v->last = o->behind ? v->last : o->before;
    leave(b, o->number);
    if (!v->orders) {
        row *r = &b->rows[v->where];
        uint32_t i = rung_of(r, v->key);
        memmove(&r->rungs[i], &r->rungs[i + 1], (--r->n - i) * sizeof(rung));
        v->first = b->level_free;
        b->level_free = o->level;
    }
    o->qty = 0;
    o->behind = b->order_free;
    b->order_free = slot;
}

static inline void add(books *b, uint32_t where, uint64_t number, uint32_t px, uint32_t qty, uint32_t by)
{
    int64_t key = px * 100000LL;
    uint32_t slot;
    order *o;
    level *v;
    if (!likely(px && qty)) {
        b->refused++;
        return;
    }
    if (!likely(!(slot = find(b, number)))) {
        b->duplicates++;
        drop(b, slot);
    }
    if (!likely(b->live < b->most))
        index_of(b, 2 * (b->mask + 1));
    if ((slot = b->order_free))
        b->order_free = b->orders[slot].behind;
    else {
        if (!likely(b->order_used < b->order_cap))
            b->orders = twice(b->orders, &b->order_cap, sizeof(order));
        slot = b->order_used++;
    }
    o = &b->orders[slot];
    *o = (order){number, qty, level_at(b, where, where & 1 ? -key : key), 0, 0, by};
    v = &b->levels[o->level];
    o->before = v->last;
    b->orders[v->last].behind = slot;
    v->first = v->last ? v->first : slot;
    v->last = slot;
    v->qty += qty;
    v->orders++;
    enter(b, number, slot);
}

static inline void reduce(books *b, uint64_t number, int64_t qty)
{
    uint32_t slot = find(b, number);
    order *o = &b->orders[slot];
    if (!likely(slot)) {
        b->unknown++;
    } else if (!likely(qty)) {
        b->refused++;
    } else if (qty >= o->qty) {
        b->clipped += qty > o->qty;
        drop(b, slot);
    } else {
        o->qty -= qty;
        b->levels[o->level].qty -= qty;
    }
}

static const uint8_t LENGTHS[256] = {
    ['S'] = 12, ['R'] = 39, ['H'] = 25, ['Y'] = 20, ['L'] = 26, ['V'] = 35, ['W'] = 12, ['K'] = 28, ['J'] = 35, ['h'] = 21, ['A'] = 36,
    ['F'] = 40, ['E'] = 31, ['C'] = 36, ['X'] = 23, ['D'] = 19, ['U'] = 35, ['P'] = 44, ['Q'] = 40, ['B'] = 19, ['I'] = 50, ['N'] = 20,
    ['O'] = 48};

static inline void message(books *b, const uint8_t *p, uint32_t n)
{
    uint32_t slot, where, by = 0;
    b->counts[p[0]]++;
    if (!likely(LENGTHS[p[0]] == n)) {
        b->malformed += LENGTHS[p[0]] != 0;
        return;
    }
    switch (p[0]) {
    case 'F': memcpy(&by, p + 36, 4); /* fall through */
    case 'A':
        if (likely(p[19] == 'B' || p[19] == 'S'))
            add(b, 2 * two(p + 1) + (p[19] == 'S'), eight(p + 11), four(p + 32), four(p + 20), by);
        else
            b->refused++;
        return;
    case 'D':
        if (likely(slot = find(b, eight(p + 11))))
            drop(b, slot);
        else
            b->unknown++;
        return;
    case 'E': case 'C': case 'X': reduce(b, eight(p + 11), four(p + 19)); return;
    case 'U':
        if (!likely(slot = find(b, eight(p + 11)))) {
            b->unknown++;
            return;
        }
        where = b->levels[b->orders[slot].level].where;
        by = b->orders[slot].by;
        drop(b, slot);
        add(b, where, eight(p + 19), four(p + 31), four(p + 27), by);
        return;
    case 'R': memcpy(b->symbols[two(p + 1)], p + 11, 8); return;
    case 'H': b->states[two(p + 1)] = p[19]; return;
    case 'S': b->event = p[11]; return;
    }
}

int64_t itch_feed(books *b, const uint8_t *p, int64_t size)
{
    const uint8_t *end = p + size;
    while (end - p >= 2 && end - p - 2 >= two(p)) {
        uint32_t n = two(p);
        if (likely(n))
            message(b, p + 2, n);
        p += 2 + n;
    }
    return end - p;
}

books *itch_new(void)
{
    books *b = calloc(1, sizeof *b);
    if (!b)
        abort();
    b->orders = pages((b->order_cap = 128) * sizeof(order));
    b->levels = pages((b->level_cap = 64) * sizeof(level));
    b->order_used = b->level_used = 1;
    index_of(b, 64);
    return b;
}

void itch_free(books *b)
{
    for (int i = 0; i < 2 * SHARES; i++)
        free(b->rows[i].rungs);
    free(b->lines);
    free(b->orders);
    free(b->levels);
    free(b);
}

/* orders, levels, what could not be, and every side's best three levels as one sum */
void itch_state(const books *b, int64_t *out)
{
    uint64_t sum = 0;
    int64_t levels = 0;
    for (int i = 0; i < 2 * SHARES; i++) {
        const row *r = &b->rows[i];
        levels += r->n;
        for (uint32_t k = r->n; k > 0 && k + 3 > r->n; k--) {
            const level *v = &b->levels[r->rungs[k - 1].level];
            sum += (i & 1 ? -v->key : v->key) / 100000 * 31 + v->qty * 7 + v->orders;
        }
    }
    out[0] = b->live;
    out[1] = levels;
    out[2] = b->unknown + b->duplicates + b->refused + b->clipped + b->malformed;
    out[3] = (int64_t)sum;
}
