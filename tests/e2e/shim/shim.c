/* Faults at system calls, for LD_PRELOAD (Linux, glibc).
 *
 * Counts the calls of one process that touch a state directory or a TCP port, writes them to a trace, and at the n-th one kills the
 * process (before it, after it, or after a prefix of a write), or lets it fail once or from then on. Nothing happens before arm().
 * A second, independent part moves CLOCK_REALTIME by what stands in a shared file.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <netinet/in.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

enum { WRITE = 1, SYNC = 2, NAME = 4, SEND = 8, RECV = 16 };                       /* what is counted: a mask */
enum { TRACE = 0, BEFORE = 1, AFTER = 2, TORN = 3, FAIL_ONCE = 4, FAIL_EVER = 5, CUT = 6 }; /* what happens at the n-th */
enum { UNKNOWN = 0, STATE = 1, VENUE = 2, OTHER = 3 };                             /* what a descriptor is */

static struct {
    int on, what, mask, error, trace;
    long at, seen;
    unsigned port;
    char directory[PATH_MAX], filter[64]; /* filter: parts of paths that count, with commas; "" = all of the directory */
} shim;

static unsigned char kinds[65536]; /* of descriptors, as far as they are known */

#define REAL(name) ((__typeof__(&name))real(#name))
#define OWN(name) static __typeof__(&name) own; if (!own) own = REAL(name)

static void *real(const char *name) {
    void *found = dlsym(RTLD_NEXT, name);
    if (!found) abort();
    return found;
}

static void die(void) { syscall(SYS_kill, getpid(), SIGKILL); for (;;) pause(); }

/* The power fails: nothing that is not on the disk by now will be (EXT4_IOC_SHUTDOWN without a flush of the log). */
static void cut(void) {
    unsigned without_flush = 2;
    char mount[PATH_MAX];
    snprintf(mount, sizeof mount, "%s", shim.directory);
    *strrchr(mount, '/') = 0;
    int fd = (int)syscall(SYS_openat, AT_FDCWD, mount, O_RDONLY | O_DIRECTORY);
    if (syscall(SYS_ioctl, fd, 0x8004587DUL, &without_flush)) abort();
    die();
}

static int path_kind(const char *path) {
    size_t n = strlen(shim.directory);
    if (!n || strncmp(path, shim.directory, n) || (path[n] && path[n] != '/')) return OTHER;
    if (!shim.filter[0]) return STATE;
    char names[sizeof shim.filter], *rest = names, *name;
    memcpy(names, shim.filter, sizeof names);
    while ((name = strsep(&rest, ",")))
        if (strstr(path + n, name)) return STATE;
    return OTHER;
}

static int path_of(int fd, char *path, size_t size) {
    char link[64];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t n = syscall(SYS_readlinkat, AT_FDCWD, link, path, size - 1);
    if (n < 0) return -1;
    path[n] = 0;
    return 0;
}

static int kind(int fd) {
    if (fd < 0 || fd >= 65536) return OTHER;
    if (kinds[fd]) return kinds[fd];
    int keep = errno, found = OTHER;
    char path[PATH_MAX];
    if (!path_of(fd, path, sizeof path)) {
        if (!strncmp(path, "socket:", 7)) {
            struct sockaddr_in peer = {0};
            socklen_t n = sizeof peer;
            if (getpeername(fd, (struct sockaddr *)&peer, &n)) found = UNKNOWN; /* not connected yet */
            else if (peer.sin_family == AF_INET && ntohs(peer.sin_port) == shim.port) found = VENUE;
        } else found = path_kind(path);
    }
    errno = keep;
    return kinds[fd] = found;
}

/* The first line of what goes to the venue, as far as it can be shown. */
static void first_line(char *into, size_t room, const char *data, long size) {
    size_t n = 0;
    while (n + 1 < room && n < (size_t)size && data[n] >= ' ' && data[n] < 127) n++;
    memcpy(into, data, n);
    into[n] = 0;
}

