#ifndef CPLATFORM_H
#define CPLATFORM_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

// Calls that Glibc hides from Swift (they need _GNU_SOURCE), each with the meaning of the call it is named for.

/// renameat2(AT_FDCWD, from, AT_FDCWD, to, RENAME_NOREPLACE).
int cplatform_rename_noreplace(const char *from, const char *to);
/// renameat2(AT_FDCWD, from, AT_FDCWD, to, RENAME_EXCHANGE).
int cplatform_rename_exchange(const char *from, const char *to);
/// fallocate(fd, 0, 0, length).
int cplatform_fallocate(int fd, off_t length);
/// sync_file_range with SYNC_FILE_RANGE_WRITE; with `wait`, until the range is written.
int cplatform_sync_range(int fd, off_t offset, off_t length, int wait);

/// IEEE half precision at any alignment to single; exact.
void cplatform_f16_to_f32(const void *from, float *to, size_t count);
/// Single precision to IEEE half, to nearest even; NaN stays NaN, too large becomes infinite.
void cplatform_f32_to_f16(const float *from, void *to, size_t count);

#endif
