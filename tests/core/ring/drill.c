/* The ring between real processes and threads. Every record says in each of its words which record of which life it is.
 *   drill write PATH STORE      open the ring at PATH, begin a life, publish; SIGKILL before the STORE-th store (0: 100,000 records, then end)
 *   drill kill N SEED           N writers in turn, each killed at a random store, over one ring with two readers
 *   drill deaths N SEED         the same in one process, a jump instead of SIGKILL: a million in seconds
 *   drill pair N EVERY          N records to another process, read in batches, none lost: ns a record
 *   drill latency N             N times to another process and back: ns one way
 *   drill threads SECONDS       one writer, two readers that are overrun, as threads: for the thread sanitizer
 * Deaths need -DDYING=1: the hook costs. Prints one JSON line; ends with 1 where a record was torn, lost or not counted. */
#define _GNU_SOURCE
#include <inttypes.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>

#ifndef DYING
#define DYING 0
#endif
static _Thread_local uint64_t stores_left; /* 0: for ever */
static jmp_buf *jump;
#if DYING /* else the accesses are the ring's own, as the wheel has them */
static void die(void) {
    if (jump) longjmp(*jump, 1);
    kill(getpid(), SIGKILL);
}
#define RING_HOOKS
#define RING_LOAD(p, order) atomic_load_explicit(p, order)
#define RING_FENCE(order) atomic_thread_fence(order)
#define RING_STORE(p, v, order) do { if (stores_left && --stores_left == 0) die(); atomic_store_explicit(p, v, order); } while (0)
#endif
#include "ring_os.h"

enum { RECORD = 64, WORDS = 8, MOST = 4096 };
typedef struct { uint64_t word[WORDS]; } record_t;

static void fail(const char *why, uint64_t a, uint64_t b) {
    printf("{\"wrong\": \"%s\", \"a\": %" PRIu64 ", \"b\": %" PRIu64 "}\n", why, a, b);
    fflush(stdout);
    exit(1);
}

static void fill(record_t *r, uint64_t number, uint64_t life) {
    for (uint64_t j = 0; j < WORDS; j++) r->word[j] = number << 16 | (life & 0xfff) << 4 | j;
}

static void check(const record_t *r, uint64_t number, uint64_t life) {
    record_t want;
    fill(&want, number, life);
    if (memcmp(r, &want, sizeof want)) fail("torn", r->word[0], want.word[0]);
}

static void *file(const char *path, uint64_t *size, int *fd) {
    struct stat st;
    *fd = open(path, O_RDWR | O_NOFOLLOW | O_CLOEXEC);
    if (*fd < 0 || fstat(*fd, &st) || ring_lock(*fd)) exit(2);
    *size = (uint64_t)st.st_size;
    void *at = mmap(NULL, *size, PROT_READ | PROT_WRITE, MAP_SHARED, *fd, 0);
    if (at == MAP_FAILED) exit(2);
    return at;
}

static ring_geometry_t shape(uint64_t capacity) { return (ring_geometry_t){RING_VERSION, RECORD, capacity, ring_batch(capacity), 0, 0, {0}}; }

