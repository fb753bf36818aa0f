/* The JSON body of a new order, in the order of the adapter's keys. Numbers and ids are text that is plain JSON; the symbol may need
 * escapes, which are written. */
#include <stdint.h>
#include <string.h>

static char *copy(char *out, const char *text)
{
    size_t n = strlen(text);
    memcpy(out, text, n);
    return out + n;
}

static char *quoted(char *out, const char *text)
{
    static const char hex[] = "0123456789abcdef";
    *out++ = '"';
    for (; *text; text++) {
        unsigned char c = (unsigned char)*text;
        if (c == '"' || c == '\\') {
            *out++ = '\\';
            *out++ = (char)c;
        } else if (c < 32) {
            out = copy(out, "\\u00");
            *out++ = hex[c >> 4];
            *out++ = hex[c & 15];
        } else {
            *out++ = (char)c;
        }
    }
    *out++ = '"';
    return out;
}

/* The body of an order, n times; returns its length. */
int64_t order_bodies(char *first, int64_t n, const char *symbol, const char *qty, const char *side, const char *type, const char *tif,
                     const char *cid, const char *limit_price)
{
    char *out = first;
    while (n--) {                                   /* each at the same place */
        out = quoted(copy(first, "{\"symbol\":"), symbol);
        out = quoted(copy(out, ",\"qty\":"), qty);
        out = quoted(copy(out, ",\"side\":"), side);
        out = quoted(copy(out, ",\"type\":"), type);
        out = quoted(copy(out, ",\"time_in_force\":"), tif);
        out = quoted(copy(out, ",\"client_order_id\":"), cid);
        if (*limit_price)
            out = quoted(copy(out, ",\"limit_price\":"), limit_price);
        *out++ = '}';
        __asm__ volatile("" : : "r"(first) : "memory");      /* each body is really written */
    }
    return out - first;
}
