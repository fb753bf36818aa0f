"""Which fields of a bar a trade may change, by its sale conditions."""
from libc.stdint cimport uint8_t, uint32_t

from pyrt._core.types cimport FLAG_INELIGIBLE, trade_t


cdef enum:
    UPDATES_VOLUME = 1
    UPDATES_RANGE = 2                  # high and low
    UPDATES_LAST = 4                   # open and close
    UPDATES_ALL = 7


cdef const uint8_t* default_rules() noexcept nogil                    # 256 masks by letter
cdef int fill_rules(uint8_t* table, rules) except -1

cdef inline uint8_t trade_fields(const uint8_t* rules, const trade_t* trade) noexcept nogil:
    # A trade changes what all of its conditions allow.
    cdef uint8_t fields = UPDATES_ALL
    cdef uint32_t letters = trade.conditions
    while letters != 0:
        if letters & 255:
            fields &= rules[letters & 255]
        letters >>= 8
    if trade.flags & FLAG_INELIGIBLE:
        fields &= UPDATES_VOLUME
    return fields
