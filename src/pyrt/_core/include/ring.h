/* A broadcast ring of records in shared memory: one writer that never waits, any number of readers that never write.
 *
 * The file: one page (ring_shared_t), then `capacity` records of 64 or 128 bytes; record number p is at p & (capacity - 1).
 * `head` is the number of records published, so the next record's number; it never falls.
 *
 * What keeps a record whole. A record has no room for a number of its own, so the head guards all of them: the writer changes
 * only the records [head, head + batch) and then moves the head. Of capacity records the newest capacity - batch, the window, are
 * therefore never touched. A reader copies, then looks at the head again: what is still within the window was not touched while
 * it was copied. What is not is thrown away and counted. So a writer that dies anywhere leaves nothing that a reader can see: its
 * unfinished records are outside the window, and the next writer begins with them.
 *
 * Memory order (C11; every access to shared memory is atomic, or a pair, see below):
 *   writer   fence(release); words of the records: relaxed; head: release
 *   reader   head: acquire; words: relaxed; fence(acquire); head: relaxed
 *   1. The head's release and acquire: who sees head > p sees the words of record p, or later ones of the same place.
 *   2. The two fences: who sees a word of record q sees, after its fence, a head >= the head below which q was written, which is
 *      > q - batch. So a copy of p that holds a word of q = p + k * capacity finds p < head - window, and is thrown away.
 * The writer's loads are of its own words, or of those of a writer before it, which the lock on the file put before it. On x86-64
 * all of this is plain moves; on aarch64 ldar, stlr and two dmb. tests/core/ring/model.c compiles this very file over a memory
 * that shows everything these orders allow, and goes through all of it.
 *
 * Pairs. On x86-64 the words of a record go two by two, with one aligned move of 16 bytes. That processor keeps the order of loads
 * among each other, and of stores, whatever their width, so 1. and 2. hold for the halves of a pair as for two words; that a pair
 * is one move is relied upon by nobody. It is volatile, and the fences are the compiler's too: none is moved across one, made twice
 * or left out. Under the thread sanitizer, which knows atomics only, and over a test's memory all words are single.
 *
 * A writer's life. Each writer of a file counts `life` up and notes in `bases` the record it began with; a reader never reads
 * across the beginning of a life in one call, so that it knows where the writer was another. The last RING_LIVES - 1 are known.
 * Death is seen by the lock (OFD) that the kernel takes away from a writer that is no more.
 *
 * A reader trusts nothing in the file: it keeps its own copy of the geometry, checked against the file's size, and masks each
 * index; whatever the words say, it stays within the file and the caller's array. */
#ifndef PYRT_RING_H
#define PYRT_RING_H
#include <assert.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

typedef _Atomic uint64_t ring_word_t;

/* A test puts its own memory here, or counts the stores. */
#ifndef RING_HOOKS
#define RING_LOAD(p, order) atomic_load_explicit(p, order)
#define RING_STORE(p, v, order) atomic_store_explicit(p, v, order)
#define RING_FENCE(order) atomic_thread_fence(order)
#if defined(__x86_64__) && defined(__GNUC__) && !defined(__SANITIZE_THREAD__)
#define RING_PAIRS
#endif
#endif

#ifndef RING_LIVES
#define RING_LIVES 8
#endif
#define RING_MAGIC 0x474e495254525950ull /* "PYRTRING" */
#define RING_VERSION 1
#define RING_PAGE 4096
#ifndef RING_BATCH
#define RING_BATCH 256                   /* at most: longer batches are published, and read, in pieces */
#endif
#define RING_MOST ((uint64_t)1 << 32)    /* records */

enum { RING_OPEN = 1, RING_CLOSED = 2 };
enum { RING_FINE = 0, RING_UNFINISHED, RING_FOREIGN, RING_OTHER_VERSION, RING_OTHER_BOOT, RING_OTHER_RECORD, RING_OTHER_LAYOUT, RING_SHAPE };

