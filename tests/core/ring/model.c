/* All that one writer, with the writers after it, and its readers can come to: include/ring.h itself over a memory that shows whatever
 * the C11 memory orders allow. Usage: model SCENARIO... [mutant=N] [mode=rc11|interleaved|tso]; see parse(). Prints one JSON line.
 *
 * The memory is the view machine of RC11: each location has all its stores in order; a thread may load any store that is not older
 * than what it has seen; a store carries what its reader learns by it (release store, or the last release fence before it), a load
 * takes that over at once (acquire) or at the next acquire fence. Loads never read from the future (no load of ours decides a store).
 *
 * Readers store nothing, so whatever interleaving there is gives the same as running the writers first and letting each load then
 * choose its store: mode rc11 goes through those choices. Mode interleaved goes through the interleavings too (before each load, how
 * many stores were made), with the same choice among those made; mode tso is the same with the newest store only, which is what
 * store buffers allow a thread that stores nothing. The outcomes (printed as a hash of their set) must be: interleaved = rc11, and tso
 * a part of it.
 *
 * Death: die=A,B,C: the first writer ends before its store number A (or when it has no more), the second before number B ...; the next
 * begins with all that was stored (the lock's passing through the kernel puts it before). die=all: every A, then every pair A,B. */
#include <setjmp.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static uint64_t hook_load(const void *p, int order);
static void hook_store(void *p, uint64_t v, int order);
static void hook_fence(int order);
#define RING_HOOKS
#ifndef RING_LIVES
#define RING_LIVES 4
#endif
#define RING_LOAD(p, order) hook_load((const void *)(p), order)
#define RING_STORE(p, v, order) hook_store((void *)(p), v, order)
#define RING_FENCE(order) hook_fence(order)
#include "ring.h"

enum { MAX_CAPACITY = 8, MAX_WORDS = 2, FIXED = 4, LOCATIONS = FIXED + RING_LIVES + MAX_CAPACITY * MAX_WORDS, MOST = 64, DEEP = 512, LIVES = 4 };
enum { RC11, INTERLEAVED, TSO };
enum { HEAD, LIFE, STATE, PID, BASES };
enum { NO_WRITER_FENCE = 1, HEAD_NOT_RELEASED, HEAD_NOT_ACQUIRED, NO_READER_FENCE, NO_MARGIN, OLD_HEAD, LIFE_NOT_RELEASED, LIFE_NOT_ACQUIRED, BASE_NOT_FENCED, LIFE_NOT_LOOKED_AT, MUTANTS };

typedef struct { uint8_t at[LOCATIONS]; } view_t;
typedef struct { uint64_t value; int time; view_t view; } store_t;

static struct { /* what is gone through */
    uint64_t capacity, room, every;
    uint32_t batch, words;
    int publishes, size, reads, readers, mode, mutant, die[LIVES], all, oldest;
} now = {4, 2, 0, 1, 2, 4, 1, 2, 1, RC11, 0, {-1, -1, -1, -1}, 0, 0};

static ring_shared_t shared;
static ring_word_t slots[MAX_CAPACITY * MAX_WORDS];
static store_t memory[LOCATIONS][MOST];
static int count[LOCATIONS], stores, life_stores, die_at;
static uint64_t life_of[256], published;
static uint64_t life;

static view_t cur, acq, rel;            /* of the thread that runs */
static int writing, at_time, newest, first_head, loaded;
static jmp_buf death;

static struct { int chosen, of; } path[DEEP];
static int depth, known;
static uint64_t runs, loads, deaths;

static void fail(const char *why, uint64_t a, uint64_t b) {
    printf("{\"violation\": \"%s\", \"seen\": %llu, \"expected\": %llu, \"runs\": %llu}\n", why, (unsigned long long)a, (unsigned long long)b, (unsigned long long)runs);
    exit(1);
}

static int choose(int of) {
    if (of == 1) return 0;
    if (depth == DEEP) exit(3);
    if (depth == known) path[known].chosen = 0, path[known++].of = of;
    return path[depth++].chosen;
}

