"""The native part of a session."""


cdef class Loop:
    """What a session is at."""
