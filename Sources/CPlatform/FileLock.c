/// Locks between writers.

#define _GNU_SOURCE
#include "CPlatform.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

// Length 0 reaches to the end of any file, however far it grows; an OFD lock insists on process 0.
static struct flock make_lock(short type, off_t start, off_t count) {
    return (struct flock){.l_type = type, .l_whence = SEEK_SET, .l_start = start, .l_len = count, .l_pid = 0};
}

static int set_lock(int file, short type, off_t start, off_t count) {
    struct flock lock = make_lock(type, start, count);
    if (fcntl(file, F_OFD_SETLK, &lock) == 0) return 0;
    // POSIX lets a refused lock be either.
    return errno == EACCES ? -EAGAIN : -errno;
}

int vt_lock_exclusive(int file) {
    return set_lock(file, F_WRLCK, 0, 0);
}

// qemu's locks are shared ones on single bytes: 100 + n says that it does a thing, 200 + n that nobody else may. Thing 1 is
// writing, 3 is changing the size.
static const off_t writer_bytes[] = {101, 103};
static const off_t kept_bytes[] = {0, 201, 203};

int vt_lock_shared(int file) {
    int result = 0;
    for (size_t i = 0; i < sizeof kept_bytes / sizeof *kept_bytes && result == 0; i++)
        result = set_lock(file, F_RDLCK, kept_bytes[i], 1);
    for (size_t i = 0; i < sizeof writer_bytes / sizeof *writer_bytes && result == 0; i++) {
        struct flock lock = make_lock(F_WRLCK, writer_bytes[i], 1);
        if (fcntl(file, F_OFD_GETLK, &lock) != 0) result = -errno;
        else if (lock.l_type != F_UNLCK) result = -EAGAIN;
    }
    if (result != 0) vt_unlock(file);
    return result;
}

int vt_unlock(int file) {
    return set_lock(file, F_UNLCK, 0, 0);
}
