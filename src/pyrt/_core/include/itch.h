/* ITCH 5.0: how long each message is, by its letter, and numbers as they stand on the wire. */
#ifndef PYRT_ITCH_H
#define PYRT_ITCH_H
#include <stdint.h>
#include <string.h>

/* 0 = no such message */
static const uint8_t pyrt_itch_lengths[256] = {
    ['S'] = 12, ['R'] = 39, ['H'] = 25, ['Y'] = 20, ['L'] = 26, ['V'] = 35, ['W'] = 12, ['K'] = 28, ['J'] = 35, ['h'] = 21,
    ['A'] = 36, ['F'] = 40, ['E'] = 31, ['C'] = 36, ['X'] = 23, ['D'] = 19, ['U'] = 35, ['P'] = 44, ['Q'] = 40, ['B'] = 19,
    ['I'] = 50, ['N'] = 20, ['O'] = 48};

static inline uint16_t pyrt_two(const uint8_t *p) { uint16_t v; memcpy(&v, p, 2); return __builtin_bswap16(v); }
static inline uint32_t pyrt_four(const uint8_t *p) { uint32_t v; memcpy(&v, p, 4); return __builtin_bswap32(v); }
static inline uint64_t pyrt_eight(const uint8_t *p) { uint64_t v; memcpy(&v, p, 8); return __builtin_bswap64(v); }
#endif
