/* A fixed amount of dependent arithmetic: how long it takes tells what else the machine does. */
#include <stdint.h>

uint64_t spin(uint64_t n)
{
    uint64_t x = 88172645463325252u;
    while (n--) {
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
    }
    return x;
}
