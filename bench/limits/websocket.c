/* Receive frames from a socket and look at the first byte of each payload: read as much as there is, walk the heads. */
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>

enum { ROOM = 1 << 18 };

/* Ask (one masked byte) and receive n frames; the sum of the first bytes, or -1 where the connection ended. */
int64_t receive(int fd, int64_t n)
{
    static uint8_t buffer[ROOM + 16];
    static const uint8_t ask[] = {0x82, 0x81, 0, 0, 0, 0, 1};
    int64_t sum = 0;
    uint64_t have = 0;
    if (send(fd, ask, sizeof ask, 0) != (int64_t)sizeof ask)
        return -1;
    while (n) {
        int64_t got = recv(fd, buffer + have, ROOM - have, 0);
        if (got <= 0)
            return -1;
        have += got;
        uint64_t at = 0;
        while (n && have - at >= 2) {
            uint64_t length = buffer[at + 1], head = 2;
            if (length >= 126) {                     /* a server's frame has no mask; lengths of eight bytes are not met */
                if (length != 126)
                    return -1;
                if (have - at < 4)
                    break;
                length = (uint64_t)buffer[at + 2] << 8 | buffer[at + 3];
                head = 4;
            }
            if (have - at < head + length)
                break;
            if ((buffer[at] & 0x8f) == 0x82 && length)
                sum += buffer[at + head];
            at += head + length;
            n--;
        }
        memmove(buffer, buffer + at, have - at);
        have -= at;
    }
    return sum;
}
