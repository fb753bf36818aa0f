/* Alpaca's trades and quotes, msgpack or JSON, to 64-byte records in one pass inside the frame's bounds. Keys in any order, unknown
 * ones skipped, numbers exact and on their tick, a frame all or nothing: the rules of the core's decoder for these two messages.
 * Left out, and never met by the row's frames: other messages (counted), escaped text, numbers beyond 18 digits or with exponents
 * (both: the frame is refused), floats below 2^-11 or from 2^52 on, prices off their tick (the message is refused). */
#include <stdlib.h>
#include <string.h>

#include "records.h"

enum { NONE, T_, S_, TIME, P, SIZE, ID, EXCHANGE, CONDITIONS, TAPE, BP, BS, AP, AS, FIELDS };
#ifndef ROOM
#define ROOM 512                        /* for symbols */
#endif
enum { ABSENT, INTEGER, FLOAT, TEXT, STAMP, LETTERS, DECIMAL, OTHER, DEPTH = 32, SLOTS = ROOM, KEYS = 256, INELIGIBLE = 1024 };

typedef struct { uint64_t bits; int32_t n; uint32_t kind; } value;   /* DECIMAL: bits / 10^n; TEXT: n bytes at bits */
typedef struct { int64_t px; uint64_t inverse, most; int shift; } tick;
typedef struct { uint64_t text; uint32_t n, instrument; tick tick, sub_tick; } symbol;
typedef struct {
    symbol slots[SLOTS];
    uint32_t key[KEYS];
    uint8_t field[KEYS], letter[KEYS];
    uint8_t ineligible[256];
    value v[FIELDS];
    uint32_t have;
    uint16_t flags;
    int64_t ts_recv, minute;
    char minute_text[16];
    market_t *records;
    int64_t n, room;
    uint64_t unknown_fields, other, refused;
} decoder;

static const uint64_t TEN[] = {1, 10, 100, 1000, 10000, 100000, 1000000, 10000000, 100000000, 1000000000, 10000000000,
    100000000000, 1000000000000, 10000000000000, 100000000000000, 1000000000000000, 10000000000000000, 100000000000000000,
    1000000000000000000};

static inline uint32_t place(uint32_t key) { return key * 0x7311d8a3u >> 24; }
static inline uint32_t hash(uint64_t text) { return (text * 0x9e3779b97f4a7c15u >> 40) % SLOTS; }

static void enter(decoder *d, const char *name, int field)
{
    uint32_t key = (uint32_t)strlen(name) << 24;
    memcpy(&key, name, strlen(name));
    d->key[place(key)] = key;
    d->field[place(key)] = field;
    if (!name[1])
        d->letter[(uint8_t)*name] = field;
}

decoder *decoder_new(uint16_t flags, const uint8_t *ineligible, int n)
{
    decoder *d = calloc(1, sizeof *d);
    static const char *const names[] = {"T", "S", "t", "p", "s", "i", "x", "c", "z", "bp", "bs", "ap", "as"};
    for (int i = 0; i < 13; i++)
        enter(d, names[i], i + 1);
    enter(d, "bx", OTHER + 100);
    enter(d, "ax", OTHER + 100);
    for (int i = 0; i < n; i++)
        d->ineligible[ineligible[i]] = 1;
    d->flags = flags;
    d->room = 256;
    d->records = malloc(d->room * sizeof *d->records);
    return d;
}

void decoder_free(decoder *d)
{
    free(d->records);
    free(d);
}

static tick tick_of(int64_t px)
{
    tick t = {px, 0, ~0ULL / (uint64_t)px, __builtin_ctzll(px)};
    uint64_t odd = t.inverse = (uint64_t)px >> t.shift;
    for (int i = 0; i < 5; i++)
        t.inverse *= 2 - odd * t.inverse;
    return t;
}

void decoder_register(decoder *d, const char *text, uint32_t instrument, int64_t tick_px, int64_t sub_tick_px)
{
    symbol s = {0, strlen(text), instrument, tick_of(tick_px), tick_of(sub_tick_px)};
    memcpy(&s.text, text, s.n);
    uint32_t i = hash(s.text);
    while (d->slots[i].n)
        i = (i + 1) % SLOTS;
    d->slots[i] = s;
}

