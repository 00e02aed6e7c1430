/// Copies between files that need not pass through this process.
///
/// A signal does not end them, and they go on after a short transfer, so that a count smaller than asked means the end
/// of the source, or an error that the next call reports.

#define _GNU_SOURCE
#include "CPlatform.h"
#include "Offset.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/sendfile.h>
#include <unistd.h>

/// Most bytes that one call of the kernel transfers: its limit, in whole pages.
#define MOST 0x7FFFF000u

static size_t piece(uint64_t count) {
    return count < MOST ? count : MOST;
}

int vt_clone_range(int target, uint64_t target_offset, int source, uint64_t source_offset, uint64_t count) {
    // To the kernel, no bytes are all bytes up to the end of the source.
    if (count == 0) return 0;
    struct file_clone_range range = {
        .src_fd = source, .src_offset = source_offset, .src_length = count, .dest_offset = target_offset};
    int result;
    do result = ioctl(target, FICLONERANGE, &range);
    while (result < 0 && errno == EINTR);
    return result < 0 ? -errno : 0;
}

int64_t vt_copy_range(int target, uint64_t target_offset, int source, uint64_t source_offset, uint64_t count) {
    if (!fits_offset(target_offset, count) || !fits_offset(source_offset, count)) return -EINVAL;
    off64_t from = (off64_t)source_offset, to = (off64_t)target_offset;
    uint64_t done = 0;
    while (done < count) {
        ssize_t copied = copy_file_range(source, &from, target, &to, piece(count - done), 0);
        if (copied < 0 && errno == EINTR) continue;
        if (copied < 0 && done == 0) return -errno;
        if (copied <= 0) break;
        done += (uint64_t)copied;
    }
    return (int64_t)done;
}

int64_t vt_pipe_size(int pipe) {
    int size = fcntl(pipe, F_GETPIPE_SZ);
    return size < 0 ? -errno : size;
}

int64_t vt_send_file(int target, int source, uint64_t source_offset, uint64_t count) {
    if (!fits_offset(source_offset, count)) return -EINVAL;
    off64_t from = (off64_t)source_offset;
    uint64_t done = 0;
    while (done < count) {
        ssize_t sent = sendfile64(target, source, &from, piece(count - done));
        if (sent < 0 && errno == EINTR) continue;
        if (sent < 0 && done == 0) return -errno;
        if (sent <= 0) break;
        done += (uint64_t)sent;
    }
    return (int64_t)done;
}
