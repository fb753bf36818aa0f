/* BLAKE2b without a key, 16-byte digest (RFC 7693): here so that the journal's thread can hash without Python's lock. */
#ifndef PYRT_BLAKE2B_H
#define PYRT_BLAKE2B_H
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define BLAKE2B_DIGEST 16

typedef struct {
    uint64_t h[8], count; /* count: bytes compressed or buffered; 64 bits are enough here */
    size_t filled;
    unsigned char block[128];
} blake2b_t;

static const uint64_t blake2b_iv[8] = {
    0x6a09e667f3bcc908ULL, 0xbb67ae8584caa73bULL, 0x3c6ef372fe94f82bULL, 0xa54ff53a5f1d36f1ULL,
    0x510e527fade682d1ULL, 0x9b05688c2b3e6c1fULL, 0x1f83d9abfb41bd6bULL, 0x5be0cd19137e2179ULL};

static const uint8_t blake2b_sigma[12][16] = {
    {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15}, {14, 10, 4, 8, 9, 15, 13, 6, 1, 12, 0, 2, 11, 7, 5, 3},
    {11, 8, 12, 0, 5, 2, 15, 13, 10, 14, 3, 6, 7, 1, 9, 4}, {7, 9, 3, 1, 13, 12, 11, 14, 2, 6, 5, 10, 4, 0, 15, 8},
    {9, 0, 5, 7, 2, 4, 10, 15, 14, 1, 11, 12, 6, 8, 3, 13}, {2, 12, 6, 10, 0, 11, 8, 3, 4, 13, 7, 5, 15, 14, 1, 9},
    {12, 5, 1, 15, 14, 13, 4, 10, 0, 7, 6, 3, 9, 2, 8, 11}, {13, 11, 7, 14, 12, 1, 3, 9, 5, 0, 15, 4, 8, 6, 2, 10},
    {6, 15, 14, 9, 11, 3, 0, 8, 12, 2, 13, 7, 1, 4, 10, 5}, {10, 2, 8, 4, 7, 6, 1, 5, 15, 11, 9, 14, 3, 12, 13, 0},
    {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15}, {14, 10, 4, 8, 9, 15, 13, 6, 1, 12, 0, 2, 11, 7, 5, 3}};

#define BLAKE2B_ROTR(x, n) ((x) >> (n) | (x) << (64 - (n)))
#define BLAKE2B_G(a, b, c, d, x, y)                                          \
    a += b + (x), d = BLAKE2B_ROTR(d ^ a, 32), c += d, b = BLAKE2B_ROTR(b ^ c, 24), \
    a += b + (y), d = BLAKE2B_ROTR(d ^ a, 16), c += d, b = BLAKE2B_ROTR(b ^ c, 63)

static void blake2b_compress(blake2b_t *s, const unsigned char *block, int last) {
    uint64_t v[16], m[16];
    memcpy(m, block, 128); /* little-endian machines only, as the whole format */
    memcpy(v, s->h, 64);
    memcpy(v + 8, blake2b_iv, 64);
    v[12] ^= s->count;
    if (last) v[14] = ~v[14];
    for (int r = 0; r < 12; r++) {
        const uint8_t *o = blake2b_sigma[r];
        BLAKE2B_G(v[0], v[4], v[8], v[12], m[o[0]], m[o[1]]);
        BLAKE2B_G(v[1], v[5], v[9], v[13], m[o[2]], m[o[3]]);
        BLAKE2B_G(v[2], v[6], v[10], v[14], m[o[4]], m[o[5]]);
        BLAKE2B_G(v[3], v[7], v[11], v[15], m[o[6]], m[o[7]]);
        BLAKE2B_G(v[0], v[5], v[10], v[15], m[o[8]], m[o[9]]);
        BLAKE2B_G(v[1], v[6], v[11], v[12], m[o[10]], m[o[11]]);
        BLAKE2B_G(v[2], v[7], v[8], v[13], m[o[12]], m[o[13]]);
        BLAKE2B_G(v[3], v[4], v[9], v[14], m[o[14]], m[o[15]]);
    }
    for (int i = 0; i < 8; i++) s->h[i] ^= v[i] ^ v[i + 8];
}

static void blake2b_init(blake2b_t *s) {
    memset(s, 0, sizeof *s);
    memcpy(s->h, blake2b_iv, 64);
    s->h[0] ^= 0x01010000u ^ BLAKE2B_DIGEST;
}

static void blake2b_update(blake2b_t *s, const unsigned char *p, size_t n) {
    while (n) {
        if (s->filled == 128) { /* never the last block: more follows */
            s->count += 128;
            blake2b_compress(s, s->block, 0);
            s->filled = 0;
        }
        size_t take = 128 - s->filled < n ? 128 - s->filled : n;
        memcpy(s->block + s->filled, p, take);
        s->filled += take, p += take, n -= take;
    }
}

static void blake2b_digest(const blake2b_t *state, unsigned char *out) { /* the state may go on */
    blake2b_t s = *state;
    s.count += s.filled;
    memset(s.block + s.filled, 0, 128 - s.filled);
    blake2b_compress(&s, s.block, 1);
    memcpy(out, s.h, BLAKE2B_DIGEST);
}
#endif