/* Counts one call. 0: go on; otherwise what is to happen at this one. */
static int count(int class, const char *name, int fd, const char *path, const void *data, long size) {
    if (!shim.on) return 0;
    int counts = shim.mask & class;
    if (!counts && class != SEND) return 0; /* what is said to the venue is always told */
    long n = counts ? __atomic_add_fetch(&shim.seen, 1, __ATOMIC_SEQ_CST) : 0;
    if (shim.trace >= 0) {
        char line[PATH_MAX + 256], where[PATH_MAX] = "venue", head[64] = "";
        int keep = errno;
        if (path) snprintf(where, sizeof where, "%s", path);
        else if (class < SEND) path_of(fd, where, sizeof where);
        const char *shown = path_kind(where) == STATE ? where + strlen(shim.directory) : where;
        if (class == SEND && data) first_line(head, sizeof head, data, size);
        int k = snprintf(line, sizeof line, "%ld %s %s %ld %s\n", n, name, *shown ? shown : "/", size, head);
        syscall(SYS_write, shim.trace, line, k);
        errno = keep;
    }
    if (!counts) return 0;
    if (shim.what == FAIL_EVER) return n >= shim.at ? FAIL_EVER : 0;
    return n == shim.at ? shim.what : 0;
}

/* The file half of the venue's traffic: which of the two a descriptor belongs to, 0 = neither. */
static int outgoing(int fd) {
    int k = shim.on ? kind(fd) : OTHER;
    return k == STATE ? WRITE : k == VENUE ? SEND : 0;
}

/* What was written since the last sync that succeeded. A sync that fails loses it, as after the power cut that the failure may stand
 * for: whoever acts on it, or syncs again and believes that, is found out. */
static struct { int fd; off_t at; size_t n; } unsynced[64];
static int unsynced_n;
static pthread_mutex_t unsynced_lock = PTHREAD_MUTEX_INITIALIZER;

static ssize_t written(int fd, off_t at, ssize_t n) {
    if (n <= 0 || !shim.on || kind(fd) != STATE) return n;
    pthread_mutex_lock(&unsynced_lock);
    if (unsynced_n < 64) {
        unsynced[unsynced_n].fd = fd;
        unsynced[unsynced_n].at = at;
        unsynced[unsynced_n++].n = n;
    }
    pthread_mutex_unlock(&unsynced_lock);
    return n;
}

static int synced(int fd, int failed) {
    int kept = 0;
    pthread_mutex_lock(&unsynced_lock);
    for (int i = 0; i < unsynced_n; i++) {
        if (unsynced[i].fd != fd) { unsynced[kept++] = unsynced[i]; continue; }
        if (!failed) continue;
        char *zeros = calloc(1, unsynced[i].n);
        if (!zeros || syscall(SYS_pwrite64, fd, zeros, unsynced[i].n, unsynced[i].at) < 0) abort();
        free(zeros);
    }
    unsynced_n = kept;
    pthread_mutex_unlock(&unsynced_lock);
    return failed;
}

#define FAILS(what) ((what) == FAIL_ONCE || (what) == FAIL_EVER)
#define AROUND(class, fd, path, data, size, torn, call)                                                                               \
    do {                                                                                                                           \
        int class_ = (class);                                                                                                      \
        if (!class_) return call;                                                                                                  \
        int what_ = count(class_, __func__, fd, path, data, (long)(size));                                                         \
        if (what_ == CUT) cut();                                                                                                   \
        if (what_ == BEFORE) die();                                                                                                \
        if (what_ == TORN) { torn; die(); }                                                                                        \
        if (FAILS(what_)) {                                                                                                        \
            if (class_ == SYNC) synced(fd, -1);                                                                                    \
            errno = shim.error;                                                                                                    \
            return -1;                                                                                                             \
        }                                                                                                                          \
        __typeof__(call) done_ = call;                                                                                             \
        if (what_ == AFTER) die();                                                                                                 \
        return done_;                                                                                                              \
    } while (0)

ssize_t write(int fd, const void *data, size_t n) {
    OWN(write);
    AROUND(outgoing(fd), fd, NULL, data, n, own(fd, data, n / 2), own(fd, data, n));
}

ssize_t pwrite(int fd, const void *data, size_t n, off_t at) {
    OWN(pwrite);
    AROUND(outgoing(fd), fd, NULL, data, n, own(fd, data, n / 2, at), written(fd, at, own(fd, data, n, at)));
}

