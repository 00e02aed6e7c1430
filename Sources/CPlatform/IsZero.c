/// The all-zero test.

#include "CPlatform.h"

#include <string.h>

#define HEAD 64

/// Once the first `HEAD` bytes are known to be zero, all are if each equals the one `HEAD` before it: the C library's
/// memcmp is vectorized for the processor at hand, and stops at the first difference.
bool vt_is_zero(const void *bytes, size_t count) {
    const uint8_t *head = bytes;
    if (count < HEAD) {
        uint8_t any = 0;
        for (size_t at = 0; at < count; at++) any |= head[at];
        return any == 0;
    }
    uint64_t any = 0;
    for (size_t at = 0; at < HEAD; at += sizeof(uint64_t)) {
        uint64_t word;
        memcpy(&word, head + at, sizeof word);
        any |= word;
    }
    return any == 0 && memcmp(head, head + HEAD, count - HEAD) == 0;
}