/* ------------------------------------------------------------------------------------------------ numbers */
static inline int scale_double(uint64_t bits, int64_t *out)
{
    int shift = 1075 - (int)(bits >> 52);            /* the sign is part of it: a negative number is refused */
    if (!bits)
        return *out = 0, 1;
    if (shift <= 0 || shift > 63)
        return 0;
    u128 product = (u128)((bits & 0xfffffffffffffu) | 1ULL << 52) * 1000000000u;
    uint64_t high = (uint64_t)(product >> 64), low = (uint64_t)product, whole = high << (64 - shift) | low >> shift;
    low <<= 64 - shift;
    whole += low > 1ULL << 63 || (low == 1ULL << 63 && (whole & 1));
    *out = (int64_t)whole;
    return !(high >> (shift - 1)) && *out >= 0;
}

static inline int scale(const value *v, int64_t *out)
{
    if (v->kind == FLOAT)
        return scale_double(v->bits, out);
    if (v->kind == INTEGER)
        return !__builtin_mul_overflow((int64_t)v->bits, 1000000000, out) && *out >= 0;
    if (v->kind != DECIMAL || v->n > 9)
        return 0;
    return !__builtin_mul_overflow((int64_t)v->bits, (int64_t)TEN[9 - v->n], out) && *out >= 0;
}

static inline int price(const value *v, const symbol *s, int64_t *px)
{
    if (!scale(v, px) || !*px)
        return 0;
    const tick *t = *px >= PX_ONE ? &s->tick : &s->sub_tick;
    uint64_t turned = (uint64_t)*px * t->inverse;
    turned = turned >> t->shift | turned << (-t->shift & 63);
    if (__builtin_expect(turned > t->most, 0)) {     /* no multiple: the noise of a float is put back */
        int64_t tick = t->px, rest = *px % tick;
        if (rest <= *px / 1000000000)
            *px -= rest;
        else if (tick - rest <= *px / 1000000000)
            *px += tick - rest;
        else
            return 0;
    }
    return *px != 0;
}

/* ------------------------------------------------------------------------------------------------ messages */
static inline const value *get(const decoder *d, int field)
{
    static const value absent;
    return d->have >> field & 1 ? &d->v[field] : &absent;
}

static inline uint8_t letter(const value *v)
{
    return v->kind == TEXT && v->n ? *(const uint8_t *)(uintptr_t)v->bits : 0;
}

static inline market_t *put(decoder *d, const symbol *s, uint16_t type)
{
    if (__builtin_expect(d->n == d->room, 0))
        d->records = realloc(d->records, (d->room *= 2) * sizeof *d->records);
    market_t *r = &d->records[d->n++];
    r->header = (header_t){type, d->flags, s->instrument, 0, (int64_t)d->v[TIME].bits, d->ts_recv};
    return r;
}

static inline void trade(decoder *d, const symbol *s)
{
    int64_t px, qty;
    if (!price(get(d, P), s, &px) || !scale(get(d, SIZE), &qty)) {
        d->refused++;
        return;
    }
    market_t *r = put(d, s, 1);
    const value *c = get(d, CONDITIONS), *id = get(d, ID);
    uint32_t letters = c->kind == LETTERS ? (uint32_t)c->bits : 0;
    for (uint32_t rest = letters; rest; rest >>= 8)
        r->header.flags |= d->ineligible[rest & 255] * INELIGIBLE;
    r->header.flags |= !qty * INELIGIBLE;
    r->trade.px = px;
    r->trade.qty = qty;
    r->trade.trade_id = id->kind == INTEGER ? id->bits : 0;
    r->trade.conditions = letters;
    r->trade.exchange = letter(get(d, EXCHANGE));
    r->trade.tape = letter(get(d, TAPE));
    r->trade.taker = r->trade.reserved = 0;
}

static inline int quote_side(const value *px, const value *qty, const symbol *s, int64_t *out_px, int64_t *out_qty)
{
    *out_px = NO_PX;
    *out_qty = 0;
    if (!px->kind || !qty->kind || !px->bits)
        return 1;
    return scale(qty, out_qty) && (!*out_qty || price(px, s, out_px));
}

static inline void quote(decoder *d, const symbol *s)
{
    quote_t q;
    if (!quote_side(get(d, BP), get(d, BS), s, &q.bid_px, &q.bid_qty) || !quote_side(get(d, AP), get(d, AS), s, &q.ask_px, &q.ask_qty)) {
        d->refused++;
        return;
    }
    market_t *r = put(d, s, 2);
    r->quote.bid_px = q.bid_px;
    r->quote.ask_px = q.ask_px;
    r->quote.bid_qty = q.bid_qty;
    r->quote.ask_qty = q.ask_qty;
}

