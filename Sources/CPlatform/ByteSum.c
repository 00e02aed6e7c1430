/// The sum of all bytes: the checksum of VHD and HRL structures before they complement it.

#include "CPlatform.h"

#include <string.h>

typedef uint32_t byte_sum_function(const uint8_t *bytes, size_t count);

/// Words a round: a 16-bit lane takes two bytes of each, at most 510, so that 128 still fit.
#define ROUND 128

static uint32_t byte_sum_portable(const uint8_t *bytes, size_t count) {
    const uint64_t even = 0x00FF00FF00FF00FF;
    uint32_t sum = 0;
    while (count >= sizeof(uint64_t)) {
        size_t words = count / sizeof(uint64_t);
        if (words > ROUND) words = ROUND;
        uint64_t lanes = 0;
        for (size_t at = 0; at < words; at++) {
            uint64_t word;
            memcpy(&word, bytes + at * sizeof word, sizeof word);
            lanes += (word & even) + (word >> 8 & even);
        }
        for (; lanes != 0; lanes >>= 16) sum += lanes & 0xFFFF;
        bytes += words * sizeof(uint64_t);
        count -= words * sizeof(uint64_t);
    }
    for (; count > 0; bytes++, count--) sum += *bytes;
    return sum;
}

#if defined(__x86_64__)
#include <immintrin.h>

__attribute__((target("avx2"))) static uint32_t byte_sum_avx2(const uint8_t *bytes, size_t count) {
    const __m256i zero = _mm256_setzero_si256();
    __m256i sums[4] = {zero, zero, zero, zero};
    for (; count >= 128; bytes += 128, count -= 128) {
        for (int at = 0; at < 4; at++) {
            __m256i piece = _mm256_loadu_si256((const __m256i *)(bytes + 32 * at));
            sums[at] = _mm256_add_epi64(sums[at], _mm256_sad_epu8(piece, zero));
        }
    }
    for (; count >= 32; bytes += 32, count -= 32) {
        __m256i piece = _mm256_loadu_si256((const __m256i *)bytes);
        sums[0] = _mm256_add_epi64(sums[0], _mm256_sad_epu8(piece, zero));
    }
    __m256i all = _mm256_add_epi64(_mm256_add_epi64(sums[0], sums[1]), _mm256_add_epi64(sums[2], sums[3]));
    uint64_t lanes[4];
    _mm256_storeu_si256((__m256i *)lanes, all);
    return (uint32_t)(lanes[0] + lanes[1] + lanes[2] + lanes[3]) + byte_sum_portable(bytes, count);
}
#endif

static byte_sum_function *best = byte_sum_portable;

/// Runs before any thread can ask for a sum, so that the choice needs no lock.
__attribute__((constructor)) static void choose(void) {
#if defined(__x86_64__)
    __builtin_cpu_init();
    if (__builtin_cpu_supports("avx2")) best = byte_sum_avx2;
#endif
}

uint32_t vt_byte_sum(const void *bytes, size_t count) {
    return best(bytes, count);
}

uint32_t vt_byte_sum_portable(const void *bytes, size_t count) {
    return byte_sum_portable(bytes, count);
}
