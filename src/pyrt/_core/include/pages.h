/* Memory for tables of many megabytes: on huge pages where the system lends them, since a random access to a small page costs
 * more in address translation than in the access. Zeroed. free() takes it back. */
#ifndef PYRT_PAGES_H
#define PYRT_PAGES_H
#include <stdlib.h>
#include <string.h>
#ifdef __linux__
#include <sys/mman.h>
#endif

#define PYRT_HUGE ((size_t)2 << 20)

static inline void *pyrt_pages(size_t size)
{
    void *p = NULL;
    size_t align = size < PYRT_HUGE ? 64 : PYRT_HUGE;
    size = (size + align - 1) & ~(align - 1);
    if (posix_memalign(&p, align, size) != 0)
        return NULL;
#if defined(__linux__) && defined(MADV_HUGEPAGE)
    if (align == PYRT_HUGE)
        madvise(p, size, MADV_HUGEPAGE); /* a wish: the memory is good without it */
#endif
    return memset(p, 0, size);
}
#endif
