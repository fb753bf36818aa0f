/* What the ring needs of Linux: the lock that a dead writer loses, and sleep. */
#ifndef PYRT_RING_OS_H
#define PYRT_RING_OS_H
#include "ring.h"
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <time.h>
#include <unistd.h>
#if defined(__linux__)
#include <linux/futex.h>
#include <sys/syscall.h>
#endif

/* Take the file's lock: 0, or errno. It is that of the open file: another open of the same process does not lose it, and the kernel
 * takes it away when the last descriptor and the last mapping of that open are gone. */
static inline int ring_lock(int fd) {
#if defined(F_OFD_SETLK)
    struct flock l = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    return fcntl(fd, F_OFD_SETLK, &l) < 0 ? errno : 0;
#else
    (void)fd;
    return ENOTSUP;
#endif
}

/* Whether somebody else holds it; taken for yes where that cannot be asked. */
static inline int ring_locked(int fd) {
#if defined(F_OFD_GETLK)
    struct flock l = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    return fcntl(fd, F_OFD_GETLK, &l) < 0 || l.l_type != F_UNLCK;
#else
    (void)fd;
    return 1;
#endif
}

static inline int64_t ring_now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static inline void ring_pause(void) {
#if defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ __volatile__("yield");
#endif
}

/* Wake whoever sleeps on the head. */
static inline void ring_wake(ring_shared_t *s) {
#if defined(__linux__)
    syscall(SYS_futex, (void *)&s->head, FUTEX_WAKE, INT_MAX, NULL, NULL, 0);
#else
    (void)s;
#endif
}

static inline int ring_waiting(const ring_reader_t *r) {
    return RING_LOAD(&r->shared->head, memory_order_acquire) != r->cursor;
}

#define RING_NAP 50000        /* ns: where nobody wakes readers they look again, first after this, */
#define RING_LONGEST_NAP 250000 /* at last after this */

/* Until there is something to read (1) or `ns` have passed (0): first spinning for `spin` ns, then asleep. */
static inline int ring_wait(const ring_reader_t *r, int64_t spin, int64_t ns, int wakes) {
    const int64_t begun = ring_now();
    int64_t now = begun, nap = RING_NAP;
    for (unsigned k = 1; now - begun < spin && now - begun < ns; k++) {
        if (ring_waiting(r)) return 1;
        ring_pause();
        if (k % 32 == 0) now = ring_now();
    }
    while (!ring_waiting(r)) {
        const int64_t left = ns - (ring_now() - begun);
        if (left <= 0) return 0;
#if defined(__linux__)
        if (wakes) { /* sleeps only while the head's low half is still what was read: no wake is missed */
            const uint64_t head = RING_LOAD(&r->shared->head, memory_order_acquire);
            const struct timespec t = {left / 1000000000, left % 1000000000};
            if (head == r->cursor) syscall(SYS_futex, (const void *)&r->shared->head, FUTEX_WAIT, (uint32_t)head, &t, NULL, 0);
            continue;
        }
#else
        (void)wakes;
#endif
        const int64_t n = nap < left ? nap : left;
        const struct timespec t = {n / 1000000000, n % 1000000000};
        nanosleep(&t, NULL);
        if (nap < RING_LONGEST_NAP) nap += nap / 2;
    }
    return 1;
}
#endif
