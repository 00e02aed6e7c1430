/// CRC-32C: the choice of an implementation, and the one that runs anywhere.

#include "CRC32C.h"
#include "CPlatform.h"

#include <pthread.h>
#include <string.h>

/// The polynomial, bit-reflected.
#define POLYNOMIAL 0x82F63B78u
#define SLICES 8

/// `tables[k][b]` is the remainder of byte `b` followed by `k` zero bytes.
static uint32_t tables[SLICES][256];
static pthread_once_t tables_once = PTHREAD_ONCE_INIT;

static void make_tables(void) {
    for (uint32_t byte = 0; byte < 256; byte++) {
        uint32_t remainder = byte;
        for (int bit = 0; bit < 8; bit++) remainder = remainder >> 1 ^ (remainder & 1 ? POLYNOMIAL : 0);
        tables[0][byte] = remainder;
    }
    for (int slice = 1; slice < SLICES; slice++) {
        for (int byte = 0; byte < 256; byte++) {
            uint32_t before = tables[slice - 1][byte];
            tables[slice][byte] = before >> 8 ^ tables[0][before & 0xFF];
        }
    }
}

static uint64_t load_little_endian(const uint8_t *bytes) {
    uint64_t word;
    memcpy(&word, bytes, sizeof word);
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
    word = __builtin_bswap64(word);
#endif
    return word;
}

uint32_t crc32c_portable(uint32_t remainder, const uint8_t *bytes, size_t count) {
    pthread_once(&tables_once, make_tables);
    for (; count >= SLICES; bytes += SLICES, count -= SLICES) {
        uint64_t word = load_little_endian(bytes) ^ remainder;
        remainder = 0;
        for (int slice = 0; slice < SLICES; slice++) {
            remainder ^= tables[SLICES - 1 - slice][word >> (8 * slice) & 0xFF];
        }
    }
    for (; count > 0; bytes++, count--) remainder = remainder >> 8 ^ tables[0][(remainder ^ *bytes) & 0xFF];
    return remainder;
}

/// What this processor can run, slowest first.
static struct {
    const char *name;
    crc32c_function *function;
} methods[3] = {{"portable", crc32c_portable}};
static size_t method_count = 1;
static crc32c_function *best = crc32c_portable;

static void add_method(const char *name, crc32c_function *function) {
    methods[method_count].name = name;
    methods[method_count].function = function;
    method_count++;
    best = function;
}

/// Runs before any thread can ask for a CRC, so that the choice needs no lock.
__attribute__((constructor)) static void find_methods(void) {
#if defined(__x86_64__)
    __builtin_cpu_init();
    if (!__builtin_cpu_supports("sse4.2") || !__builtin_cpu_supports("pclmul")) return;
    add_method("sse4.2", crc32c_streams);
    if (!__builtin_cpu_supports("avx512f") || !__builtin_cpu_supports("vpclmulqdq")) return;
    add_method("vpclmulqdq", crc32c_fold);
#elif defined(__aarch64__) && defined(__ARM_FEATURE_CRC32)
    add_method("arm", crc32c_arm);
#endif
}

uint32_t vt_crc32c(uint32_t crc, const void *bytes, size_t count) {
    return ~best(~crc, bytes, count);
}

const char *vt_crc32c_method(size_t method) {
    return method < method_count ? methods[method].name : NULL;
}

uint32_t vt_crc32c_with(size_t method, uint32_t crc, const void *bytes, size_t count) {
    return ~methods[method].function(~crc, bytes, count);
}