static inline const symbol *find(const decoder *d, const value *name)
{
    if (name->kind != TEXT || name->n > 8)
        return NULL;
    uint64_t text = 0;
    memcpy(&text, (const void *)(uintptr_t)name->bits, 8);     /* inside the frame: the message's end is further on */
    text &= ~0ULL >> (64 - 8 * name->n);
    for (uint32_t i = hash(text); d->slots[i].n; i = (i + 1) % SLOTS)
        if (d->slots[i].text == text)
            return &d->slots[i];
    return NULL;
}

static inline void finish(decoder *d)
{
    const value *type = get(d, T_);
    const symbol *s = find(d, get(d, S_));
    uint8_t kind = type->n == 1 ? letter(type) : 0;
    if (!s || get(d, TIME)->kind != STAMP || (kind != 't' && kind != 'q'))
        d->other++;
    else if (kind == 'q')
        quote(d, s);
    else
        trade(d, s);
}

static inline int field_of(const decoder *d, const uint8_t *text, uint32_t n)
{
    uint32_t key = n == 1 ? text[0] : n == 2 ? text[0] | (uint32_t)text[1] << 8 : 0;
    key |= n << 24;
    return d->key[place(key)] == key ? d->field[place(key)] : NONE;
}

static inline value *keep(decoder *d, int field, value *spare)
{
    if (field == NONE)
        d->unknown_fields++;
    if (field == NONE || field >= FIELDS)
        return spare;
    d->have |= 1u << field;
    return &d->v[field];
}

/* ------------------------------------------------------------------------------------------------ msgpack */
static inline uint64_t wide(const uint8_t *p, int n)
{
    uint64_t x = 0;
    for (int i = 0; i < n; i++)
        x = x << 8 | p[i];
    return x;
}

static inline uint64_t eight(const uint8_t *p)
{
    uint64_t x;
    memcpy(&x, p, 8);
    return __builtin_bswap64(x);
}

static const uint8_t *skip(const uint8_t *p, const uint8_t *end, int depth);

static const uint8_t *entries(const uint8_t *p, const uint8_t *end, uint64_t n, int depth)
{
    while (n-- && p)
        p = skip(p, end, depth + 1);
    return p;
}

/* What the heads of nearly every value leave over; text and numbers are kept, the rest is only passed. */
static const uint8_t *rare(const uint8_t *p, const uint8_t *end, value *v, int depth)
{
    static const uint8_t width[32] = {0, 0, 0, 0, 1, 2, 4, 1, 2, 4, 4, 8, 1, 2, 4, 8, 1, 2, 4, 8, 0, 0, 0, 0, 0, 1, 2, 4, 2, 4, 2, 4};
    uint8_t head = *p++;
    v->kind = OTHER;
    if (head >= 0xe0)
        return p;
    if (head < 0xc0)
        return depth >= DEPTH ? NULL : entries(p, end, (uint64_t)(head & 15) << (head < 0x90), depth);
    int w = width[head - 0xc0];
    if (head == 0xc1 || end - p < w)
        return NULL;
    uint64_t n = wide(p, w);
    p += w;
    if (head == 0xc0) {
        v->kind = ABSENT;
    } else if (head >= 0xcc && head <= 0xcf) {
        v->kind = INTEGER;
        v->bits = n;
    } else if (head >= 0xd4 && head <= 0xd8) {
        n = (1u << (head - 0xd4)) + 1;
        if (n == 5 && end - p >= 5 && *p == 0xff) {
            v->kind = STAMP;
            v->bits = wide(p + 1, 4) * 1000000000u;
        }
        return n <= (uint64_t)(end - p) ? p + n : NULL;
    } else if ((head >= 0xc4 && head <= 0xc9) || (head >= 0xd9 && head <= 0xdb)) {
        n += head >= 0xc7 && head <= 0xc9;
        if (head >= 0xd9)
            *v = (value){(uintptr_t)p, (int32_t)n, TEXT};
        return n <= (uint64_t)(end - p) ? p + n : NULL;
    } else if (head >= 0xdc) {
        return depth >= DEPTH ? NULL : entries(p, end, n << (head >= 0xde), depth);
    }
    return p;
}

