#ifdef __linux__

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

// What is decided before any library's constructor runs. OpenBLAS starts a thread for each processor in its own, and each of
// them asks for 128 MiB of address space until it gets them: where a process may not map as much, it would never come to
// its first line. The threads are not used either: the tool's own compute.

static const size_t least = (size_t)64 << 20;

static int is_limited(int resource) {
    struct rlimit value;
    return getrlimit(resource, &value) == 0 && value.rlim_cur != RLIM_INFINITY;
}

static int is_setting(const char *entry, const char *name) {
    size_t length = strlen(name);
    return strncmp(entry, name, length) == 0 && entry[length] == '=';
}

// The runtime traps where it gets no descriptors for its first queue, before it comes to a line of the program.
static void need_descriptors(void) {
    int opened[5], count = 0;
    while (count < 5 && (opened[count] = open("/dev/null", O_RDONLY | O_CLOEXEC)) >= 0) count++;
    if (count < 5 && errno == EMFILE) {
        static const char text[] = "moe-tool: too few open files are allowed: not five more, and 12 are needed (ulimit -n)\n";
        if (write(2, text, sizeof text - 1) < 0) _exit(5);
        _exit(5);
    }
    while (count > 0) close(opened[--count]);
}

static void start(int argc, char **argv, char **envp) {
    need_descriptors();
    if (argc < 1 || (!is_limited(RLIMIT_AS) && !is_limited(RLIMIT_DATA))) return;
    void *piece = mmap(NULL, least, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (piece == MAP_FAILED) {
        static const char text[] =
            "moe-tool: out of memory: the limit of the address space (ulimit -v, ulimit -d) leaves less than 64 MiB beside "
            "the program: allow it more\n";
        if (write(2, text, sizeof text - 1) < 0) _exit(70);
        _exit(70);
    }
    munmap(piece, least);
    static char threads[] = "OPENBLAS_NUM_THREADS=1";
    static char arenas[] = "MALLOC_ARENA_MAX=1";
    size_t count = 0;
    for (char **entry = envp; *entry; entry++, count++)
        if (strcmp(*entry, threads) == 0) return;
    // The program again, with that in its environment: what is put into this one is not seen by the library.
    char *environment[count + 3];
    size_t kept = 0;
    for (char **entry = envp; *entry; entry++)
        if (!is_setting(*entry, "OPENBLAS_NUM_THREADS") && !is_setting(*entry, "MALLOC_ARENA_MAX"))
            environment[kept++] = *entry;
    environment[kept++] = threads;
    environment[kept++] = arenas;
    environment[kept] = NULL;
    char path[4096];
    ssize_t length = readlink("/proc/self/exe", path, sizeof path - 1);
    if (length <= 0) return;
    path[length] = 0;
    execve(path, argv, environment);
}

__attribute__((section(".preinit_array"), used)) static void (*const first)(int, char **, char **) = start;

#endif
