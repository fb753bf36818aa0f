"""Waiting for a descriptor without going to sleep: it costs a processor, and saves the time of the wake-up."""
from libc.stdint cimport int64_t


cdef extern from "spin.h" nogil:
    int spin_until(int fd, int64_t ns) noexcept


def spin(int fd, int64_t ns):
    """Watch a descriptor until something is to be read, or for `ns` ns: whether something is. Other threads run meanwhile."""
    cdef int found
    with nogil:
        found = spin_until(fd, ns)
    if found < 0:
        raise OSError(-found, "poll")
    return found == 1
