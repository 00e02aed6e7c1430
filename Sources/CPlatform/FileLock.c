/// Locks between writers.

#define _GNU_SOURCE
#include "CPlatform.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

static int set_lock(int file, short type) {
    // Length 0 reaches to the end of any file, however far it grows; an OFD lock insists on process 0.
    struct flock lock = {.l_type = type, .l_whence = SEEK_SET, .l_start = 0, .l_len = 0, .l_pid = 0};
    return fcntl(file, F_OFD_SETLK, &lock);
}

int vt_lock_exclusive(int file) {
    if (set_lock(file, F_WRLCK) == 0) return 0;
    // POSIX lets a refused lock be either.
    return errno == EACCES ? -EAGAIN : -errno;
}

int vt_unlock(int file) {
    return set_lock(file, F_UNLCK) == 0 ? 0 : -errno;
}
