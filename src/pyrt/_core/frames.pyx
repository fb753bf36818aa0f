"""One WebSocket connection: whole messages out of frames, and why it ended."""
cimport cython
from cpython.buffer cimport PyBUF_READ
from cpython.bytearray cimport PyByteArray_AS_STRING, PyByteArray_GET_SIZE, PyByteArray_Resize
from cpython.memoryview cimport PyMemoryView_FromMemory
from libc.stdint cimport uint8_t
from libc.string cimport memcpy

from pyrt._core.onepass cimport Reader

from picows.picows cimport WSFrame, WSListener, WSTransport

import socket
from contextlib import suppress

import picows
from picows import WSCloseCode

# The classes of picows are laid out in memory as its .pxd said when this was compiled: another release may place them otherwise.
BUILT_FOR = "2.3.1"
if picows.__version__ != BUILT_FOR:
    raise ImportError(f"picows {picows.__version__} is installed and this was built for {BUILT_FOR}: pip install picows=={BUILT_FOR}")


cdef enum:                             # WSMsgType
    CONTINUATION = 0
    TEXT = 1
    BINARY = 2
    CLOSE = 8


@cython.final
cdef class Frames(WSListener):
    """Hands on each message without a copy; the buffer is valid until that returns.

    reader: a Reader, which is called natively, or anything that takes a memoryview. max_message: bytes. lost: a future that becomes
    the reason once the connection has ended. `failure` is what the reader raised: picows would only log it.
    """

    def __cinit__(self, reader, Py_ssize_t max_message, lost):
        if isinstance(reader, Reader):
            self.reader = reader
        else:
            self.on_message = reader
        self.most = max_message
        self.lost = lost
        self.reason = "connection lost"

    cpdef on_ws_connected(self, WSTransport transport):
        """Small messages leave at once."""
        self.transport = transport
        plain = (<object>transport).underlying_transport.get_extra_info("socket")
        with suppress(OSError):
            plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    cpdef on_ws_frame(self, WSTransport transport, WSFrame frame):
        """A frame came; called by picows for each."""
        cdef int kind = <int>frame.msg_type
        if kind == BINARY or kind == TEXT or kind == CONTINUATION:
            if frame.fin and self.parts is None and kind != CONTINUATION:
                self.deliver(frame.payload_ptr, frame.payload_size)
            else:
                self.join(frame)
        elif kind == CLOSE:
            self.reason = f"closed by the venue ({(<object>frame).get_close_code()})"
            self.transport.send_close(WSCloseCode.OK)
            self.transport.disconnect()

    cpdef on_ws_disconnected(self, WSTransport transport):
        """The connection ended, from whichever side."""
        if not self.lost.done():
            self.lost.set_result(self.reason)

    def end(self, reason, *, bint graceful=True) -> None:
        """End it from here; `lost` follows."""
        self.reason = reason
        if graceful:
            self.transport.send_close(WSCloseCode.OK)
        self.transport.disconnect(graceful)

    cdef int deliver(self, char* data, Py_ssize_t n) except -1:
        if self.failure is not None:
            return 0
        try:
            if self.reader is not None:
                self.reader.message(<const uint8_t*>data, n)
            else:
                self.on_message(PyMemoryView_FromMemory(data, n, PyBUF_READ))
        except Exception as e:
            self.fail(e)
        return 0

    cdef int join(self, WSFrame frame) except -1:
        cdef bytearray whole
        cdef Py_ssize_t held
        if self.parts is None:
            self.parts = bytearray()
        held = PyByteArray_GET_SIZE(self.parts)
        if held + frame.payload_size > self.most:
            self.end("a message was too long", graceful=False)
            return 0
        if frame.payload_size:
            PyByteArray_Resize(self.parts, held + frame.payload_size)
            memcpy(PyByteArray_AS_STRING(self.parts) + held, frame.payload_ptr, frame.payload_size)
        if frame.fin:
            whole, self.parts = self.parts, None
            self.deliver(PyByteArray_AS_STRING(whole), PyByteArray_GET_SIZE(whole))
        return 0

    cdef int fail(self, object error) except -1:
        self.failure = error
        self.end("the reader failed", graceful=False)
        return 0
