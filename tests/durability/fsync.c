/* Loaded into the product by LD_PRELOAD: makes every fsync of files whose name holds FSYNC_NAME fail with EIO, from the
   FSYNC_FROM-th such call on (1 = the first, 0 = never), and writes one line a call into the file FSYNC_LOG. As long as there is
   a file FSYNC_FULL, the disk is full for what is written to files of that name. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

static atomic_long calls;

static int fails(int fd) {
    char link[64], name[PATH_MAX + 2];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, name, PATH_MAX);
    const char *wanted = getenv("FSYNC_NAME"), *from = getenv("FSYNC_FROM"), *log = getenv("FSYNC_LOG");
    if (length < 0 || !wanted || !from || !log) return 0;
    name[length] = 0;
    if (!strstr(name, wanted)) return 0;
    name[length] = '\n';
    int file = open(log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    if (file < 0 || write(file, name, (size_t)length + 1) != length + 1) abort();
    close(file);
    long first = atol(from);
    return first > 0 && atomic_fetch_add(&calls, 1) + 1 >= first;
}

static int full(int fd) {
    char link[64], name[PATH_MAX + 2];
    const char *wanted = getenv("FSYNC_NAME"), *full = getenv("FSYNC_FULL");
    if (!wanted || !full || access(full, F_OK)) return 0;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, name, PATH_MAX);
    if (length < 0) return 0;
    name[length] = 0;
    return strstr(name, wanted) != NULL;
}

static int no_space(void) {
    errno = ENOSPC;
    return -1;
}

ssize_t write(int fd, const void *bytes, size_t count) {
    return full(fd) ? no_space() : syscall(SYS_write, fd, bytes, count);
}
ssize_t pwrite(int fd, const void *bytes, size_t count, off_t offset) {
    return full(fd) ? no_space() : syscall(SYS_pwrite64, fd, bytes, count, offset);
}
ssize_t pwrite64(int fd, const void *bytes, size_t count, off64_t offset) {
    return full(fd) ? no_space() : syscall(SYS_pwrite64, fd, bytes, count, offset);
}

static int failed(void) {
    errno = EIO;
    return -1;
}

int fsync(int fd) { return fails(fd) ? failed() : (int)syscall(SYS_fsync, fd); }
int fdatasync(int fd) { return fails(fd) ? failed() : (int)syscall(SYS_fdatasync, fd); }
int sync_file_range(int fd, off64_t offset, off64_t length, unsigned int flags) {
    return fails(fd) ? failed() : (int)syscall(SYS_sync_file_range, fd, offset, length, flags);
}
