/* Watching a descriptor instead of sleeping on it. */
#ifndef PYRT_SPIN_H
#define PYRT_SPIN_H
#include <errno.h>
#include <poll.h>
#include <stdint.h>
#include <time.h>

/* 1 once something is to be read, 0 after ns, -errno. */
static inline int spin_until(int fd, int64_t ns) {
    struct pollfd p = {.fd = fd, .events = POLLIN};
    struct timespec begun, now;
    clock_gettime(CLOCK_MONOTONIC, &begun);
    for (;;) {
        int found = poll(&p, 1, 0);
        if (found > 0) return 1;
        if (found < 0 && errno != EINTR) return -errno;
        clock_gettime(CLOCK_MONOTONIC, &now);
        if ((int64_t)(now.tv_sec - begun.tv_sec) * 1000000000 + (now.tv_nsec - begun.tv_nsec) >= ns) return 0;
    }
}
#endif