static inline const uint8_t *read_value(const uint8_t *p, const uint8_t *end, value *v, int depth)
{
    if (p >= end)
        return NULL;
    uint8_t head = *p;
    if (head < 0x80) {
        v->kind = INTEGER;
        v->bits = head;
        return p + 1;
    }
    if (head == 0xcb) {
        if (end - p < 9)
            return NULL;
        v->kind = FLOAT;
        v->bits = eight(p + 1);
        return p + 9;
    }
    if (head == 0xa1) {                              /* a step of fixed length: the next value can be read before this one */
        *v = (value){(uintptr_t)(p + 1), 1, TEXT};
        return end - p > 1 ? p + 2 : NULL;
    }
    if (head == 0xa3) {
        *v = (value){(uintptr_t)(p + 1), 3, TEXT};
        return end - p > 3 ? p + 4 : NULL;
    }
    if ((head & 0xe0) == 0xa0) {
        *v = (value){(uintptr_t)(p + 1), head & 31, TEXT};
        return (head & 31) < end - p ? p + 1 + (head & 31) : NULL;
    }
    if (head == 0xcd) {
        if (end - p < 3)
            return NULL;
        v->kind = INTEGER;
        v->bits = p[1] << 8 | p[2];
        return p + 3;
    }
    if (head == 0xd7 && end - p >= 10 && p[1] == 0xff) {
        uint64_t x = eight(p + 2);
        v->kind = STAMP;
        v->bits = (x & 0x3ffffffffu) * 1000000000u + (x >> 34);
        return x >> 34 < 1000000000 ? p + 10 : NULL;
    }
    return rare(p, end, v, depth);
}

static const uint8_t *skip(const uint8_t *p, const uint8_t *end, int depth)
{
    value v;
    return read_value(p, end, &v, depth);
}

static inline const uint8_t *letters(const uint8_t *p, const uint8_t *end, value *v)
{
    int n = *p++ & 15;
    *v = (value){0, 0, LETTERS};
    for (int i = 0; i < n && p; i++) {
        value entry;
        p = read_value(p, end, &entry, 3);
        if (i < 4)
            v->bits |= (uint64_t)letter(&entry) << 8 * i;
    }
    return p;
}

static inline const uint8_t *message(decoder *d, const uint8_t *p, const uint8_t *end, uint64_t n)
{
    value spare;
    d->have = 0;
    while (n--) {
        int field;
        if (end - p > 3 && *p == 0xa1) {
            field = d->letter[p[1]];
            p += 2;
        } else if (end - p > 3 && *p == 0xa2) {
            field = field_of(d, p + 1, 2);
            p += 3;
        } else {
            if (p >= end || (*p & 0xe0) != 0xa0 || (*p & 31) >= end - p)
                return NULL;
            field = field_of(d, p + 1, *p & 31);
            p += 1 + (*p & 31);
        }
        value *v = keep(d, field, &spare);
        if (field == CONDITIONS && p < end && (*p & 0xf0) == 0x90)
            p = letters(p, end, v);
        else
            p = read_value(p, end, v, 2);
        if (!p)
            return NULL;
    }
    finish(d);
    return p;
}

static const uint8_t *msgpack(decoder *d, const uint8_t *p, const uint8_t *end)
{
    uint64_t n;
    if (p < end && (*p & 0xf0) == 0x90)
        n = *p++ & 15;
    else if (end - p >= 3 && *p == 0xdc)
        n = wide(p + 1, 2), p += 3;
    else if (end - p >= 5 && *p == 0xdd)
        n = wide(p + 1, 4), p += 5;
    else
        return NULL;
    while (n-- && p) {
        uint64_t keys;
        if (p < end && (*p & 0xf0) == 0x80)
            keys = *p++ & 15;
        else if (end - p >= 3 && *p == 0xde)
            keys = wide(p + 1, 2), p += 3;
        else
            return NULL;
        p = message(d, p, end, keys);
    }
    return p == end ? p : NULL;
}

/* ------------------------------------------------------------------------------------------------ JSON */
/* The frame ends in ']', so that digits and blanks stop there; only text looks for the end. */
static inline const uint8_t *blank(const uint8_t *p)
{
    while (__builtin_expect(*p <= ' ', 0) && (*p == ' ' || *p == '\n' || *p == '\r' || *p == '\t'))
        p++;
    return p;
}

