/* What a reader does with a ring that somebody hostile wrote: fuzz ROUNDS SEED [FILE...]. FILEs are first pages to begin from.
 * A page is changed in places, checked, and read where it is accepted; while it is read every word of shared memory may change between
 * two loads. The file's own bytes and the reader's array have exactly their size on the heap, so that the address sanitizer sees a step
 * beyond them. Whatever is read, the counts must agree. Prints one JSON line. */
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static uint64_t seed;
static uint64_t roll(uint64_t below) {
    seed ^= seed << 13, seed ^= seed >> 7, seed ^= seed << 17;
    return seed % below;
}

static unsigned hostility; /* of a hundred loads, how many see something else than was there */
static uint64_t odd(void) {
    static const uint64_t near[] = {0, 1, 2, 63, 64, 65, 127, 128, 4095, 4096, UINT32_MAX, INT64_MAX, (uint64_t)1 << 63, UINT64_MAX};
    return roll(2) ? near[roll(sizeof near / sizeof *near)] - roll(2) : seed >> roll(64);
}
static uint64_t hostile(const _Atomic uint64_t *p) {
    const uint64_t v = atomic_load_explicit(p, memory_order_relaxed);
    return roll(100) >= hostility ? v : roll(3) ? v + odd() : odd();
}
#define RING_HOOKS
#define RING_LOAD(p, order) hostile(p)
#define RING_STORE(p, v, order) atomic_store_explicit(p, v, order)
#define RING_FENCE(order) atomic_thread_fence(order)
#include "ring.h"

enum { PAGES = 8 };
static _Alignas(128) unsigned char page[PAGES][RING_PAGE];
static int pages = 1;
static uint64_t accepted, records, damaged;

static void wrong(const char *why) {
    printf("{\"wrong\": \"%s\"}\n", why);
    exit(1);
}

static void spoil(unsigned char *at) {
    for (uint64_t k = roll(4); k; k--) {
        const uint64_t place = roll(2) ? roll(sizeof(ring_shared_t) / 8) : roll(8), v = odd();
        if (roll(2)) memcpy(at + 8 * place, &v, 8);
        else at[8 * place + roll(8)] ^= (unsigned char)(1u << roll(8));
    }
}

static void use(ring_shared_t *s, const ring_geometry_t *g) {
    const uint64_t room = roll(300);
    unsigned char *out = malloc(room * g->record + !room);
    ring_reader_t r;
    ring_join(&r, s, (ring_word_t *)((char *)s + RING_PAGE), g, roll(4) ? RING_LOAD(&s->head, memory_order_acquire) - roll(80) : odd());
    for (int k = 0; k < 4; k++) {
        const ring_reader_t was = r;
        const uint64_t n = ring_read(&r, out, room);
        if (n == RING_DAMAGED) damaged++;
        else if (n > room || r.cursor - was.cursor != n + r.lost - was.lost) wrong("the counts");
        else records += n;
    }
    free(out);
}

int main(int argc, char **argv) {
    if (argc < 3) return 2;
    const uint64_t rounds = strtoull(argv[1], NULL, 10);
    seed = strtoull(argv[2], NULL, 10) * 2654435761u + 88172645463325252u;
    const ring_geometry_t g = {RING_VERSION, 64, 64, 16, 0, 7, {1, 2, 3}};
    ring_format((ring_shared_t *)page[0], &g);
    for (int i = 3; i < argc && pages < PAGES; i++) {
        FILE *f = fopen(argv[i], "rb");
        if (f == NULL || fread(page[pages++], 1, RING_PAGE, f) == 0) return 2;
        fclose(f);
    }
    for (uint64_t k = 0; k < rounds; k++) {
        ring_geometry_t said, found;
        const int from = (int)roll((uint64_t)pages);
        memcpy(&said, page[from] + 8, sizeof said);
        uint64_t size = roll(8) ? ring_size(said.capacity, said.record) : RING_PAGE + roll(20000);
        if (size > 1 << 20) size = 1 << 20;
        unsigned char *file = aligned_alloc(128, (size + 127) & ~(uint64_t)127);
        memset(file, (int)roll(256), (size + 127) & ~(uint64_t)127);
        memcpy(file, page[from], RING_PAGE);
        spoil(file);
        hostility = roll(3) ? 0 : (unsigned)roll(60);
        const int is = ring_check((ring_shared_t *)file, size, said.record, said.layout, said.boot, &found);
        if (is == RING_FINE) {
            if (ring_size(found.capacity, found.record) != size || found.batch > found.capacity / 2) wrong("accepted");
            accepted++;
            use((ring_shared_t *)file, &found);
        }
        free(file);
    }
    printf("{\"rounds\": %llu, \"accepted\": %llu, \"records\": %llu, \"damaged\": %llu}\n", (unsigned long long)rounds, (unsigned long long)accepted,
           (unsigned long long)records, (unsigned long long)damaged);
    return 0;
}