static void *anonymous(uint64_t capacity) {
    void *at = mmap(NULL, ring_size(capacity, RECORD), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
    if (at == MAP_FAILED) exit(2);
    return at;
}

static ring_word_t *slots(void *at) { return (ring_word_t *)((char *)at + RING_PAGE); }

static uint64_t publish(ring_writer_t *w, uint64_t life, uint64_t n, uint64_t every) {
    static _Thread_local record_t records[MOST];
    for (uint64_t i = 0; i < n; i++) fill(&records[i], w->head + i, life);
    ring_publish(w, (const unsigned char *)records, n, every);
    return n;
}

static int write_file(const char *path, uint64_t store) {
    uint64_t size;
    int fd;
    ring_shared_t *s = file(path, &size, &fd);
    ring_geometry_t g, is;
    memcpy(&is, (const void *)s->geometry, sizeof is);
    if (ring_check(s, size, is.record, is.layout, is.boot, &g) != RING_FINE || g.record != RECORD) return 2;
    ring_writer_t w;
    stores_left = store;
    ring_begin(&w, s, slots(s), &g, (uint64_t)getpid());
    const uint64_t life = atomic_load(&s->life);
    for (uint64_t k = 0; store || k < 100000;) k += publish(&w, life, 1 + k % 7, 1 + k % 3);
    return 0;
}


static uint64_t look(ring_reader_t *r, record_t *out, uint64_t room) {
    const ring_reader_t was = *r;
    const uint64_t n = ring_read(r, (unsigned char *)out, room);
    if (n == RING_DAMAGED) fail("damaged", r->cursor, 0);
    if (r->cursor - was.cursor != n + r->lost - was.lost) fail("count", r->cursor - was.cursor, n);
    for (uint64_t i = 0; i < n; i++) check(&out[i], r->cursor - n + i, r->life);
    return n;
}

/* A writer's life, until its store number `at`. */
static void live(ring_shared_t *s, const ring_geometry_t *g, uint64_t at) {
    ring_writer_t w;
    stores_left = at;
    ring_begin(&w, s, slots(s), g, 1);
    const uint64_t life = atomic_load(&s->life);
    for (uint64_t i = 0;; i++) publish(&w, life, 1 + i % 5, 1 + i % 4);
}

static void pretend(ring_shared_t *s, const ring_geometry_t *g, uint64_t at) {
    jmp_buf here;
    jump = &here;
    if (!setjmp(here)) live(s, g, at);
    stores_left = 0;
}

static int deaths(uint64_t n, unsigned seed, int real) {
    static record_t out[MOST];
    const ring_geometry_t g = shape(16);
    ring_shared_t *s = anonymous(g.capacity);
    ring_format(s, &g);
    ring_reader_t r[2];
    ring_join(&r[0], s, slots(s), &g, 0);
    ring_join(&r[1], s, slots(s), &g, 0);
    uint64_t read = 0;
    srandom(seed);
    for (uint64_t k = 0; k < n; k++) {
        const uint64_t at = 1 + (uint64_t)random() % 300, room = 1 + (uint64_t)random() % 20;
        if (real) {
            const pid_t pid = fork();
            if (pid < 0) return 2;
            if (pid == 0) live(s, &g, at);
            while (waitpid(pid, NULL, WNOHANG) == 0) read += look(&r[k % 2], out, room);
        } else {
            pretend(s, &g, at);
        }
        read += look(&r[0], out, room);
        for (int i = 0; i < 64 && r[1].cursor != atomic_load(&s->head); i++) read += look(&r[1], out, MOST);
        if (r[1].cursor != atomic_load(&s->head)) fail("a dead writer keeps a reader", r[1].cursor, k);
    }
    printf("{\"deaths\": %" PRIu64 ", \"published\": %" PRIu64 ", \"read\": %" PRIu64 ", \"lost\": %" PRIu64 ", \"torn\": 0}\n", n,
           (uint64_t)atomic_load(&s->head), read, r[0].lost + r[1].lost);
    return 0;
}

static void pin(int cpu) {
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET(cpu % (int)sysconf(_SC_NPROCESSORS_ONLN), &set);
    sched_setaffinity(0, sizeof set, &set);
}

static void until(const ring_reader_t *r) {
    for (unsigned k = 1; !ring_waiting(r); k++) {
        ring_pause();
        if (k % 4096 == 0) sched_yield(); /* a shared machine: the other may have no processor */
    }
}

/* The writer goes ahead of the reader by at most half a ring: the reader says in a ring of its own where it is. */
static int pair(uint64_t n, uint64_t every) {
    const uint64_t capacity = 8192;
    const ring_geometry_t g = shape(capacity), small = shape(64);
    ring_shared_t *s = anonymous(capacity), *back = anonymous(64);
    ring_format(s, &g), ring_format(back, &small);
    ring_writer_t w;
    ring_reader_t r;
    static record_t out[1024];
    const pid_t pid = fork();
    if (pid == 0) {
        static record_t chunk[1024];
        pin(0);
        ring_begin(&w, s, slots(s), &g, 1);
        ring_join(&r, back, slots(back), &small, 0);
        for (uint64_t done = 0; done < n;) {
            const uint64_t k = n - done < 1024 ? n - done : 1024;
            for (uint64_t i = 0; i < k; i++) fill(&chunk[i], done + i, 1);
            while (done + k > r.cursor * 1024 + capacity / 2) {
                until(&r);
                ring_read(&r, (unsigned char *)out, 64);
            }
            ring_publish(&w, (const unsigned char *)chunk, k, every);
            done += k;
        }
        _exit(0);
    }
    pin(1);
    ring_begin(&w, back, slots(back), &small, 2);
    ring_join(&r, s, slots(s), &g, 0);
    record_t ack = {{0}};
    int64_t begun = 0;
    for (uint64_t done = 0, told = 0; done < n;) {
        until(&r);
        if (!begun) begun = ring_now();
        done += look(&r, out, 256);
        for (; told < done / 1024; told++) ring_publish(&w, (const unsigned char *)&ack, 1, 1);
    }
    const int64_t took = ring_now() - begun;
    waitpid(pid, NULL, 0);
    if (r.lost || r.cursor != n) fail("lost", r.lost, r.cursor);
    printf("{\"records\": %" PRIu64 ", \"every\": %" PRIu64 ", \"lost\": 0, \"torn\": 0, \"ns\": %.2f}\n", n, every, (double)took / (double)n);
    return 0;
}

static int later(const void *a, const void *b) { return *(const int64_t *)a < *(const int64_t *)b ? -1 : *(const int64_t *)a > *(const int64_t *)b; }

static int latency(uint64_t n) {
    const ring_geometry_t g = shape(64);
    ring_shared_t *there = anonymous(64), *back = anonymous(64);
    ring_format(there, &g), ring_format(back, &g);
    const pid_t pid = fork();
    ring_shared_t *from = pid ? back : there, *to = pid ? there : back;
    ring_writer_t w;
    ring_reader_t r;
    record_t record;
    int64_t *took = malloc(n * sizeof *took);
    if (took == NULL) return 2;
    pin(pid ? 1 : 0);
    ring_begin(&w, to, slots(to), &g, 1);
    ring_join(&r, from, slots(from), &g, 0);
    for (uint64_t i = 0; i < n; i++) {
        if (pid == 0) {
            until(&r);
            look(&r, &record, 1);
            publish(&w, 1, 1, 1);
            continue;
        }
        const int64_t begun = ring_now();
        publish(&w, 1, 1, 1);
        until(&r);
        look(&r, &record, 1);
        took[i] = ring_now() - begun;
    }
    if (pid == 0) _exit(0);
    waitpid(pid, NULL, 0);
    qsort(took, n, sizeof *took, later);
    printf("{\"round trips\": %" PRIu64 ", \"one way ns p50\": %.0f, \"p99\": %.0f, \"p99.9\": %.0f, \"max\": %.0f}\n", n, (double)took[n / 2] / 2,
           (double)took[n * 99 / 100] / 2, (double)took[n * 999 / 1000] / 2, (double)took[n - 1] / 2);
    return 0;
}

static ring_shared_t *common;
static ring_geometry_t common_shape;
static atomic_int stop;
static _Atomic uint64_t all_read, all_lost;

static void *reading(void *started) {
    ring_reader_t r;
    record_t *out = malloc(256 * sizeof *out);
    ring_join(&r, common, slots(common), &common_shape, atomic_load(&common->head));
    *(atomic_int *)started = 1;
    uint64_t n = 0;
    for (unsigned k = 0; !atomic_load(&stop); k++) n += look(&r, out, 1 + k % 256);
    all_read += n;
    all_lost += r.lost;
    free(out);
    return NULL;
}

static int threads(double seconds) {
    const uint64_t capacity = 256;
    common = anonymous(capacity);
    common_shape = shape(capacity);
    ring_format(common, &common_shape);
    ring_writer_t w;
    ring_begin(&w, common, slots(common), &common_shape, 1);
    pthread_t reader[2];
    atomic_int started[2] = {0, 0};
    for (int i = 0; i < 2; i++)
        if (pthread_create(&reader[i], NULL, reading, (void *)&started[i])) return 2;
    while (!atomic_load(&started[0]) || !atomic_load(&started[1])) sched_yield();
    const int64_t end = ring_now() + (int64_t)(seconds * 1e9);
    for (unsigned k = 0; ring_now() < end; k++) {
        publish(&w, 1, 1 + k % 100, 1 + k % 30);
        if (k % 64 == 0) sched_yield();
    }
    atomic_store(&stop, 1);
    for (int i = 0; i < 2; i++) pthread_join(reader[i], NULL);
    printf("{\"published\": %" PRIu64 ", \"read\": %" PRIu64 ", \"lost\": %" PRIu64 ", \"torn\": 0}\n", w.head, all_read, all_lost);
    return 0;
}

int main(int argc, char **argv) {
    const char *what = argc > 1 ? argv[1] : "";
    const uint64_t a = argc > 2 ? strtoull(argv[2], NULL, 10) : 0, b = argc > 3 ? strtoull(argv[3], NULL, 10) : 0;
    if (strcmp(what, "write") == 0 && argc == 4) return write_file(argv[2], b);
    if (strcmp(what, "kill") == 0) return deaths(a, (unsigned)b, 1);
    if (strcmp(what, "deaths") == 0) return deaths(a, (unsigned)b, 0);
    if (strcmp(what, "pair") == 0 && a) return pair(a, b);
    if (strcmp(what, "latency") == 0 && a) return latency(a);
    if (strcmp(what, "threads") == 0) return threads(argc > 2 ? atof(argv[2]) : 1);
    return fprintf(stderr, "see the comment at the top of drill.c\n"), 2;
}