ssize_t pwrite64(int fd, const void *data, size_t n, off64_t at) {
    OWN(pwrite64);
    AROUND(outgoing(fd), fd, NULL, data, n, own(fd, data, n / 2, at), written(fd, at, own(fd, data, n, at)));
}

ssize_t send(int fd, const void *data, size_t n, int flags) {
    OWN(send);
    AROUND(outgoing(fd), fd, NULL, data, n, own(fd, data, n / 2, flags), own(fd, data, n, flags));
}

ssize_t sendto(int fd, const void *data, size_t n, int flags, const struct sockaddr *to, socklen_t size) {
    OWN(sendto);
    AROUND(outgoing(fd), fd, NULL, data, n, own(fd, data, n / 2, flags, to, size), own(fd, data, n, flags, to, size));
}

ssize_t writev(int fd, const struct iovec *parts, int n) {
    OWN(writev);
    AROUND(outgoing(fd), fd, NULL, parts->iov_base, parts->iov_len, own(fd, parts, 1), own(fd, parts, n));
}

ssize_t sendmsg(int fd, const struct msghdr *message, int flags) {
    OWN(sendmsg);
    AROUND(outgoing(fd), fd, NULL, message->msg_iov->iov_base, message->msg_iov->iov_len, (void)0, own(fd, message, flags));
}

int fsync(int fd) {
    OWN(fsync);
    AROUND(outgoing(fd) == WRITE ? SYNC : 0, fd, NULL, NULL, 0, (void)0, synced(fd, own(fd)));
}

int fdatasync(int fd) {
    OWN(fdatasync);
    AROUND(outgoing(fd) == WRITE ? SYNC : 0, fd, NULL, NULL, 0, (void)0, synced(fd, own(fd)));
}

int ftruncate(int fd, off_t size) {
    OWN(ftruncate);
    AROUND(outgoing(fd), fd, NULL, NULL, size, (void)0, own(fd, size));
}

int ftruncate64(int fd, off64_t size) {
    OWN(ftruncate64);
    AROUND(outgoing(fd), fd, NULL, NULL, size, (void)0, own(fd, size));
}

int rename(const char *from, const char *to) {
    OWN(rename);
    AROUND(shim.on && path_kind(to) == STATE ? NAME : 0, -1, to, NULL, 0, (void)0, own(from, to));
}

int unlink(const char *path) {
    OWN(unlink);
    AROUND(shim.on && path_kind(path) == STATE ? NAME : 0, -1, path, NULL, 0, (void)0, own(path));
}

int mkdir(const char *path, mode_t mode) {
    OWN(mkdir);
    AROUND(shim.on && path_kind(path) == STATE ? NAME : 0, -1, path, NULL, 0, (void)0, own(path, mode));
}

/* Only what makes or opens for writing changes anything. */
static int opening(const char *path, int flags) {
    return shim.on && (flags & (O_WRONLY | O_RDWR | O_CREAT)) && path_kind(path) == STATE ? NAME : 0;
}

static mode_t mode_of(int flags, va_list more) { return flags & (O_CREAT | O_TMPFILE) ? va_arg(more, mode_t) : 0; }

#define OPEN(name)                                                                                                                 \
    int name(const char *path, int flags, ...) {                                                                                   \
        OWN(name);                                                                                                                 \
        va_list more;                                                                                                              \
        va_start(more, flags);                                                                                                     \
        mode_t mode = mode_of(flags, more);                                                                                        \
        va_end(more);                                                                                                              \
        AROUND(opening(path, flags), -1, path, NULL, 0, (void)0, own(path, flags, mode));                                                \
    }

#define OPENAT(name)                                                                                                               \
    int name(int at, const char *path, int flags, ...) {                                                                           \
        OWN(name);                                                                                                                 \
        va_list more;                                                                                                              \
        va_start(more, flags);                                                                                                     \
        mode_t mode = mode_of(flags, more);                                                                                        \
        va_end(more);                                                                                                              \
        AROUND(opening(path, flags), -1, path, NULL, 0, (void)0, own(at, path, flags, mode));                                            \
    }

OPEN(open)
OPEN(open64)
OPENAT(openat)
OPENAT(openat64)

