// A disk that cannot be read: a library to load before the system's (LD_PRELOAD). Reads of files whose path ends with FAILING_NAME fail with EIO:
// as many as FAILING_COUNT says (all, if it is not set), after FAILING_AFTER of them went well.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>
static atomic_long reads;
static int fails(int fd) {
    const char *name = getenv("FAILING_NAME"), *after = getenv("FAILING_AFTER"), *count = getenv("FAILING_COUNT");
    char link[64], path[4096];
    if (!name || !after) return 0;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, path, sizeof path - 1);
    size_t own = strlen(name);
    if (length < (ssize_t)own || memcmp(path + length - own, name, own)) return 0;
    long number = atomic_fetch_add(&reads, 1) - atol(after);
    if (number < 0 || (count && number >= atol(count))) return 0;
    errno = EIO;
    return 1;
}
#define NEXT(f) ((__typeof__(&f))dlsym(RTLD_NEXT, #f))
ssize_t read(int fd, void *to, size_t n) { return fails(fd) ? -1 : NEXT(read)(fd, to, n); }
ssize_t pread(int fd, void *to, size_t n, off_t at) { return fails(fd) ? -1 : NEXT(pread)(fd, to, n, at); }
ssize_t pread64(int fd, void *to, size_t n, off64_t at) { return fails(fd) ? -1 : NEXT(pread64)(fd, to, n, at); }
ssize_t preadv(int fd, const struct iovec *to, int n, off_t at) { return fails(fd) ? -1 : NEXT(preadv)(fd, to, n, at); }
ssize_t preadv64(int fd, const struct iovec *to, int n, off64_t at) { return fails(fd) ? -1 : NEXT(preadv64)(fd, to, n, at); }
