/* Money: 128-bit integers in units of 1e-18 of a currency. px (1e-9) * qty (10^-k) * scale = money exactly,
 * with scale = multiplier * 10^(9-k). Nothing here wraps: what does not fit is reported. */
#ifndef PYRT_MONEY_H
#define PYRT_MONEY_H
#include <stdbool.h>
#include "records.h"

static inline i128 i128_of(int64_t hi, uint64_t lo) { return (i128)(((u128)(uint64_t)hi << 64) | lo); }
static inline int64_t i128_hi(i128 x) { return (int64_t)((u128)x >> 64); }
static inline uint64_t i128_lo(i128 x) { return (uint64_t)x; }
static inline i128 i128_abs(i128 x) { return x < 0 ? -x : x; }
static inline i128 i128_max(i128 a, i128 b) { return a > b ? a : b; }
static inline i128 i128_min(i128 a, i128 b) { return a < b ? a : b; }
static inline bool fits_i64(i128 x) { return x >= INT64_MIN && x <= INT64_MAX; }

/* a + b; false when it does not fit (out then holds the wrapped value and must not be used). */
static inline bool money_add(i128 a, i128 b, i128 *out) { return !__builtin_add_overflow(a, b, out); }

/* px * qty * scale; false when it does not fit. px * scale always does. */
static inline bool money_of(int64_t px, i128 qty, int64_t scale, i128 *out) {
    i128 unit = (i128)px * scale;
    if (fits_i64(unit) && fits_i64(qty)) {           /* nearly always: one multiplication */
        *out = (i128)(int64_t)unit * (int64_t)qty;
        return true;
    }
    return !__builtin_mul_overflow(unit, qty, out);
}

/* floor(cost * part / whole) toward minus infinity, 0 <= part <= whole, whole > 0; the product has up to 191 bits. */
static inline i128 money_share(i128 cost, uint64_t part, uint64_t whole) {
    u128 m = cost < 0 ? -(u128)cost : (u128)cost;
    u128 low = (u128)(uint64_t)m * part;
    u128 high = (u128)(uint64_t)(m >> 64) * part + (low >> 64);
    u128 rest = high % whole;                        /* the high words, then one more 64-bit word */
    u128 q = (high / whole) << 64;                   /* fits: part <= whole, so the result is not above |cost| */
    u128 tail = (rest << 64) | (uint64_t)low;
    q += tail / whole;
    if (cost < 0) return -(i128)(q + (tail % whole != 0));
    return (i128)q;
}

/* px * (10000 + bps) / 10000, rounded up (away from a buyer) or down; saturates at the ends of int64. */
static inline int64_t px_widen(int64_t px, int64_t bps, bool up) {
    i128 n = (i128)px * (10000 + bps);
    i128 q = n / 10000;
    if (n % 10000 != 0) { if (up && n > 0) q++; else if (!up && n < 0) q--; }
    return q > INT64_MAX ? INT64_MAX : q < INT64_MIN ? INT64_MIN : (int64_t)q;
}
#endif
