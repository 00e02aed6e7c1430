/// Renaming, and files without a name.

#define _GNU_SOURCE
#include "CPlatform.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

int vt_rename_new(const char *from, const char *to) {
    return renameat2(AT_FDCWD, from, AT_FDCWD, to, RENAME_NOREPLACE) < 0 ? -errno : 0;
}

int vt_open_unnamed(const char *folder, unsigned permissions) {
    int file = open(folder, O_TMPFILE | O_RDWR | O_CLOEXEC, (mode_t)permissions);
    return file < 0 ? -errno : file;
}

/// The way that needs no privilege: through the link in /proc.
static void own_link(int file, char path[32]) { snprintf(path, 32, "/proc/self/fd/%d", file); }

bool vt_can_be_named(int file) {
    char link[32];
    own_link(file, link);
    return access(link, F_OK) == 0;
}

int vt_give_name(int file, const char *path) {
    char link[32];
    own_link(file, link);
    return linkat(AT_FDCWD, link, AT_FDCWD, path, AT_SYMLINK_FOLLOW) < 0 ? -errno : 0;
}
