/* CRC-32C (Castagnoli, reflected polynomial 0x82F63B78; RFC 3720 appendix B.4).
 * The processor's own instruction where it has one, found at run time; else eight table look-ups for eight bytes. */
#ifndef PYRT_CRC32C_H
#define PYRT_CRC32C_H
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#if defined(__x86_64__)
#include <nmmintrin.h>
#elif defined(__ARM_FEATURE_CRC32)
#include <arm_acle.h>
#endif

typedef uint32_t (*crc32c_t)(uint32_t crc, const unsigned char *p, size_t n);

static uint32_t crc32c_table[8][256];

static inline uint64_t crc32c_word(const unsigned char *p) {
    uint64_t w;
    memcpy(&w, p, 8);
    return w;
}

static uint32_t crc32c_soft(uint32_t crc, const unsigned char *p, size_t n) {
    const uint32_t(*t)[256] = (const uint32_t(*)[256])crc32c_table;
    crc = ~crc;
    for (; n >= 8; n -= 8, p += 8) {
        uint64_t w = crc32c_word(p) ^ crc;
        crc = t[7][w & 255] ^ t[6][w >> 8 & 255] ^ t[5][w >> 16 & 255] ^ t[4][w >> 24 & 255] ^
              t[3][w >> 32 & 255] ^ t[2][w >> 40 & 255] ^ t[1][w >> 48 & 255] ^ t[0][w >> 56];
    }
    for (; n; n--) crc = t[0][(crc ^ *p++) & 255] ^ crc >> 8;
    return ~crc;
}

#if defined(__x86_64__)
__attribute__((target("sse4.2"))) static uint32_t crc32c_hard(uint32_t crc, const unsigned char *p, size_t n) {
    uint64_t c = (uint32_t)~crc;
    for (; n >= 8; n -= 8, p += 8) c = _mm_crc32_u64(c, crc32c_word(p));
    for (; n; n--) c = _mm_crc32_u8((uint32_t)c, *p++);
    return ~(uint32_t)c;
}
#elif defined(__ARM_FEATURE_CRC32)
static uint32_t crc32c_hard(uint32_t crc, const unsigned char *p, size_t n) {
    crc = ~crc;
    for (; n >= 8; n -= 8, p += 8) crc = __crc32cd(crc, crc32c_word(p));
    for (; n; n--) crc = __crc32cb(crc, *p++);
    return ~crc;
}
#endif

static crc32c_t crc32c = crc32c_soft;

/* Once, before first use. */
static void crc32c_init(void) {
    for (uint32_t i = 0; i < 256; i++) {
        uint32_t c = i;
        for (int k = 0; k < 8; k++) c = c & 1 ? c >> 1 ^ 0x82F63B78u : c >> 1;
        crc32c_table[0][i] = c;
    }
    for (int k = 1; k < 8; k++)
        for (int i = 0; i < 256; i++)
            crc32c_table[k][i] = crc32c_table[0][crc32c_table[k - 1][i] & 255] ^ crc32c_table[k - 1][i] >> 8;
#if defined(__x86_64__)
    if (__builtin_cpu_supports("sse4.2")) crc32c = crc32c_hard;
#elif defined(__ARM_FEATURE_CRC32)
    crc32c = crc32c_hard;
#endif
}
#endif