typedef struct {             /* written once, before the magic */
    uint32_t version, record; /* bytes of a record */
    uint64_t capacity;        /* records, a power of two */
    uint32_t batch;           /* records that are out of the window */
    uint32_t wakes;           /* the writer wakes readers that sleep on the head */
    uint64_t layout;          /* hash of what a record holds */
    uint8_t boot[16];         /* of the machine: a file of another boot is nobody's */
} ring_geometry_t;

#define RING_GEOMETRY (sizeof(ring_geometry_t) / 8)

typedef struct {
    ring_word_t magic;
    ring_word_t geometry[RING_GEOMETRY];
    _Alignas(128) ring_word_t head; /* records published; the low half is what readers sleep on */
    ring_word_t life;               /* writers so far */
    ring_word_t state;              /* RING_OPEN, RING_CLOSED */
    ring_word_t pid;                /* of the last writer, for people */
    _Alignas(64) ring_word_t bases[RING_LIVES]; /* the head at which life n began, at n % RING_LIVES */
} ring_shared_t;

static_assert(sizeof(ring_geometry_t) == 48 && offsetof(ring_shared_t, head) == 128, "ring format");
static_assert(sizeof(ring_shared_t) <= RING_PAGE && sizeof(ring_word_t) == 8, "ring format");

typedef struct {
    ring_shared_t *shared;
    ring_word_t *slots;
    uint64_t mask, batch, words;    /* records, records, words of a record */
    uint64_t head;
} ring_writer_t;

typedef struct {
    const ring_shared_t *shared;
    const ring_word_t *slots;
    uint64_t mask, window, words;
    uint64_t cursor;                /* number of the next record to read */
    uint64_t life;                  /* the writer of the records it reads */
    uint64_t lost, gaps, restarts;  /* records overwritten before they were read; how often; lives that began */
} ring_reader_t;

#define RING_DAMAGED UINT64_MAX           /* the head fell, or came from nowhere */
#define RING_FAR ((uint64_t)1 << 63)

static inline uint64_t ring_size(uint64_t capacity, uint64_t record) { return RING_PAGE + capacity * record; }

static inline uint32_t ring_batch(uint64_t capacity) {
    return capacity / 4 >= RING_BATCH ? RING_BATCH : capacity >= 4 ? (uint32_t)(capacity / 4) : 1;
}

/* What a file's first page says, against what is wanted: RING_FINE, with the geometry in *g, or why not. size: the file's. */
static inline int ring_check(const ring_shared_t *s, uint64_t size, uint32_t record, uint64_t layout, const uint8_t *boot, ring_geometry_t *g) {
    if (size < RING_PAGE) return RING_UNFINISHED;
    uint64_t magic = RING_LOAD(&s->magic, memory_order_acquire);
    if (magic == 0) return RING_UNFINISHED;
    if (magic != RING_MAGIC) return RING_FOREIGN;
    uint64_t copy[RING_GEOMETRY];        /* one look at each word: what is checked is what is used */
    for (size_t i = 0; i < RING_GEOMETRY; i++) copy[i] = RING_LOAD(&s->geometry[i], memory_order_relaxed);
    memcpy(g, copy, sizeof *g);
    if (g->version != RING_VERSION) return RING_OTHER_VERSION;
    if (memcmp(g->boot, boot, sizeof g->boot)) return RING_OTHER_BOOT;
    if (g->record != 64 && g->record != 128) return RING_SHAPE;
    if (g->capacity < 2 || g->capacity > RING_MOST || (g->capacity & (g->capacity - 1))) return RING_SHAPE;
    if (g->batch < 1 || g->batch > g->capacity / 2 || size != ring_size(g->capacity, g->record)) return RING_SHAPE;
    if (g->record != record) return RING_OTHER_RECORD;
    return g->layout == layout ? RING_FINE : RING_OTHER_LAYOUT;
}

/* The first page of a new file, whose bytes are zero. */
static inline void ring_format(ring_shared_t *s, const ring_geometry_t *g) {
    uint64_t copy[RING_GEOMETRY];
    memcpy(copy, g, sizeof *g);
    for (size_t i = 0; i < RING_GEOMETRY; i++) RING_STORE(&s->geometry[i], copy[i], memory_order_relaxed);
    RING_STORE(&s->magic, RING_MAGIC, memory_order_release);
}