static inline const uint8_t *text(const uint8_t *p, const uint8_t *end, value *v)
{
    const uint8_t *first = p;
    while (p < end && *p != '"') {
        if (*p == '\\' || *p < ' ')
            return NULL;
        p++;
    }
    *v = (value){(uintptr_t)first, (int32_t)(p - first), TEXT};
    return p < end ? p + 1 : NULL;
}

static inline const uint8_t *number(const uint8_t *p, value *v)
{
    const uint8_t *first = p += *p == '-';
    uint64_t x = 0;
    unsigned c;
    v->n = 0;
    while ((c = *p - '0') < 10)
        x = x * 10 + c, p++;
    if (p == first || (*first == '0' && p - first > 1))
        return NULL;
    int digits = (int)(p - first);
    if (*p == '.') {
        const uint8_t *point = ++p;
        while ((c = *p - '0') < 10)
            x = x * 10 + c, p++;
        v->n = (int)(p - point);
        if (!v->n)
            return NULL;
        digits += v->n;
    }
    v->kind = first[-1] == '-' ? OTHER : v->n ? DECIMAL : INTEGER;
    v->bits = x;
    return digits > 18 || (*p | 32) == 'e' ? NULL : p;
}

static const uint8_t *rest(const uint8_t *p, const uint8_t *end, int depth);

static inline const uint8_t *json_value(const uint8_t *p, const uint8_t *end, value *v, int depth)
{
    if (*p == '"')
        return text(p + 1, end, v);
    if (*p == '-' || (unsigned)(*p - '0') < 10)
        return number(p, v);
    v->kind = OTHER;
    if (*p == '[' || *p == '{')
        return depth < DEPTH ? rest(p, end, depth) : NULL;
    if (end - p > 5 && (!memcmp(p, "true", 4) || !memcmp(p, "false", 5)))
        return p + 4 + (*p == 'f');
    v->kind = ABSENT;
    return end - p > 4 && !memcmp(p, "null", 4) ? p + 4 : NULL;
}

static const uint8_t *rest(const uint8_t *p, const uint8_t *end, int depth)
{
    value v;
    uint8_t open = *p, close = open == '[' ? ']' : '}';
    p = blank(p + 1);
    if (*p == close)
        return p + 1 < end ? p + 1 : NULL;
    for (;;) {
        if (open == '{') {
            if (*p != '"' || !(p = text(p + 1, end, &v)) || *(p = blank(p)) != ':')
                return NULL;
            p = blank(p + 1);
        }
        if (!(p = json_value(p, end, &v, depth + 1)))
            return NULL;
        p = blank(p);
        if (*p == close)
            return p + 1 < end ? p + 1 : NULL;
        if (*p != ',')
            return NULL;
        p = blank(p + 1);
    }
}

static inline int two(const uint8_t *p)
{
    unsigned a = p[0] - '0', b = p[1] - '0';
    return a < 10 && b < 10 ? (int)(a * 10 + b) : -1;
}

static inline int eight_digits(const uint8_t *p, int64_t *out)
{
    uint64_t word;
    memcpy(&word, p, 8);
    if ((word & 0xf0f0f0f0f0f0f0f0u) != 0x3030303030303030u || ((word + 0x0606060606060606u) & 0xf0f0f0f0f0f0f0f0u) != 0x3030303030303030u)
        return 0;
    word = (word & 0x0f0f0f0f0f0f0f0fu) * 2561 >> 8;
    word = (word & 0x00ff00ff00ff00ffu) * 6553601 >> 16;
    *out = (int64_t)((word & 0x0000ffff0000ffffu) * 42949672960001u >> 32);
    return 1;
}

static int minute(decoder *d, const uint8_t *p)
{
    int c = two(p), y = two(p + 2), mo = two(p + 5), day = two(p + 8), h = two(p + 11), mi = two(p + 14);
    if (c < 0 || y < 0 || p[4] != '-' || p[7] != '-' || (p[10] | 32) != 't' || p[13] != ':' || mo < 1 || mo > 12 || day < 1 || day > 31
        || h < 0 || h > 23 || mi < 0 || mi > 59)
        return 0;
    int64_t years = c * 100 + y - (mo <= 2), era = years / 400, of_era = years - era * 400;
    int64_t days = era * 146097 + of_era * 365 + of_era / 4 - of_era / 100 + (153 * (mo + (mo > 2 ? -3 : 9)) + 2) / 5 + day - 1 - 719468;
    d->minute = days * 86400 + h * 3600 + mi * 60;
    memcpy(d->minute_text, p, 16);
    return 1;
}

