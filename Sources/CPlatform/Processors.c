#define _GNU_SOURCE
#include "CPlatform.h"

#include <errno.h>
#include <sched.h>

int vt_usable_processor_count(void) {
    cpu_set_t allowed;
    if (sched_getaffinity(0, sizeof allowed, &allowed) != 0) return -errno;
    return CPU_COUNT(&allowed);
}
