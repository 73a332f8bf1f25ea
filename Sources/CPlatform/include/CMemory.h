#ifndef CMEMORY_H
#define CMEMORY_H

#include <stddef.h>

// The end of memory, where nothing can be thrown: an allocation of Swift's or the C library's that fails, and BLAS, which asks
// for its buffers again and again until it gets them.

/// Says that there is no memory for `bytes` more, and ends the process: with exit code 70 where `cmemory_report_exhaustion`
/// was called, else by abort.
_Noreturn void cmemory_fail(size_t bytes);

/// Has the process end with a message and exit code 70 where it would crash for want of memory; a crash that has another
/// reason stays one. Where memory has no limit but the machine's, nothing is changed.
void cmemory_report_exhaustion(void);

/// Whether the process may map less memory than the machine has: by `ulimit -v` or `-d`, or where the system grants no
/// more than it has.
int cmemory_is_limited(void);

/// Whether a piece of memory of so many bytes can be had.
int cmemory_is_available(size_t bytes);

#endif
