/// Which parts of a file have storage: changing it and asking for it.

#define _GNU_SOURCE
#include "CPlatform.h"
#include "Offset.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

/// Doing something to no bytes is no error here, as it is to the kernel.
static int change(int file, int mode, uint64_t offset, uint64_t count) {
    if (!fits_offset(offset, count)) return -EINVAL;
    if (count == 0) return 0;
    int result;
    do result = fallocate(file, mode, (off_t)offset, (off_t)count);
    while (result < 0 && errno == EINTR);
    return result < 0 ? -errno : 0;
}

int vt_punch_hole(int file, uint64_t offset, uint64_t count) {
    return change(file, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, offset, count);
}

/// Keeps the storage where the file system knows how (ext4, xfs), or else gives it up (tmpfs, older btrfs).
int vt_zero_range(int file, uint64_t offset, uint64_t count) {
    int result = change(file, FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE, offset, count);
    return result == -EOPNOTSUPP ? vt_punch_hole(file, offset, count) : result;
}

int vt_preallocate(int file, uint64_t offset, uint64_t count) {
    return change(file, FALLOC_FL_KEEP_SIZE, offset, count);
}

static int64_t seek(int file, uint64_t offset, int whence) {
    // Past all files' ends.
    if (!fits_offset(offset, 0)) return -ENXIO;
    off_t found = lseek(file, (off_t)offset, whence);
    return found < 0 ? -errno : found;
}

int64_t vt_seek_data(int file, uint64_t offset) {
    return seek(file, offset, SEEK_DATA);
}

int64_t vt_seek_hole(int file, uint64_t offset) {
    return seek(file, offset, SEEK_HOLE);
}
