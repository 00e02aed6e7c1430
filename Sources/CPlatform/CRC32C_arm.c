/// CRC-32C with ARMv8's CRC32 instructions, where the compiler may assume them.

#include "CRC32C.h"

#if defined(__aarch64__) && defined(__ARM_FEATURE_CRC32)

#include <arm_acle.h>
#include <string.h>

uint32_t crc32c_arm(uint32_t remainder, const uint8_t *bytes, size_t count) {
    for (; count >= 8; bytes += 8, count -= 8) {
        uint64_t word;
        memcpy(&word, bytes, sizeof word);
        remainder = __crc32cd(remainder, word);
    }
    for (; count > 0; bytes++, count--) remainder = __crc32cb(remainder, *bytes);
    return remainder;
}

#endif
