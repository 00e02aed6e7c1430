/// CRC-32C with x86's CRC32 and carry-less multiplication instructions.
///
/// Numbers below are polynomials over GF(2), bit-reflected: the lowest bit is the highest power of x. P is CRC-32C's
/// polynomial, 0x1EDC6F41 unreflected. The carry-less product of two reflected numbers comes out one bit lower than the
/// reflection of the product, that is, multiplied by one more x; the exponents of the constants make up for it.

#include "CRC32C.h"

#if defined(__x86_64__)

#include <immintrin.h>
#include <string.h>

#define STREAMS __attribute__((target("sse4.2,pclmul")))
#define FOLD __attribute__((target("avx512f,vpclmulqdq,sse4.2,pclmul")))

static inline uint64_t load(const uint8_t *bytes) {
    uint64_t word;
    memcpy(&word, bytes, sizeof word);
    return word;
}

STREAMS static uint32_t one_stream(uint32_t remainder, const uint8_t *bytes, size_t count) {
    uint64_t wide = remainder;
    for (; count >= 8; bytes += 8, count -= 8) wide = _mm_crc32_u64(wide, load(bytes));
    remainder = (uint32_t)wide;
    for (; count > 0; bytes++, count--) remainder = _mm_crc32_u8(remainder, *bytes);
    return remainder;
}

/// `remainder` moved up by as many bytes as `constant` stands for, not yet reduced: to be taken through a CRC32
/// instruction, which multiplies by x^32.
STREAMS static inline uint64_t move_up(uint64_t remainder, uint32_t constant) {
    __m128i factor = _mm_cvtsi64_si128((long long)remainder);
    return (uint64_t)_mm_cvtsi128_si64(_mm_clmulepi64_si128(factor, _mm_cvtsi32_si128((int)constant), 0));
}

/// Three neighbouring stretches of `length` bytes side by side: the CRC32 instruction takes three cycles, but one can
/// start every cycle. `by_one` and `by_two` are x^(8n-33) mod P, for n of one and two lengths.
STREAMS static inline uint32_t
three_streams(uint32_t remainder, const uint8_t *bytes, size_t length, uint32_t by_one, uint32_t by_two) {
    uint64_t first = remainder, second = 0, third = 0;
    for (size_t at = 0; at < length; at += 8) {
        first = _mm_crc32_u64(first, load(bytes + at));
        second = _mm_crc32_u64(second, load(bytes + length + at));
        third = _mm_crc32_u64(third, load(bytes + 2 * length + at));
    }
    return (uint32_t)(_mm_crc32_u64(0, move_up(first, by_two) ^ move_up(second, by_one)) ^ third);
}

STREAMS uint32_t crc32c_streams(uint32_t remainder, const uint8_t *bytes, size_t count) {
    for (; count >= 3 * 1024; bytes += 3 * 1024, count -= 3 * 1024) {
        remainder = three_streams(remainder, bytes, 1024, 0x170076FA, 0xA51B6135);
    }
    for (; count >= 3 * 128; bytes += 3 * 128, count -= 3 * 128) {
        remainder = three_streams(remainder, bytes, 128, 0x0D3B6092, 0xB9E02B86);
    }
    return one_stream(remainder, bytes, count);
}

/// `low` and `high` are x^(d+63) and x^(d-1) mod P, for moving each 128-bit lane up by d bits. The low half of a lane
/// is the one with the higher powers.
FOLD static inline __m512i fold_constant(uint32_t low, uint32_t high) {
    return _mm512_set4_epi32((int)high, 0, (int)low, 0);
}

/// `lanes`, each moved up, plus `next`.
FOLD static inline __m512i fold(__m512i lanes, __m512i constant, __m512i next) {
    __m512i low = _mm512_clmulepi64_epi128(lanes, constant, 0x00);
    __m512i high = _mm512_clmulepi64_epi128(lanes, constant, 0x11);
    return _mm512_ternarylogic_epi64(low, high, next, 0x96);
}

FOLD static inline __m128i fold_lane(__m128i lane, __m512i constant, __m128i next) {
    __m128i multiplier = _mm512_castsi512_si128(constant);
    __m128i low = _mm_clmulepi64_si128(lane, multiplier, 0x00);
    __m128i high = _mm_clmulepi64_si128(lane, multiplier, 0x11);
    return _mm_xor_si128(_mm_xor_si128(low, high), next);
}

FOLD uint32_t crc32c_fold(uint32_t remainder, const uint8_t *bytes, size_t count) {
    if (count < 512) return crc32c_streams(remainder, bytes, count);

    const __m512i by_2048_bits = fold_constant(0xE9A5D8BE, 0x1426A815);
    const __m512i by_512_bits = fold_constant(0x1C19243B, 0x75BBA45B);
    const __m512i by_128_bits = fold_constant(0x3743F7BD, 0x3171D430);

    __m512i state[4];
    for (int at = 0; at < 4; at++) state[at] = _mm512_loadu_si512(bytes + 64 * at);
    state[0] = _mm512_xor_si512(state[0], _mm512_zextsi128_si512(_mm_cvtsi32_si128((int)remainder)));
    for (bytes += 256, count -= 256; count >= 256; bytes += 256, count -= 256) {
        for (int at = 0; at < 4; at++) {
            state[at] = fold(state[at], by_2048_bits, _mm512_loadu_si512(bytes + 64 * at));
        }
    }

    __m512i all = state[0];
    for (int at = 1; at < 4; at++) all = fold(all, by_512_bits, state[at]);
    for (; count >= 64; bytes += 64, count -= 64) all = fold(all, by_512_bits, _mm512_loadu_si512(bytes));

    __m128i lane = _mm512_extracti32x4_epi32(all, 0);
    lane = fold_lane(lane, by_128_bits, _mm512_extracti32x4_epi32(all, 1));
    lane = fold_lane(lane, by_128_bits, _mm512_extracti32x4_epi32(all, 2));
    lane = fold_lane(lane, by_128_bits, _mm512_extracti32x4_epi32(all, 3));

    uint64_t reduced = _mm_crc32_u64(0, (uint64_t)_mm_extract_epi64(lane, 0));
    reduced = _mm_crc32_u64(reduced, (uint64_t)_mm_extract_epi64(lane, 1));
    return one_stream((uint32_t)reduced, bytes, count);
}

#endif