static int next_path(void) { /* depth first: the last choice that has another one left */
    while (known && path[known - 1].chosen + 1 == path[known - 1].of) known--;
    if (known) path[known - 1].chosen++;
    depth = 0;
    return known;
}

static void join(view_t *a, const view_t *b) {
    for (int i = 0; i < LOCATIONS; i++)
        if (a->at[i] < b->at[i]) a->at[i] = b->at[i];
}

static int location(const void *p) {
    const uintptr_t at = (uintptr_t)p, page = (uintptr_t)&shared, data = (uintptr_t)slots;
    if (at >= data && at < data + sizeof slots) return FIXED + RING_LIVES + (int)((at - data) / 8);
    if (at >= (uintptr_t)shared.bases && at < (uintptr_t)(shared.bases + RING_LIVES)) return BASES + (int)((at - (uintptr_t)shared.bases) / 8);
    if (at >= (uintptr_t)&shared.head && at <= (uintptr_t)&shared.pid) return HEAD + (int)((at - (uintptr_t)&shared.head) / 8);
    fail("outside the ring", at, page);
    return 0;
}

static uint64_t hook_load(const void *p, int order) {
    const int l = location(p);
    if (writing) return memory[l][count[l] - 1].value; /* its own, or one that the lock put before it */
    loads++;
    loaded = l;
    if (now.mutant == HEAD_NOT_ACQUIRED && l == HEAD) order = memory_order_relaxed;
    if (now.mutant == LIFE_NOT_ACQUIRED && l == LIFE) order = memory_order_relaxed;
    int last = count[l] - 1, k;
    if (now.mode != RC11 && !newest) {
        at_time += choose(stores - at_time + 1);
        while (memory[l][last].time > at_time) last--;
    }
    if (last < cur.at[l]) last = cur.at[l]; /* seen already: it cannot be unmade */
    if (newest || now.mode == TSO) k = last;
    else k = cur.at[l] + choose(last - cur.at[l] + 1);
    if (now.mutant == OLD_HEAD && l == HEAD && first_head >= 0 && !newest) k = first_head;
    if (l == HEAD) first_head = first_head < 0 ? k : -1;
    cur.at[l] = (uint8_t)k;
    if (order == memory_order_acquire) join(&cur, &memory[l][k].view);
    join(&acq, &memory[l][k].view);
    return memory[l][k].value;
}

static void hook_store(void *p, uint64_t v, int order) {
    const int l = location(p);
    if (!writing) fail("a reader stores", (uint64_t)l, 0);
    if (life_stores == die_at) longjmp(death, 1);
    life_stores++;
    if (count[l] == MOST || stores == 255) exit(3);
    if (now.mutant == HEAD_NOT_RELEASED && l == HEAD) order = memory_order_relaxed;
    if (now.mutant == LIFE_NOT_RELEASED && l == LIFE) order = memory_order_relaxed;
    store_t *s = &memory[l][count[l]];
    cur.at[l] = (uint8_t)count[l]++;
    *s = (store_t){v, ++stores, order == memory_order_release ? cur : rel};
    s->view.at[l] = cur.at[l];
    if (l == LIFE) life = v;
    if (l == HEAD) {
        for (; published < v; published++) life_of[published] = life;
        if (v != published) fail("the head", v, published);
    }
}

static void hook_fence(int order) {
    const int base = writing ? life_stores == 0 : loaded >= BASES && loaded < BASES + RING_LIVES;
    const int mutant = writing ? (base ? BASE_NOT_FENCED : NO_WRITER_FENCE) : (base ? LIFE_NOT_LOOKED_AT : NO_READER_FENCE);
    if (now.mutant == mutant) return;
    if (order == memory_order_release) rel = cur;
    if (order == memory_order_acquire) join(&cur, &acq);
}

static uint64_t content(uint64_t number, uint64_t of, uint64_t word) { return (number + 1) << 16 | of << 8 | (word + 1); }

