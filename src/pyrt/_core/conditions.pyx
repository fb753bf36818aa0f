"""Sale conditions as data: what each letter lets a trade change in a bar."""
from libc.string cimport memset

from enum import IntFlag


class BarField(IntFlag):
    """What a sale condition lets a trade change in a bar."""

    NONE = 0
    VOLUME = UPDATES_VOLUME
    RANGE = UPDATES_RANGE
    LAST = UPDATES_LAST
    ALL = UPDATES_ALL


def _condition_rules():
    # The letters that do not count for everything (CTS and UTP plans, consolidated columns, as far as they agree).
    rules = dict.fromkeys("BCHINRTUVW7", BarField.VOLUME)
    rules |= dict.fromkeys("GLPZ4", BarField.VOLUME | BarField.RANGE)
    rules |= dict.fromkeys("MQ", BarField.NONE)
    return rules | {"9": BarField.RANGE}


CONDITION_RULES = _condition_rules()

cdef uint8_t[256] _rules


cdef int fill_rules(uint8_t* table, rules) except -1:
    memset(table, UPDATES_ALL, 256)
    for letter, fields in rules.items():
        if len(letter) != 1 or ord(letter) not in range(1, 256) or int(fields) not in range(8):
            raise ValueError(f"a rule is one letter and BarField bits, not {letter!r}: {fields!r}")
        table[<uint8_t>ord(letter)] = int(fields)
    return 0


fill_rules(_rules, CONDITION_RULES)


cdef const uint8_t* default_rules() noexcept nogil:
    return _rules