static inline const uint8_t *stamp(decoder *d, const uint8_t *p, const uint8_t *end, value *v)
{
    int64_t fraction = 0;
    if (end - p < 22 || (memcmp(d->minute_text, p, 16) && !minute(d, p)) || p[16] != ':')
        return NULL;
    int seconds = two(p + 17);
    if (seconds < 0 || seconds > 59)
        return NULL;
    p += 19;
    if (*p == '.') {
        const uint8_t *point = ++p;
        unsigned c;
        if (end - p >= 8 && eight_digits(p, &fraction))
            p += 8;
        while (p - point < 9 && (c = *p - '0') < 10)
            fraction = fraction * 10 + c, p++;
        if (p == point)
            return NULL;
        fraction *= TEN[9 - (p - point)];
    }
    *v = (value){(uint64_t)((d->minute + seconds) * 1000000000 + fraction), 0, STAMP};
    return (*p | 32) == 'z' && p[1] == '"' ? p + 2 : NULL;
}

static inline const uint8_t *json_letters(const uint8_t *p, const uint8_t *end, value *v)
{
    *v = (value){0, 0, LETTERS};
    p = blank(p + 1);
    if (*p == ']')
        return p + 1 < end ? p + 1 : NULL;
    for (int i = 0;; i++) {
        value entry;
        if (!(p = json_value(p, end, &entry, 3)))
            return NULL;
        if (i < 4)
            v->bits |= (uint64_t)letter(&entry) << 8 * i;
        p = blank(p);
        if (*p == ']')
            return p + 1 < end ? p + 1 : NULL;
        if (*p != ',')
            return NULL;
        p = blank(p + 1);
    }
}

static inline const uint8_t *object(decoder *d, const uint8_t *p, const uint8_t *end)
{
    value spare;
    d->have = 0;
    p = blank(p + 1);
    if (*p == '}')
        return p + 1;
    for (;;) {
        int field;
        if (*p != '"')
            return NULL;
        if (end - p > 4 && p[2] == '"') {
            field = d->letter[p[1]];
            p += 3;
        } else if (end - p > 4 && p[3] == '"') {
            field = field_of(d, p + 1, 2);
            p += 4;
        } else {
            if (!(p = text(p + 1, end, &spare)))
                return NULL;
            field = NONE;
        }
        value *v = keep(d, field, &spare);
        p = blank(p);
        if (*p != ':')
            return NULL;
        p = blank(p + 1);
        if (field == TIME && *p == '"')
            p = stamp(d, p + 1, end, v);
        else if (field == CONDITIONS && *p == '[')
            p = json_letters(p, end, v);
        else
            p = json_value(p, end, v, 2);
        if (!p)
            return NULL;
        p = blank(p);
        if (*p == '}') {
            finish(d);
            return p + 1;
        }
        if (*p != ',')
            return NULL;
        p = blank(p + 1);
    }
}

static const uint8_t *json(decoder *d, const uint8_t *p, const uint8_t *end)
{
    if (end - p < 2 || end[-1] != ']' || *p != '[')
        return NULL;
    p = blank(p + 1);
    if (*p == ']')
        return p + 1 == end ? end : NULL;
    for (;;) {
        if (*p != '{' || !(p = object(d, p, end)))
            return NULL;
        p = blank(p);
        if (*p == ']')
            return p + 1 == end ? end : NULL;
        if (*p != ',')
            return NULL;
        p = blank(p + 1);
    }
}

/* ------------------------------------------------------------------------------------------------ frames */
/* Frame i is bytes at[i] .. at[i + 1]; returns how many frames were read, and the records in d until the next call of decoder_take. */
int64_t decoder_feed(decoder *d, const uint8_t *bytes, const int64_t *at, int64_t frames, int is_json, int64_t ts_recv)
{
    int64_t good = 0;
    d->ts_recv = ts_recv;
    for (int64_t i = 0; i < frames; i++) {
        int64_t before = d->n;
        const uint8_t *first = bytes + at[i], *end = bytes + at[i + 1];
        if (is_json ? json(d, first, end) : msgpack(d, first, end))
            good++;
        else
            d->n = before;
    }
    return good;
}

int64_t decoder_take(decoder *d, market_t **records)
{
    int64_t n = d->n;
    *records = d->records;
    d->n = 0;
    return n;
}
