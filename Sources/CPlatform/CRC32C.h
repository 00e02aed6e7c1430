/// The implementations among which CRC32C.c chooses.
///
/// All of them take and give the raw remainder: the inversions at both ends are the caller's.
#ifndef VHDTOOLS_CRC32C_H
#define VHDTOOLS_CRC32C_H

#include <stddef.h>
#include <stdint.h>

typedef uint32_t crc32c_function(uint32_t remainder, const uint8_t *bytes, size_t count);

crc32c_function crc32c_portable;

#if defined(__x86_64__)
/// Needs SSE4.2 and PCLMULQDQ.
crc32c_function crc32c_streams;
/// Needs AVX-512F, VPCLMULQDQ and what `crc32c_streams` needs.
crc32c_function crc32c_fold;
#elif defined(__aarch64__) && defined(__ARM_FEATURE_CRC32)
crc32c_function crc32c_arm;
#endif

#endif
