"""What an order is called and what is sent of it, as text."""
from cpython.bytes cimport PyBytes_FromStringAndSize
from cpython.unicode cimport PyUnicode_DecodeASCII
from libc.stdint cimport uint64_t
from libc.string cimport memcpy, strlen


cdef extern from "Python.h":
    const char* PyUnicode_AsUTF8AndSize(object text, Py_ssize_t* n) except NULL


cdef enum:
    PRIME = 1021                       # below 32 * 32
    WEIGHT = 10                        # a primitive root of it
    MOST_TEXT = 64                     # bytes of one value of a body; longer ones are left to the encoder

cdef const char** NAMES = [            # of the values, in their order
    '"symbol":"', '"qty":"', '"side":"', '"type":"', '"time_in_force":"', '"client_order_id":"', '"limit_price":"', '"stop_price":"',
]
cdef const char* ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"


cdef int cid_check(int remainder, const char* digits, Py_ssize_t n) noexcept nogil:
    cdef Py_ssize_t i
    for i in range(n):
        remainder = (remainder * WEIGHT + digits[i]) % PRIME
    return remainder * WEIGHT % PRIME


cdef Py_ssize_t cid_digits(uint64_t number, char* out) noexcept nogil:
    cdef char reversed_[13]
    cdef Py_ssize_t n = 0, i
    while number:
        reversed_[n] = ALPHABET[number & 31]
        number >>= 5
        n += 1
    for i in range(n):
        out[i] = reversed_[n - 1 - i]
    return n


cdef Py_ssize_t put_tail(char* out, uint64_t number, int remainder) noexcept nogil:
    cdef Py_ssize_t n = cid_digits(number, out)
    cdef int check = cid_check(remainder, out, n)
    out[n], out[n + 1], out[n + 2] = b'-', ALPHABET[check // 32], ALPHABET[check % 32]
    return n + 3


def cid_tail(uint64_t number, int remainder):
    """`<number in base 32>-<check>`; remainder: that of what comes before it. See execution.cid."""
    cdef char text[TAIL]
    return PyUnicode_DecodeASCII(text, put_tail(text, number, remainder), NULL)


cdef char* put_body(char* out, const text_t* values) noexcept nogil:
    cdef Py_ssize_t i, j, n
    cdef unsigned char c
    for i in range(VALUES):
        n = values[i].n
        if n > MOST_TEXT:
            return NULL
        if n == 0 and i >= PRICES:
            continue
        out[0] = b',' if i else b'{'
        n = strlen(NAMES[i])
        memcpy(out + 1, NAMES[i], n)
        out += n + 1
        n = values[i].n
        for j in range(n):
            c = values[i].at[j]
            if c < 32 or c > 126 or c == b'"' or c == b'\\':
                return NULL
            out[j] = c
        out[n] = b'"'
        out += n + 1
    out[0] = b'}'
    return out + 1


def plain_body(str symbol not None, str qty not None, str side not None, str kind not None, str tif not None, str cid not None,
               str limit_price not None, str stop_price not None):
    """The JSON body of an order that has nothing but these; None where a value needs escapes, which the encoder then writes."""
    cdef text_t values[VALUES]
    cdef char text[VALUES * (MOST_TEXT + 32)]
    cdef char* end
    cdef int i
    for i, value in enumerate((symbol, qty, side, kind, tif, cid, limit_price, stop_price)):
        values[i].at = PyUnicode_AsUTF8AndSize(value, &values[i].n)
    end = put_body(text, values)
    return PyBytes_FromStringAndSize(text, end - text) if end != NULL else None