/* A life: it begins, publishes, and ends by itself or by death. */
static void write_all(const ring_geometry_t *g) {
    ring_writer_t w;
    unsigned char records[MAX_CAPACITY * MAX_WORDS * 8];
    life_stores = 0;
    memset(&rel, 0, sizeof rel); /* another process: it knows all that was stored, and has released nothing yet */
    if (setjmp(death)) {
        deaths++;
        return;
    }
    ring_begin(&w, &shared, slots, g, 1);
    for (int k = 0; k < now.publishes; k++) {
        for (int i = 0; i < now.size; i++)
            for (uint64_t j = 0; j < now.words; j++) {
                const uint64_t v = content(w.head + (uint64_t)i, life, j);
                memcpy(records + 8 * (now.words * (unsigned)i + j), &v, 8);
            }
        ring_publish(&w, records, (uint64_t)now.size, now.every);
    }
}

static void check(const ring_reader_t *was, const ring_reader_t *r, const unsigned char *out, uint64_t n) {
    if (n == RING_DAMAGED) fail("damage", n, 0);
    if (r->cursor - was->cursor != n + (r->lost - was->lost)) fail("records read and lost are not those passed", n, r->cursor - was->cursor);
    if (r->cursor > published) fail("beyond the head", r->cursor, published);
    if (r->lost != was->lost && r->gaps == was->gaps) fail("lost without a gap", r->lost, was->lost);
    for (uint64_t i = 0; i < n; i++)
        for (uint64_t j = 0; j < now.words; j++) {
            const uint64_t p = r->cursor - n + i;
            uint64_t v;
            memcpy(&v, out + 8 * (now.words * i + j), 8);
            if (v != content(p, life_of[p], j)) fail("torn", v, content(p, life_of[p], j));
            if (life_of[p] > r->life || (RING_LIVES >= LIVES && life_of[p] < r->life)) fail("a record of another life", life_of[p], r->life);
        }
    if (r->restarts != r->life - was->life + was->restarts) fail("restarts", r->restarts, r->life);
}

static uint64_t outcomes, outcome_count;
static uint64_t *seen;
enum { SEEN = 1 << 20 };

static uint64_t mix(uint64_t h, uint64_t v) {
    h = (h ^ v) * 0x9e3779b97f4a7c15ull;
    return h ^ h >> 29;
}

static void note(uint64_t h) { /* the set of outcomes, as the sum of the hashes of its members */
    h |= h == 0;
    for (uint64_t i = h % SEEN; seen[i] != h; i = (i + 1) % SEEN)
        if (seen[i] == 0) {
            if (++outcome_count > SEEN / 2) exit(3);
            seen[i] = h;
            outcomes += mix(h, 7);
            return;
        }
}

static uint64_t read_some(const ring_geometry_t *g, uint64_t h) {
    unsigned char out[MAX_CAPACITY * MAX_WORDS * 8];
    ring_reader_t r, was;
    memset(&cur, 0, sizeof cur), memset(&acq, 0, sizeof acq);
    at_time = 0, newest = 0, first_head = -1;
    const uint64_t head = hook_load(&shared.head, memory_order_acquire), window = now.capacity - now.batch;
    ring_join(&r, &shared, slots, g, now.oldest ? head - (head < window ? head : window) : head);
    if (now.mutant == NO_MARGIN) r.window = now.capacity;
    for (int k = 0; k < now.reads; k++) {
        was = r, first_head = -1;
        const uint64_t n = ring_read(&r, out, now.room);
        check(&was, &r, out, n);
        h = mix(mix(mix(h, n), r.lost), r.cursor * 16 + r.life);
    }
    newest = 1; /* when all is over it comes to the end, and loses nothing that is still there */
    for (int k = 0; r.cursor != published; k++) {
        was = r;
        const uint64_t n = ring_read(&r, out, now.capacity);
        check(&was, &r, out, n);
        if (k == 2 * RING_LIVES + 2) fail("does not come to the end", r.cursor, published);
        if (r.lost != was.lost && published - was.cursor <= window) fail("lost what is there", was.cursor, published);
    }
    return h;
}

