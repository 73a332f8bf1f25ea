// Preloaded into a process, counts its calls that change a file system, and ends it at one of them.
//
//   FAULT_KILL_AT=N  the process is killed at its N-th such call; where that is a write, after half of it
//   FAULT_COUNT=FILE at the end of the process the number of calls is written there
//   FAULT_NO_FLOCK=1 flock fails as on a file system that has none
//   FAULT_FAIL=NAME:N:ERRNO  the N-th call of that name fails instead; readdir, pread, lstat, stat,
//                    realpath and openread too, which change nothing
//   FAULT_MARK=FOLDER        is made when one of the latter failed
#define _GNU_SOURCE
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <unistd.h>

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static long calls, named, kill_at, fail_at;
static int fail_errno;
static char fail_name[32];
static const char *count_path, *mark_path;

__attribute__((constructor)) static void begin(void) {
    const char *text = getenv("FAULT_KILL_AT");
    kill_at = text ? atol(text) : 0;
    count_path = getenv("FAULT_COUNT");
    text = getenv("FAULT_FAIL");
    if (text) sscanf(text, "%31[^:]:%ld:%d", fail_name, &fail_at, &fail_errno);
    mark_path = getenv("FAULT_MARK");
    unsetenv("LD_PRELOAD");
}

__attribute__((destructor)) static void end(void) {
    if (!count_path) return;
    FILE *file = fopen(count_path, "w");
    if (!file) return;
    fprintf(file, "%ld\n", calls);
    fclose(file);
}

// 0: go on; 1: this is the call to die at; -1: fail, errno is set.
static int next(const char *name) {
    pthread_mutex_lock(&mutex);
    calls++;
    int dies = kill_at > 0 && calls == kill_at;
    int fails = fail_at > 0 && strcmp(name, fail_name) == 0 && ++named == fail_at;
    // Nothing may happen after the call at which the process dies.
    if (!dies) pthread_mutex_unlock(&mutex);
    if (fails) errno = fail_errno;
    return dies ? 1 : fails ? -1 : 0;
}

// Whether a call that only reads is the one to fail; it does not count among those that change something.
static int fails(const char *name) {
    if (!fail_at || strcmp(name, fail_name) != 0) return 0;
    pthread_mutex_lock(&mutex);
    int result = ++named == fail_at;
    pthread_mutex_unlock(&mutex);
    if (result && mark_path) syscall(SYS_mkdirat, AT_FDCWD, mark_path, 0700);
    if (result) errno = fail_errno;
    return result;
}

static void die(void) {
    kill(getpid(), SIGKILL);
    for (;;) pause();
}

#define REAL(type, name, ...) \
    static type (*real)(__VA_ARGS__); \
    if (!real) real = (type (*)(__VA_ARGS__))dlsym(RTLD_NEXT, name)
#define COUNT(name) \
    switch (next(name)) { \
    case 1: die(); \
    case -1: return -1; \
    }

// What the runtime reads of the system for itself.
static int isSystems(const char *path) {
    static const char *const folders[] = {"/proc/", "/sys/", "/dev/", "/etc/", "/usr/"};
    for (size_t i = 0; i < sizeof folders / sizeof folders[0]; i++)
        if (strncmp(path, folders[i], strlen(folders[i])) == 0) return 1;
    return 0;
}

static int makes(int flags) { return (flags & (O_CREAT | O_TRUNC)) != 0; }

#define OPEN(symbol) \
    int symbol(const char *path, int flags, ...) { \
        REAL(int, #symbol, const char *, int, ...); \
        va_list list; \
        va_start(list, flags); \
        mode_t mode = va_arg(list, mode_t); \
        va_end(list); \
        if (makes(flags)) { COUNT("open") } else if (!isSystems(path) && fails("openread")) return -1; \
        return real(path, flags, mode); \
    }
OPEN(open)
OPEN(open64)

#define WRITE(symbol, type) \
    ssize_t symbol(int fd, const void *bytes, size_t count, type offset) { \
        REAL(ssize_t, #symbol, int, const void *, size_t, type); \
        switch (next("write")) { \
        case 1: \
            if (count > 1) real(fd, bytes, count / 2, offset); \
            die(); \
        case -1: return -1; \
        } \
        return real(fd, bytes, count, offset); \
    }
WRITE(pwrite, off_t)
WRITE(pwrite64, off64_t)

#define READDIR(symbol, type) \
    struct type *symbol(DIR *folder) { \
        REAL(struct type *, #symbol, DIR *); \
        return fails("readdir") ? NULL : real(folder); \
    }
READDIR(readdir, dirent)
READDIR(readdir64, dirent64)

#define READ(symbol, type) \
    ssize_t symbol(int fd, void *bytes, size_t count, type offset) { \
        REAL(ssize_t, #symbol, int, void *, size_t, type); \
        return fails("pread") ? -1 : real(fd, bytes, count, offset); \
    }
READ(pread, off_t)
READ(pread64, off64_t)

#define STAT(symbol, name, type) \
    int symbol(const char *path, struct type *result) { \
        REAL(int, #symbol, const char *, struct type *); \
        return fails(name) ? -1 : real(path, result); \
    }
STAT(lstat, "lstat", stat)
STAT(lstat64, "lstat", stat64)
STAT(stat, "stat", stat)
STAT(stat64, "stat", stat64)

char *realpath(const char *path, char *resolved) {
    REAL(char *, "realpath", const char *, char *);
    return fails("realpath") ? NULL : real(path, resolved);
}

int rename(const char *from, const char *to) {
    REAL(int, "rename", const char *, const char *);
    COUNT("rename")
    return real(from, to);
}
int renameat2(int a, const char *from, int b, const char *to, unsigned flags) {
    REAL(int, "renameat2", int, const char *, int, const char *, unsigned);
    COUNT("rename")
    return real(a, from, b, to, flags);
}
int unlink(const char *path) {
    REAL(int, "unlink", const char *);
    COUNT("unlink")
    return real(path);
}
int rmdir(const char *path) {
    REAL(int, "rmdir", const char *);
    COUNT("rmdir")
    return real(path);
}
int mkdir(const char *path, mode_t mode) {
    REAL(int, "mkdir", const char *, mode_t);
    COUNT("mkdir")
    return real(path, mode);
}
#define TRUNCATE(symbol, type) \
    int symbol(int fd, type size) { \
        REAL(int, #symbol, int, type); \
        COUNT("ftruncate") \
        return real(fd, size); \
    }
TRUNCATE(ftruncate, off_t)
TRUNCATE(ftruncate64, off64_t)
#define ALLOCATE(symbol, type) \
    int symbol(int fd, int mode, type offset, type size) { \
        REAL(int, #symbol, int, int, type, type); \
        COUNT("fallocate") \
        return real(fd, mode, offset, size); \
    }
ALLOCATE(fallocate, off_t)
ALLOCATE(fallocate64, off64_t)
int fsync(int fd) {
    REAL(int, "fsync", int);
    COUNT("fsync")
    return real(fd);
}
int fdatasync(int fd) {
    REAL(int, "fdatasync", int);
    COUNT("fsync")
    return real(fd);
}
int flock(int fd, int operation) {
    REAL(int, "flock", int, int);
    if (getenv("FAULT_NO_FLOCK")) {
        errno = ENOLCK;
        return -1;
    }
    return real(fd, operation);
}
