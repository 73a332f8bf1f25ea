#include "CMemory.h"

#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

// What is called in a signal's handler uses system calls and the stack alone.

/// With less than this to be had, memory counts as used up.
static const size_t scarce = (size_t)64 << 20;

static int reports = 0;
static const int faults[] = {SIGSEGV, SIGBUS, SIGILL, SIGTRAP, SIGABRT, SIGFPE};
enum { fault_count = sizeof faults / sizeof faults[0] };
static struct sigaction before[fault_count];

struct message {
    char text[512];
    size_t length;
};

static void append(struct message *message, const char *text) {
    while (*text && message->length < sizeof message->text) message->text[message->length++] = *text++;
}

static void append_size(struct message *message, size_t bytes) {
    char digits[24];
    char *end = digits + sizeof digits - 1;
    size_t value = bytes >> 20 ? bytes >> 20 : bytes >> 10;
    *end = 0;
    do {
        *--end = (char)('0' + value % 10);
        value /= 10;
    } while (value);
    append(message, end);
    append(message, bytes >> 20 ? " MiB" : " KiB");
}

/// The number of bytes that the process may map, SIZE_MAX where no limit was set.
static size_t limit(void) {
    size_t least = (size_t)-1;
    const int resources[] = {RLIMIT_AS, RLIMIT_DATA};
    for (int i = 0; i < 2; i++) {
        struct rlimit value;
        if (getrlimit(resources[i], &value) == 0 && value.rlim_cur != RLIM_INFINITY && value.rlim_cur < least)
            least = value.rlim_cur;
    }
    return least;
}

int cmemory_is_available(size_t bytes) {
    void *piece = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (piece == MAP_FAILED) return 0;
    munmap(piece, bytes);
    return 1;
}

int cmemory_is_limited(void) {
    if (limit() != (size_t)-1) return 1;
    char mode = 0;
    int file = open("/proc/sys/vm/overcommit_memory", O_RDONLY | O_CLOEXEC);
    if (file >= 0) {
        if (read(file, &mode, 1) != 1) mode = 0;
        close(file);
    }
    return mode == '2';
}

/// - bytes: what was asked for; 0 where that is not known.
_Noreturn static void report(size_t bytes) {
    struct message message = {.length = 0};
    append(&message, "moe-tool: out of memory");
    if (bytes) {
        append(&message, ": ");
        append_size(&message, bytes);
        append(&message, " more cannot be had");
    }
    if (limit() != (size_t)-1) {
        append(&message, "; the process may map ");
        append_size(&message, limit());
        append(&message, " (ulimit -v, ulimit -d)");
    }
    append(&message, ": allow it more, or lower --threads and --memory\n");
    if (write(2, message.text, message.length) < 0) _exit(70);
    _exit(70);
}

_Noreturn void cmemory_fail(size_t bytes) {
    if (reports) report(bytes);
    struct message message = {.length = 0};
    append(&message, "fatal: out of memory: ");
    append_size(&message, bytes);
    append(&message, " more cannot be had\n");
    if (write(2, message.text, message.length) < 0) abort();
    abort();
}

static void handle(int number, siginfo_t *info, void *context) {
    (void)info;
    (void)context;
    // A piece that failed may have been larger than what is left: half the limit in use is taken for its end too.
    size_t used = 0;
    char text[64];
    int file = open("/proc/self/statm", O_RDONLY | O_CLOEXEC);
    ssize_t length = file < 0 ? 0 : read(file, text, sizeof text);
    for (ssize_t i = 0; i < length && text[i] >= '0' && text[i] <= '9'; i++) used = used * 10 + (size_t)(text[i] - '0');
    used *= (size_t)sysconf(_SC_PAGESIZE);
    if (!cmemory_is_available(scarce) || used > limit() / 2) report(0);
    // Another reason: what happens without this handler, when the fault is met again.
    for (int i = 0; i < fault_count; i++)
        if (faults[i] == number) sigaction(number, &before[i], NULL);
    if (number == SIGABRT) raise(number);
}

void cmemory_report_exhaustion(void) {
    reports = 1;
    if (!cmemory_is_limited()) return;
    // A stack of its own, for one that cannot grow any more.
    static char stack[64 << 10];
    stack_t alternate = {.ss_sp = stack, .ss_size = sizeof stack};
    sigaltstack(&alternate, NULL);
    struct sigaction action = {.sa_sigaction = handle, .sa_flags = SA_SIGINFO | SA_ONSTACK};
    sigemptyset(&action.sa_mask);
    for (int i = 0; i < fault_count; i++) sigaction(faults[i], &action, &before[i]);
}
