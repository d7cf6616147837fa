/*
 * Stands between a program and the files of one directory, and logs what it does to them, in the order of time: what
 * a disk is asked for, and when it promised to have it. From the log, tests/power_loss rebuilds what a disk may hold
 * after the power failed.
 *
 *   SHIM_DIRECTORY  the directory, as an absolute path; files that end in -shm are left out: they are memory
 *   SHIM_LOG        where to log; each record is one write to its end, so that the driver can add records of its own
 *
 * A record, in the machine's byte order:
 *
 *   u8 kind, u8 length of the name, u16 0, u32 length of the data, u64 offset, the name, the data
 *
 *   W  written: the data, at the offset       T  cut or grown to the offset
 *   C  created                                U  unlinked
 *   R  renamed: the data is the new name
 *   F  the file was synced                    D  the directory was synced
 *   A  acknowledged: the driver's own record, the data says what
 *
 * A write is logged after it was done. A sync is logged after it was done, too; its offset is the length that the log
 * had before, for of what was written meanwhile it promises nothing.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#define REAL(type, name, ...)                                                                                          \
    static type (*real)(__VA_ARGS__);                                                                                  \
    if (!real) real = (type(*)(__VA_ARGS__))dlsym(RTLD_NEXT, name)

static const char *directory;
static size_t directory_length;
static int log_file = -1;

struct head {
    uint8_t kind, name_length;
    uint16_t zero;
    uint32_t data_length;
    uint64_t offset;
};

static void die(const char *what) {
    perror(what);
    abort();
}

/* Also called by the first hooked call, which may come before the constructors. */
static void begin(void) {
    static int begun;
    if (begun) return;
    begun = 1;
    directory = getenv("SHIM_DIRECTORY");
    const char *log = getenv("SHIM_LOG");
    if (!directory || !log) {
        directory = NULL;
        return;
    }
    directory_length = strlen(directory);
    REAL(int, "open64", const char *, int, ...);
    log_file = real(log, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
    if (log_file < 0) die("the shim's log");
}

__attribute__((constructor)) static void start(void) { begin(); }

/* The name within the directory, "" for the directory itself, NULL for what is elsewhere or not looked at. */
static const char *within(const char *path) {
    if (strncmp(path, directory, directory_length) != 0) return NULL;
    const char *rest = path + directory_length;
    if (*rest == 0) return rest;
    if (*rest != '/' || strchr(rest + 1, '/')) return NULL;
    size_t length = strlen(++rest);
    if (length > 255 || (length >= 4 && strcmp(rest + length - 4, "-shm") == 0)) return NULL;
    return rest;
}

static const char *name_of(int fd, char *path) {
    begin();
    if (!directory || fd < 0) return NULL;
    char link[40];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, path, PATH_MAX - 1);
    if (length < 0) return NULL;
    path[length] = 0;
    return within(path);
}

static const char *name_at(const char *path, char *whole) {
    begin();
    if (!directory) return NULL;
    /* A relative path is one of the working directory. */
    if (path[0] == '/') return within(path);
    if (!getcwd(whole, PATH_MAX)) return NULL;
    size_t length = strlen(whole);
    while (path[0] == '.' && path[1] == '/') path += 2;
    snprintf(whole + length, PATH_MAX - length, "/%s", path);
    return within(whole);
}

static void record(char kind, const char *name, uint64_t offset, const void *data, size_t length) {
    int saved = errno;
    struct head head = {(uint8_t)kind, (uint8_t)strlen(name), 0, (uint32_t)length, offset};
    struct iovec parts[] = {
        {&head, sizeof head}, {(void *)name, head.name_length}, {(void *)data, length}};
    size_t whole = sizeof head + head.name_length + length;
    REAL(ssize_t, "writev", int, const struct iovec *, int);
    if (real(log_file, parts, 3) != (ssize_t)whole) die("the shim's log");
    errno = saved;
}

static uint64_t logged(void) {
    struct stat found;
    if (fstat(log_file, &found) != 0) die("the shim's log");
    return (uint64_t)found.st_size;
}