static void explore(const int die[LIVES]) {
    const ring_geometry_t g = {RING_VERSION, 8 * now.words, now.capacity, now.batch, 0, 0, {0}};
    memset(memory, 0, sizeof memory);
    for (int l = 0; l < LOCATIONS; l++) count[l] = 1;
    memset(&cur, 0, sizeof cur), memset(&rel, 0, sizeof rel);
    stores = 0, published = 0, life = 0, writing = 1;
    for (int k = 0; k < LIVES && (k == 0 || die[k - 1] >= 0); k++) {
        die_at = die[k];
        write_all(&g);
    }
    writing = 0, known = 0, depth = 0;
    do {
        uint64_t h = mix(mix(5, (uint64_t)die[0]), (uint64_t)die[1]);
        for (int k = 0; k < now.readers; k++) h = read_some(&g, h);
        note(h);
        runs++;
    } while (next_path());
}

/* How many stores a life makes. */
static int length(void) {
    const int never[LIVES] = {-1, -1, -1, -1};
    const int readers = now.readers, reads = now.reads, mutant = now.mutant;
    now.readers = 0, now.mutant = 0;
    explore(never);
    now.readers = readers, now.reads = reads, now.mutant = mutant;
    return stores;
}

static int parse(const char *text) {
    static const struct { const char *name; int *to; } ints[] = {
        {"publishes", &now.publishes}, {"size", &now.size}, {"reads", &now.reads}, {"readers", &now.readers}, {"mutant", &now.mutant}, {"oldest", &now.oldest}};
    unsigned long long v;
    if (sscanf(text, "capacity=%llu", &v) == 1) return now.capacity = v, v <= MAX_CAPACITY;
    if (sscanf(text, "room=%llu", &v) == 1) return now.room = v, 1;
    if (sscanf(text, "every=%llu", &v) == 1) return now.every = v, 1;
    if (sscanf(text, "batch=%llu", &v) == 1) return now.batch = (uint32_t)v, 1;
    if (sscanf(text, "words=%llu", &v) == 1) return now.words = (uint32_t)v, v <= MAX_WORDS;
    if (strcmp(text, "die=all") == 0) return now.all = 1;
    if (strncmp(text, "die=", 4) == 0) return sscanf(text, "die=%d,%d,%d", &now.die[0], &now.die[1], &now.die[2]) >= 1;
    if (strcmp(text, "mode=rc11") == 0) return now.mode = RC11, 1;
    if (strcmp(text, "mode=interleaved") == 0) return now.mode = INTERLEAVED, 1;
    if (strcmp(text, "mode=tso") == 0) return now.mode = TSO, 1;
    for (size_t i = 0; i < sizeof ints / sizeof *ints; i++) {
        const size_t n = strlen(ints[i].name);
        if (strncmp(text, ints[i].name, n) == 0 && text[n] == '=') return *ints[i].to = atoi(text + n + 1), 1;
    }
    return 0;
}

int main(int argc, char **argv) {
    seen = calloc(SEEN, sizeof *seen);
    for (int i = 1; i < argc; i++)
        if (!parse(argv[i])) return fprintf(stderr, "what is %s?\n", argv[i]), 2;
    if (seen == NULL || now.size > MAX_CAPACITY || now.mutant >= MUTANTS) return 2;
    if (now.all) {
        const int most = length();
        runs = 0, outcomes = 0, outcome_count = 0, deaths = 0;
        memset(seen, 0, SEEN * sizeof *seen);
        for (int a = 0; a < most; a++) {
            const int once[LIVES] = {a, -1, -1, -1};
            explore(once);
            for (int b = 0; b < most; b++) {
                const int twice[LIVES] = {a, b, -1, -1};
                explore(twice);
            }
        }
    } else {
        explore(now.die);
    }
    printf("{\"runs\": %llu, \"loads\": %llu, \"deaths\": %llu, \"outcomes\": %llu, \"set\": \"%016llx\"}\n", (unsigned long long)runs,
           (unsigned long long)loads, (unsigned long long)deaths, (unsigned long long)outcome_count, (unsigned long long)outcomes);
    return 0;
}
