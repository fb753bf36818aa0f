/* What the disk itself takes: a page written into an allocated file and synced, again and again. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* ns of each of n syncs into took; 0 where a call failed. */
int bare_syncs(int fd, int64_t n, int64_t *took)
{
    static char page[4096];
    memset(page, 0x5a, sizeof page);
    for (int64_t i = 0; i < n; i++) {
        struct timespec a, b;
        clock_gettime(CLOCK_MONOTONIC, &a);
        if (pwrite(fd, page, sizeof page, (off_t)i * 4096) != (ssize_t)sizeof page || fdatasync(fd))
            return 0;
        clock_gettime(CLOCK_MONOTONIC, &b);
        took[i] = (b.tv_sec - a.tv_sec) * 1000000000 + b.tv_nsec - a.tv_nsec;
    }
    return 1;
}
