"""One WebSocket connection: whole messages out of frames, and why it ended."""
from pyrt._core.onepass cimport Reader

from picows.picows cimport WSFrame, WSListener, WSTransport


cdef class Frames(WSListener):
    cdef readonly object lost          # a future: why the connection ended
    cdef readonly object failure       # what the reader raised
    cdef readonly object transport
    cdef Reader reader                 # None: `on_message` is called
    cdef object on_message
    cdef Py_ssize_t most               # bytes of a message that came in pieces
    cdef bytearray parts               # None: no message is under way
    cdef object reason

    cpdef on_ws_connected(self, WSTransport transport)
    cpdef on_ws_frame(self, WSTransport transport, WSFrame frame)
    cpdef on_ws_disconnected(self, WSTransport transport)
    cdef int deliver(self, char* data, Py_ssize_t n) except -1
    cdef int join(self, WSFrame frame) except -1
    cdef int fail(self, object error) except -1
