/* The least that brings 64-byte records from one process to another: a queue for one reader, whose writer waits for it, so that nothing
 * is ever overwritten and nothing need be looked at twice. Beside it include/ring.h, as a compiled strategy meets it. */
#define _GNU_SOURCE
#include "ring_os.h"
#include <sched.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>

enum { CAPACITY = 8192, RECORD = 64, CHUNK = 1024, ROOM = 256 };
typedef struct { unsigned char bytes[RECORD]; } record_t;
typedef struct {
    _Alignas(128) _Atomic uint64_t head;
    _Alignas(128) _Atomic uint64_t tail;
    _Alignas(128) record_t slots[CAPACITY];
} queue_t;
typedef struct { queue_t *q; uint64_t head, tail; } end_t; /* one side's: its own count, and what it last saw of the other's */

static void *shared(size_t n) {
    void *at = mmap(NULL, n, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
    if (at == MAP_FAILED) abort();
    return at;
}

/* A spin that gives the processor back now and then: on a shared machine the other side may have none. */
static inline void relax(unsigned *k) {
    ring_pause();
    if (++*k % 4096 == 0) sched_yield();
}

static cpu_set_t before;

static void pin(int cpu) {
    cpu_set_t set;
    sched_getaffinity(0, sizeof before, &before);
    CPU_ZERO(&set);
    CPU_SET(cpu % (int)sysconf(_SC_NPROCESSORS_ONLN), &set);
    sched_setaffinity(0, sizeof set, &set);
}

static void unpin(pid_t other) {
    waitpid(other, NULL, 0);
    sched_setaffinity(0, sizeof before, &before);
}

/* The other side begins when this one has its own copy of every page that it will write: fork made them common. */
static _Atomic int *go;

static void ready(record_t *out, uint64_t n) {
    memset(out, 0, n * sizeof *out);
    atomic_store(go, 1);
}

static void start(void) {
    if (go == NULL) go = shared(4096);
    atomic_store(go, 0);
}

static void await(void) {
    unsigned k = 0;
    while (!atomic_load(go)) relax(&k);
}

static inline void copy(record_t *to, const record_t *from, uint64_t at, uint64_t n, int in) { /* to or from the slots, around the end */
    const uint64_t i = at & (CAPACITY - 1), first = n < CAPACITY - i ? n : CAPACITY - i;
    if (in) {
        memcpy(to + i, from, first * RECORD);
        memcpy(to, from + first, (n - first) * RECORD);
    } else {
        memcpy(to, from + i, first * RECORD);
        memcpy(to + first, from, (n - first) * RECORD);
    }
}

static inline void push(end_t *e, const record_t *records, uint64_t n, uint64_t every) {
    unsigned k = 0;
    for (uint64_t m; n; n -= m, records += m) {
        m = n < every ? n : every;
        while (e->head + m - e->tail > CAPACITY) {
            e->tail = atomic_load_explicit(&e->q->tail, memory_order_acquire);
            if (e->head + m - e->tail > CAPACITY) relax(&k);
        }
        copy(e->q->slots, records, e->head, m, 1);
        atomic_store_explicit(&e->q->head, e->head += m, memory_order_release);
    }
}

static inline uint64_t pop(end_t *e, record_t *out, uint64_t room) {
    if (e->head == e->tail) e->head = atomic_load_explicit(&e->q->head, memory_order_acquire);
    const uint64_t n = e->head - e->tail < room ? e->head - e->tail : room;
    if (n == 0) return 0;
    copy(out, e->q->slots, e->tail, n, 0);
    atomic_store_explicit(&e->q->tail, e->tail += n, memory_order_release);
    return n;
}

/* One process: `chunk` records in, in steps of `every`, and out again, n in all. */
void through(const record_t *records, uint64_t n, uint64_t chunk, uint64_t every, record_t *out) {
    static queue_t *q;
    if (q == NULL) q = shared(sizeof *q);
    end_t w = {q, q->head, q->tail}, r = w;
    for (uint64_t i = 0; i < n; i += chunk) {
        push(&w, records + i, chunk, every);
        for (uint64_t got = 0; got < chunk;) got += pop(&r, out + i + got, chunk - got);
    }
}

/* Two processes: CHUNK records again and again, n in all, to the one that calls. The ns between the first and the last. */
int64_t pair(const record_t *records, uint64_t n, uint64_t every, record_t *out) {
    queue_t *q = shared(sizeof *q);
    end_t e = {q, 0, 0};
    start();
    const pid_t pid = fork();
    if (pid == 0) {
        pin(0);
        await();
        for (uint64_t i = 0; i < n; i += CHUNK) push(&e, records, CHUNK, every);
        _exit(0);
    }
    pin(1);
    ready(out, n);
    int64_t begun = 0;
    unsigned k = 0;
    for (uint64_t done = 0, got; done < n; done += got) {
        while ((got = pop(&e, out + done, ROOM)) == 0) relax(&k);
        if (!begun) begun = ring_now();
    }
    const int64_t took = ring_now() - begun;
    unpin(pid);
    munmap(q, sizeof *q);
    return took;
}

/* There and back n times: ns[i], each way counted once. */
void echo(const record_t *record, uint64_t n, double *ns) {
    queue_t *q = shared(2 * sizeof *q);
    end_t there = {q, 0, 0}, back = {q + 1, 0, 0};
    record_t out;
    unsigned k = 0;
    const pid_t pid = fork();
    if (pid == 0) {
        pin(0);
        for (uint64_t i = 0; i < n; i++) {
            while (!pop(&there, &out, 1)) relax(&k);
            push(&back, &out, 1, 1);
        }
        _exit(0);
    }
    pin(1);
    for (uint64_t i = 0; i < n; i++) {
        const int64_t begun = ring_now();
        push(&there, record, 1, 1);
        while (!pop(&back, &out, 1)) relax(&k);
        ns[i] = (double)(ring_now() - begun) / 2;
    }
    unpin(pid);
    munmap(q, 2 * sizeof *q);
}

/* ---- include/ring.h, the same ---- */

typedef struct { ring_shared_t *s; ring_writer_t w; ring_reader_t r; } side_t;

static const ring_geometry_t shape = {RING_VERSION, RECORD, CAPACITY, RING_BATCH, 0, 0, {0}};

static ring_shared_t *fresh(void) {
    ring_shared_t *s = shared(ring_size(CAPACITY, RECORD));
    ring_format(s, &shape);
    return s;
}

static ring_word_t *slots(ring_shared_t *s) { return (ring_word_t *)((char *)s + RING_PAGE); }

static side_t side(ring_shared_t *out, ring_shared_t *in) {
    side_t e = {.s = out};
    ring_begin(&e.w, out, slots(out), &shape, 1);
    ring_join(&e.r, in, slots(in), &shape, 0);
    return e;
}

static void gone(ring_shared_t *s) { munmap(s, ring_size(CAPACITY, RECORD)); }

/* The reader tells in a ring of its own how far it is; the writer keeps within half a ring of it. */
int64_t ring_pair(const record_t *records, uint64_t n, uint64_t every, record_t *out) {
    ring_shared_t *a = fresh(), *b = fresh();
    start();
    const pid_t pid = fork();
    unsigned k = 0;
    if (pid == 0) {
        static record_t told[ROOM];
        pin(0);
        side_t e = side(a, b);
        await();
        for (uint64_t i = 0; i < n; i += CHUNK) {
            while (i + CHUNK > e.r.cursor * CHUNK + CAPACITY / 2) {
                if (!ring_read(&e.r, (unsigned char *)told, ROOM)) relax(&k);
            }
            ring_publish(&e.w, (const unsigned char *)records, CHUNK, every);
        }
        _exit(0);
    }
    pin(1);
    side_t e = side(b, a);
    ready(out, n);
    int64_t begun = 0;
    for (uint64_t done = 0, told = 0, got; done < n; done += got) {
        while ((got = ring_read(&e.r, (unsigned char *)(out + done), ROOM)) == 0) relax(&k);
        if (!begun) begun = ring_now();
        for (; told < (done + got) / CHUNK; told++) ring_publish(&e.w, (const unsigned char *)out, 1, 1);
    }
    const int64_t took = ring_now() - begun;
    unpin(pid);
    const uint64_t lost = e.r.lost;
    gone(a);
    gone(b);
    return lost ? -1 : took;
}

void ring_echo(const record_t *record, uint64_t n, double *ns) {
    ring_shared_t *a = fresh(), *b = fresh();
    record_t out;
    unsigned k = 0;
    const pid_t pid = fork();
    if (pid == 0) {
        pin(0);
        side_t e = side(a, b);
        for (uint64_t i = 0; i < n; i++) {
            while (!ring_read(&e.r, (unsigned char *)&out, 1)) relax(&k);
            ring_publish(&e.w, (const unsigned char *)&out, 1, 1);
        }
        _exit(0);
    }
    pin(1);
    side_t e = side(b, a);
    for (uint64_t i = 0; i < n; i++) {
        const int64_t begun = ring_now();
        ring_publish(&e.w, (const unsigned char *)record, 1, 1);
        while (!ring_read(&e.r, (unsigned char *)&out, 1)) relax(&k);
        ns[i] = (double)(ring_now() - begun) / 2;
    }
    unpin(pid);
    gone(a);
    gone(b);
}

void ring_through(const record_t *records, uint64_t n, uint64_t chunk, uint64_t every, record_t *out) {
    static ring_shared_t *s;
    static side_t e;
    if (s == NULL) {
        s = fresh();
        e = side(s, s);
    }
    for (uint64_t i = 0; i < n; i += chunk) {
        ring_publish(&e.w, (const unsigned char *)(records + i), chunk, every);
        for (uint64_t got = 0; got < chunk;) got += ring_read(&e.r, (unsigned char *)(out + i + got), chunk - got);
    }
}