/* ---- a record's words ---- */

#ifdef RING_PAIRS
typedef uint64_t ring_pair_t __attribute__((vector_size(16), may_alias));

static inline void ring_put_words(ring_word_t *slot, const unsigned char *record, int words) {
#pragma GCC unroll 4
    for (int i = 0; i < words; i += 2) {
        ring_pair_t pair;
        memcpy(&pair, record + 8 * i, sizeof pair);
        *(volatile ring_pair_t *)&slot[i] = pair;
    }
}

static inline void ring_get_words(unsigned char *out, const ring_word_t *slot, int words) {
#pragma GCC unroll 4
    for (int i = 0; i < words; i += 2) {
        const ring_pair_t pair = *(const volatile ring_pair_t *)&slot[i];
        memcpy(out + 8 * i, &pair, sizeof pair);
    }
}
#else
static inline void ring_put_words(ring_word_t *slot, const unsigned char *record, int words) {
#pragma GCC unroll 8
    for (int i = 0; i < words; i++) {
        uint64_t word;
        memcpy(&word, record + 8 * i, 8);
        RING_STORE(&slot[i], word, memory_order_relaxed);
    }
}

static inline void ring_get_words(unsigned char *out, const ring_word_t *slot, int words) {
#pragma GCC unroll 8
    for (int i = 0; i < words; i++) {
        const uint64_t word = RING_LOAD(&slot[i], memory_order_relaxed);
        memcpy(out + 8 * i, &word, 8);
    }
}
#endif

static inline void ring_put(ring_word_t *slot, const unsigned char *record, uint64_t words) {
    if (words == 8) /* known to the compiler, so that it unrolls */
        ring_put_words(slot, record, 8);
    else
        ring_put_words(slot, record, (int)words);
}

static inline void ring_get(unsigned char *out, const ring_word_t *slot, uint64_t words) {
    if (words == 8)
        ring_get_words(out, slot, 8);
    else
        ring_get_words(out, slot, (int)words);
}

/* ---- the writer ---- */

/* Begin a life where the one before it ended; the caller holds the file's lock. */
static inline void ring_begin(ring_writer_t *w, ring_shared_t *s, ring_word_t *slots, const ring_geometry_t *g, uint64_t pid) {
    uint64_t life = RING_LOAD(&s->life, memory_order_acquire) + 1;
    *w = (ring_writer_t){s, slots, g->capacity - 1, g->batch, g->record / 8, RING_LOAD(&s->head, memory_order_acquire)};
    RING_FENCE(memory_order_release);    /* the life before is seen before the base that replaces an older one */
    RING_STORE(&s->bases[life % RING_LIVES], w->head, memory_order_relaxed);
    RING_STORE(&s->life, life, memory_order_release);
    RING_STORE(&s->pid, pid, memory_order_relaxed);
    RING_STORE(&s->state, RING_OPEN, memory_order_release);
}

/* Publish n records, readers seeing them in steps of `every` (at most the ring's batch). */
static inline void ring_publish(ring_writer_t *w, const unsigned char *records, uint64_t n, uint64_t every) {
    const uint64_t words = w->words;
    if (every == 0 || every > w->batch) every = w->batch;
    while (n) {
        const uint64_t k = n < every ? n : every;
        RING_FENCE(memory_order_release); /* the head so far is seen before any of these words */
        for (uint64_t i = 0; i < k; i++, records += 8 * words)
            ring_put(w->slots + ((w->head + i) & w->mask) * words, records, words);
        w->head += k;
        RING_STORE(&w->shared->head, w->head, memory_order_release);
        n -= k;
    }
}

/* ---- the reader ---- */

/* Go on behind what the writer may have overwritten: in the middle of the window, so that it is not overrun again at once. */
static inline void ring_skip(ring_reader_t *r, uint64_t head) {
    const uint64_t to = head - (r->window + 1) / 2;
    r->lost += to - r->cursor;
    r->gaps++;
    r->cursor = to;
}

