/* The journal on disk. A segment = one header page, then records, then zeros; its size never changes. Little-endian. */
#ifndef PYRT_LOG_H
#define PYRT_LOG_H
#include "blake2b.h"
#include "crc32c.h"
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <time.h>
#include <unistd.h>
#if defined(__BYTE_ORDER__) && __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "the journal's format is that of little-endian machines"
#endif

#define LOG_MAGIC "PYRTLOG"
#define LOG_VERSION 1
#define LOG_PAGE 4096
#define LOG_BLOCK 1024             /* every record whose seq is a multiple carries the chain hash */

enum { LOG_CHAIN = 1, LOG_ANCHOR = 2, LOG_CLOSED = 3, LOG_USER = 16 };

typedef struct {
    char magic[8];
    uint32_t version, page;
    char journal[8];               /* the journal's id, base32 */
    uint8_t run[16];               /* one life of its owner */
    uint64_t segment;              /* from 1 */
    uint64_t first_seq;
    uint64_t last_seq;             /* last valid one of the segment before; what follows it there is dead */
    uint8_t chain[BLAKE2B_DIGEST]; /* chain hash at last_seq */
    uint64_t size;                 /* of this file */
    uint32_t reserved;
    uint32_t crc;                  /* of the whole page but itself */
} segment_t;

typedef struct {
    uint32_t len;                  /* head and payload; the next record begins at the next multiple of 8 */
    uint32_t crc;                  /* of everything but itself: len, the rest of the head, payload, padding */
    uint64_t seq;
    uint64_t durable_seq;          /* the highest seq known to be on stable storage when this was written */
    int64_t ts_ns;
    uint16_t type, flags;
    uint32_t term;
} record_t;

static_assert(sizeof(segment_t) == 96 && sizeof(record_t) == 40, "journal format");

static inline size_t log_stride(size_t len) { return (len + 7) & ~(size_t)7; }

static inline uint32_t record_crc(const unsigned char *p, size_t stride) {
    return crc32c(crc32c(0, p, 4), p + 8, stride - 8);
}

/* The record at p, or 0 where there is none that is whole within `room` bytes. */
static inline size_t record_check(const unsigned char *p, size_t room) {
    record_t head;
    if (room < sizeof head) return 0;
    memcpy(&head, p, sizeof head);
    if (head.len < sizeof head || head.len > room) return 0;
    size_t stride = log_stride(head.len);
    return stride <= room && head.crc == record_crc(p, stride) ? stride : 0;
}

static inline uint32_t segment_crc(const unsigned char *page) {
    const size_t at = offsetof(segment_t, crc);
    return crc32c(crc32c(0, page, at), page + at + 4, LOG_PAGE - at - 4);
}

/* 0, or errno. A short write goes on; an interrupted one is repeated: neither says anything about the medium. */
static inline int log_write(int fd, const unsigned char *p, size_t n, off_t at) {
    while (n) {
        ssize_t k = pwrite(fd, p, n, at);
        if (k < 0 && errno == EINTR) continue;
        if (k < 0) return errno;
        if (k == 0) return ENOSPC;
        p += k, n -= (size_t)k, at += k;
    }
    return 0;
}

/* 0, or errno. An error is final: the kernel marks the pages clean, so a second call would lie. */
static inline int log_sync(int fd) {
#if defined(__APPLE__)
    return fcntl(fd, F_FULLFSYNC) < 0 ? errno : 0;
#else
    return fdatasync(fd) < 0 ? errno : 0;
#endif
}

/* 0, or errno: give the space of a dead part back; the file's size stays. */
static inline int log_release(int fd, off_t begin, off_t n) {
#if defined(FALLOC_FL_PUNCH_HOLE)
    return fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, begin, n) < 0 ? errno : 0;
#else
    (void)fd, (void)begin, (void)n;
    return ENOTSUP;
#endif
}

static inline int64_t log_now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

/* Sleep until the bell rings or `ns` have passed (< 0: for ever), and empty the bell. */
static inline void log_sleep(int bell, int64_t ns) {
    struct pollfd p = {bell, POLLIN, 0};
    char drain[256];
    int ms = ns < 0 ? -1 : (int)((ns + 999999) / 1000000);
    if (poll(&p, 1, ms) > 0)
        while (read(bell, drain, sizeof drain) == (ssize_t)sizeof drain) {}
}

static inline void log_ring(int bell) {
    uint64_t one = 1; /* an eventfd's word; eight bytes in a pipe. A full pipe rings already. */
    ssize_t ignored = write(bell, &one, sizeof one);
    (void)ignored;
}

static inline void log_pause(void) {
#if defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

#define LOG_LOAD(x) __atomic_load_n(&(x), __ATOMIC_SEQ_CST)
#define LOG_STORE(x, v) __atomic_store_n(&(x), (v), __ATOMIC_SEQ_CST)
#endif
