/// Locks between writers.

#define _GNU_SOURCE
#include "CPlatform.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

int vt_lock_exclusive(int file) {
    // Length 0 reaches to the end of any file, however far it grows; an OFD lock insists on process 0.
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = 0, .l_len = 0, .l_pid = 0};
    if (fcntl(file, F_OFD_SETLK, &lock) == 0) return 0;
    // POSIX lets a refused lock be either.
    return errno == EACCES ? -EAGAIN : -errno;
}