/* How many of n records at the cursor come before the beginning of another life. */
static inline uint64_t ring_until(ring_reader_t *r, uint64_t n) {
    uint64_t life = RING_LOAD(&r->shared->life, memory_order_acquire);
    for (int tries = 0; life != r->life && tries < 2 * RING_LIVES; tries++) {
        if (life - r->life >= RING_LIVES) { /* so long ago that where it began is forgotten */
            r->restarts += life - (RING_LIVES - 1) - r->life;
            r->life = life - (RING_LIVES - 1);
            continue;
        }
        const uint64_t base = RING_LOAD(&r->shared->bases[(r->life + 1) % RING_LIVES], memory_order_relaxed);
        RING_FENCE(memory_order_acquire);
        const uint64_t again = RING_LOAD(&r->shared->life, memory_order_relaxed);
        if (again != life) { /* the base may be that of a later life */
            life = again;
            continue;
        }
        const uint64_t ahead = base - r->cursor;
        if (ahead && ahead < RING_FAR) return ahead < n ? ahead : n;
        r->life++;
        r->restarts++;
    }
    return n;
}

/* Copy up to n records (n <= window) and keep those that stayed whole: how many, moved to the front of out. */
static inline uint64_t ring_copy(ring_reader_t *r, unsigned char *out, uint64_t n) {
    const uint64_t words = r->words;
    for (uint64_t i = 0; i < n; i++) ring_get(out + 8 * words * i, r->slots + ((r->cursor + i) & r->mask) * words, words);
    RING_FENCE(memory_order_acquire);
    const uint64_t head = RING_LOAD(&r->shared->head, memory_order_relaxed);
    const uint64_t behind = head - r->cursor;
    if (behind >= RING_FAR) return RING_DAMAGED;
    if (behind <= r->window) {
        r->cursor += n;
        return n;
    }
    const uint64_t bad = behind - r->window;
    if (bad >= n) {
        ring_skip(r, head);
        return 0;
    }
    memmove(out, out + 8 * words * bad, 8 * words * (n - bad));
    r->lost += bad;
    r->gaps++;
    r->cursor += n;
    return n - bad;
}

/* Read up to `room` records that follow each other into out: how many, or RING_DAMAGED. What was lost was lost before the first. */
static inline uint64_t ring_read(ring_reader_t *r, unsigned char *out, uint64_t room) {
    uint64_t head = RING_LOAD(&r->shared->head, memory_order_acquire), done = 0;
    uint64_t behind = head - r->cursor;
    if (behind == 0) return 0;
    if (behind >= RING_FAR) return RING_DAMAGED;
    if (behind > r->window) ring_skip(r, head);
    uint64_t n = head - r->cursor;
    n = ring_until(r, n < room ? n : room);
    while (done < n) {
        uint64_t k = n - done < RING_BATCH ? n - done : RING_BATCH;
        const uint64_t gaps = r->gaps, lost = r->lost, cursor = r->cursor;
        k = ring_copy(r, out + 8 * r->words * done, k);
        if (k == RING_DAMAGED) return done ? done : RING_DAMAGED;
        if (done && r->gaps != gaps) { /* the loss comes before the first of the next call */
            r->gaps = gaps, r->lost = lost, r->cursor = cursor;
            return done;
        }
        done += k;
        if (r->gaps != gaps) return done;
    }
    return done;
}

/* Stand at record `start`, which is not ahead of the head. */
static inline void ring_join(ring_reader_t *r, const ring_shared_t *s, const ring_word_t *slots, const ring_geometry_t *g, uint64_t start) {
    const uint64_t life = RING_LOAD(&s->life, memory_order_acquire);
    *r = (ring_reader_t){s, slots, g->capacity - 1, g->capacity - g->batch, g->record / 8, start, life, 0, 0, 0};
    for (int k = 1; k < RING_LIVES - 1 && r->life > 1; k++, r->life--)
        if (RING_LOAD(&s->bases[r->life % RING_LIVES], memory_order_acquire) <= start) break;
}
#endif
