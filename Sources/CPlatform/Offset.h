/// Offsets and counts of this module are unsigned, the kernel's are signed.
#ifndef VHDTOOLS_OFFSET_H
#define VHDTOOLS_OFFSET_H

#include <stdbool.h>
#include <stdint.h>

/// Whether `offset ... offset + count` are all offsets that the kernel can be told.
static inline bool fits_offset(uint64_t offset, uint64_t count) {
    return offset <= INT64_MAX && count <= INT64_MAX - offset;
}

#endif
