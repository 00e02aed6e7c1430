/// Fetching memory ahead of its use.

#include "CPlatform.h"

#define LINE 64

#if defined(__x86_64__)
// Without the target the compiler fetches for reading; processors that do not know the instruction pass over it.
__attribute__((target("prfchw")))
#endif
void vt_fetch_for_writing(const void *bytes, size_t count) {
    const char *start = bytes;
    for (size_t at = 0; at < count; at += LINE) __builtin_prefetch(start + at, 1, 3);
}