ssize_t write(int fd, const void *data, size_t length) {
    REAL(ssize_t, "write", int, const void *, size_t);
    char path[PATH_MAX];
    const char *name = fd == log_file ? NULL : name_of(fd, path);
    ssize_t done = real(fd, data, length);
    if (name && done > 0) record('W', name, (uint64_t)(lseek(fd, 0, SEEK_CUR) - done), data, (size_t)done);
    return done;
}

ssize_t pwrite64(int fd, const void *data, size_t length, off64_t offset) {
    REAL(ssize_t, "pwrite64", int, const void *, size_t, off64_t);
    char path[PATH_MAX];
    const char *name = name_of(fd, path);
    ssize_t done = real(fd, data, length, offset);
    if (name && done > 0) record('W', name, (uint64_t)offset, data, (size_t)done);
    return done;
}

ssize_t pwrite(int fd, const void *data, size_t length, off_t offset) { return pwrite64(fd, data, length, offset); }

ssize_t writev(int fd, const struct iovec *parts, int count) {
    REAL(ssize_t, "writev", int, const struct iovec *, int);
    char path[PATH_MAX];
    /* SQLite does not write so: better to stop than to miss a write. */
    if (fd != log_file && name_of(fd, path)) abort();
    return real(fd, parts, count);
}

int ftruncate64(int fd, off64_t length) {
    REAL(int, "ftruncate64", int, off64_t);
    char path[PATH_MAX];
    const char *name = name_of(fd, path);
    int done = real(fd, length);
    if (name && done == 0) record('T', name, (uint64_t)length, "", 0);
    return done;
}

int ftruncate(int fd, off_t length) { return ftruncate64(fd, length); }

static int sync_with(int fd, const char *call) {
    int (*real)(int) = (int (*)(int))dlsym(RTLD_NEXT, call);
    char path[PATH_MAX];
    const char *name = name_of(fd, path);
    uint64_t before = name ? logged() : 0;
    int done = real(fd);
    if (name && done == 0) record(*name ? 'F' : 'D', name, before, "", 0);
    return done;
}

int fsync(int fd) { return sync_with(fd, "fsync"); }
int fdatasync(int fd) { return sync_with(fd, "fdatasync"); }

static int open_with(const char *path, int flags, mode_t mode) {
    REAL(int, "open64", const char *, int, ...);
    char whole[PATH_MAX];
    const char *name = (flags & O_CREAT) ? name_at(path, whole) : NULL;
    int is_new = name && access(path, F_OK) != 0;
    int fd = real(path, flags, mode);
    if (is_new && fd >= 0) record('C', name, 0, "", 0);
    if (name && !is_new && fd >= 0 && (flags & O_TRUNC)) record('T', name, 0, "", 0);
    return fd;
}

static mode_t mode_of(int flags, va_list arguments) {
    return (flags & O_CREAT) ? (mode_t)va_arg(arguments, int) : 0;
}

int open(const char *path, int flags, ...) {
    va_list arguments;
    va_start(arguments, flags);
    mode_t mode = mode_of(flags, arguments);
    va_end(arguments);
    return open_with(path, flags, mode);
}

int open64(const char *path, int flags, ...) {
    va_list arguments;
    va_start(arguments, flags);
    mode_t mode = mode_of(flags, arguments);
    va_end(arguments);
    return open_with(path, flags, mode);
}

int unlink(const char *path) {
    REAL(int, "unlink", const char *);
    char whole[PATH_MAX];
    const char *name = name_at(path, whole);
    int done = real(path);
    if (name && done == 0) record('U', name, 0, "", 0);
    return done;
}

int rename(const char *from, const char *to) {
    REAL(int, "rename", const char *, const char *);
    char whole_from[PATH_MAX], whole_to[PATH_MAX];
    const char *old = name_at(from, whole_from), *new = name_at(to, whole_to);
    int done = real(from, to);
    if (done == 0 && old && new) record('R', old, 0, new, strlen(new));
    if (done == 0 && (old == NULL) != (new == NULL)) abort();
    return done;
}