/* What a socket gives is counted when it came: a kill then is one between the answer and whatever follows from it. */
static void came(const char *name, int fd, ssize_t n) {
    if (n <= 0 || !shim.on || kind(fd) != VENUE) return;
    int what = count(RECV, name, fd, NULL, NULL, n);
    if (what == CUT) cut();
    if (what == BEFORE || what == AFTER || what == TORN) die();
}

ssize_t recv(int fd, void *data, size_t n, int flags) {
    OWN(recv);
    ssize_t done = own(fd, data, n, flags);
    came("recv", fd, done);
    return done;
}

ssize_t read(int fd, void *data, size_t n) {
    OWN(read);
    ssize_t done = own(fd, data, n);
    came("read", fd, done);
    return done;
}

/* A number that is given back may be something else the next time. */
int close(int fd) {
    OWN(close);
    if (fd >= 0 && fd < 65536) kinds[fd] = UNKNOWN;
    return own(fd);
}

int connect(int fd, const struct sockaddr *to, socklen_t n) {
    OWN(connect);
    if (fd >= 0 && fd < 65536) kinds[fd] = UNKNOWN;
    return own(fd, to, n);
}

/* Begin. `trace`: a file that gets a line for each counted call, "" = none. */
void arm(const char *directory, const char *filter, unsigned port, int mask, int what, long at, int error, const char *trace) {
    memset(kinds, 0, sizeof kinds);
    snprintf(shim.directory, sizeof shim.directory, "%s", directory);
    snprintf(shim.filter, sizeof shim.filter, "%s", filter);
    shim.port = port;
    shim.mask = mask;
    shim.what = what;
    shim.at = at;
    shim.error = error;
    shim.seen = 0;
    shim.trace = *trace ? (int)syscall(SYS_openat, AT_FDCWD, trace, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600) : -1;
    __atomic_store_n(&shim.on, 1, __ATOMIC_SEQ_CST);
}

/* For a process that is started with LD_PRELOAD alone: SHIM_ARM="directory|filter|port|mask|what|at|error|trace". */
static volatile int64_t *clock_shift; /* ns, in the file that SHIM_CLOCK names */

__attribute__((constructor)) static void begin(void) {
    const char *clock = getenv("SHIM_CLOCK"), *told = getenv("SHIM_ARM");
    if (clock) {
        int fd = (int)syscall(SYS_openat, AT_FDCWD, clock, O_RDONLY | O_CLOEXEC);
        void *page = fd < 0 ? MAP_FAILED : mmap(NULL, 8, PROT_READ, MAP_SHARED, fd, 0);
        if (page == MAP_FAILED) abort();
        syscall(SYS_close, fd);
        clock_shift = page;
    }
    if (told) {
        char text[3 * PATH_MAX], *rest = text, *part[8];
        snprintf(text, sizeof text, "%s", told);
        for (int i = 0; i < 8; i++)
            if (!(part[i] = strsep(&rest, "|"))) abort();
        arm(part[0], part[1], atoi(part[2]), atoi(part[3]), atoi(part[4]), atol(part[5]), atoi(part[6]), part[7]);
    }
}

/* ---- the wall clock; CLOCK_MONOTONIC is left alone, as by a real step */
int clock_gettime(clockid_t id, struct timespec *now) {
    int failed = (int)syscall(SYS_clock_gettime, id, now);
    if (failed || !clock_shift || (id != CLOCK_REALTIME && id != CLOCK_REALTIME_COARSE)) return failed;
    int64_t ns = (int64_t)now->tv_sec * 1000000000 + now->tv_nsec + *clock_shift;
    now->tv_sec = ns / 1000000000;
    now->tv_nsec = ns % 1000000000;
    return 0;
}

int gettimeofday(struct timeval *restrict now, void *restrict zone) {
    struct timespec fine;
    (void)zone;
    clock_gettime(CLOCK_REALTIME, &fine);
    now->tv_sec = fine.tv_sec;
    now->tv_usec = fine.tv_nsec / 1000;
    return 0;
}

time_t time(time_t *into) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    if (into) *into = now.tv_sec;
    return now.tv_sec;
}
