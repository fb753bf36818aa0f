"""Reading records out of whatever holds them: arrays of any of our dtypes, bytes, memory maps."""
from cpython.buffer cimport PyBUF_SIMPLE, PyBuffer_Release, PyObject_GetBuffer


cdef inline Py_ssize_t open_records(object records, Py_buffer* view, Py_ssize_t size) except -1:
    # Plain bytes are asked for, no format: every dtype with a record's size will do, and no format text is parsed.
    PyObject_GetBuffer(records, view, PyBUF_SIMPLE)
    if view.len % size or (view.itemsize != size and view.itemsize != 1):
        PyBuffer_Release(view)
        raise ValueError(f"records have {size} bytes each")
    return view.len // size
