"""What comes in at the edge: records out of whatever holds them (arrays of any of our dtypes, bytes, memory maps), and numbers."""
from cpython.buffer cimport PyBUF_SIMPLE, PyBuffer_Release, PyObject_GetBuffer
from cpython.float cimport PyFloat_AS_DOUBLE


cdef inline Py_ssize_t open_records(object records, Py_buffer* view, Py_ssize_t size) except -1:
    # Plain bytes are asked for, no format: every dtype with a record's size will do, and no format text is parsed.
    PyObject_GetBuffer(records, view, PyBUF_SIMPLE)
    if view.len % size or (view.itemsize != size and view.itemsize != 1):
        PyBuffer_Release(view)
        raise ValueError(f"records have {size} bytes each")
    return view.len // size


cdef inline double other_number(object value) except? -1:
    if isinstance(value, bytes | bytearray):
        raise TypeError(f"a number is int, float, str or Decimal, not {type(value).__name__}")
    try:
        return float(value)
    except OverflowError as e:
        raise ValueError(str(e)) from None


cdef inline double number(object value) except? -1:
    """An int, str, Decimal or float (or NumPy's) as the nearest float64. Raises ValueError, or TypeError for what is none of them."""
    return PyFloat_AS_DOUBLE(value) if type(value) is float else other_number(value)
