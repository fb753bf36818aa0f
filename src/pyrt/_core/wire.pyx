"""Alpaca's data-stream frames, msgpack or JSON, to records in one bounds-checked pass."""
cimport cython
from cpython.buffer cimport PyBUF_SIMPLE, PyBuffer_Release, PyObject_GetBuffer
from cpython.bytes cimport PyBytes_FromStringAndSize
from libc.stdint cimport int32_t, int64_t, uint8_t, uint32_t, uint64_t

from pyrt._core cimport json, msgpack
from pyrt._core.fixed cimport (KIND_ARRAY, KIND_LETTERS, KIND_LEVELS, KIND_MAP, KIND_NONE, KIND_OTHER, KIND_TEXT, KIND_TIME, minute_t,
                               read_number, read_time, value_t)
from pyrt._core.json cimport arena_t
from pyrt._core.messages cimport (COUNT_FRAMES, COUNT_MALFORMED, COUNT_MORE_CONDITIONS, COUNT_UNKNOWN_FIELD, COUNT_UNKNOWN_TYPE,
                                  FIELD_A, FIELD_AP, FIELD_AS, FIELD_B, FIELD_BP, FIELD_BS, FIELD_C, FIELD_CC, FIELD_CI, FIELD_CP,
                                  FIELD_CS, FIELD_D, FIELD_H, FIELD_I, FIELD_IGNORED, FIELD_L, FIELD_N, FIELD_O, FIELD_OC, FIELD_OI,
                                  FIELD_OP, FIELD_OS, FIELD_P, FIELD_R, FIELD_RC, FIELD_S, FIELD_SC, FIELD_SYMBOL, FIELD_TIME,
                                  FIELD_TKS, FIELD_TYPE, FIELD_U, FIELD_UNKNOWN, FIELD_V, FIELD_VW, FIELD_X, FIELD_Z, Messages,
                                  first_letter, level_t)

from pyrt._core.encode import Encoder  # noqa: F401  one address for both halves


cdef extern from * nogil:
    bint likely "__builtin_expect"(bint, bint)


cdef enum:
    LONG = 262144                      # bytes, some 0.2 ms: whoever waits for the GIL may take it for 5 ms, so a live frame keeps it


# ---------------------------------------------------------------------------------------------------- keys
# A key of up to three letters and its length are one u32; the product's top byte is a perfect hash of the known ones.
cdef uint32_t key_of[256]
cdef uint8_t field_of[256]
cdef uint8_t field_of_letter[256]
cdef uint8_t field_of_pair[65536]     # by both letters, the first in the low byte: a few lines of it are ever touched


cdef inline int slot(uint32_t key) noexcept nogil:
    return <uint32_t>(key * 0x7311d8a3u) >> 24


cdef inline int field(const uint8_t* text, int32_t n) noexcept nogil:
    cdef uint32_t key
    cdef int at
    if n == 1:
        key = text[0]
    elif n == 2:
        key = text[0] | <uint32_t>text[1] << 8
    elif n == 3:
        key = text[0] | <uint32_t>text[1] << 8 | <uint32_t>text[2] << 16
    else:
        return FIELD_UNKNOWN
    key |= <uint32_t>n << 24
    at = slot(key)
    return field_of[at] if key_of[at] == key else FIELD_UNKNOWN


cdef _enter_keys():
    cdef uint32_t key
    names = {"T": FIELD_TYPE, "S": FIELD_SYMBOL, "t": FIELD_TIME, "p": FIELD_P, "s": FIELD_S, "i": FIELD_I, "x": FIELD_X,
             "c": FIELD_C, "z": FIELD_Z, "tks": FIELD_TKS, "bp": FIELD_BP, "bs": FIELD_BS, "ap": FIELD_AP, "as": FIELD_AS,
             "bx": FIELD_IGNORED, "ax": FIELD_IGNORED, "sm": FIELD_IGNORED, "rm": FIELD_IGNORED, "msg": FIELD_IGNORED,
             "o": FIELD_O, "h": FIELD_H, "l": FIELD_L, "v": FIELD_V, "n": FIELD_N, "vw": FIELD_VW, "u": FIELD_U, "d": FIELD_D,
             "sc": FIELD_SC, "rc": FIELD_RC, "oi": FIELD_OI, "op": FIELD_OP, "os": FIELD_OS, "oc": FIELD_OC, "ci": FIELD_CI,
             "cp": FIELD_CP, "cs": FIELD_CS, "cc": FIELD_CC, "a": FIELD_A, "b": FIELD_B, "r": FIELD_R}
    for name, at in names.items():
        key = len(name) << 24 | int.from_bytes(name.encode(), "little")
        if key_of[slot(key)]:
            raise AssertionError(f"the hash of {name} is taken")
        key_of[slot(key)] = key
        field_of[slot(key)] = at
        if len(name) == 1:
            field_of_letter[ord(name)] = at
        if len(name) == 2:
            field_of_pair[key & 0xffff] = at


_enter_keys()


cdef inline const uint8_t* quick_pair(const uint8_t* p, const uint8_t* end, value_t* values, minute_t* minute, arena_t* arena,
                                      uint64_t* have) noexcept nogil:
    # A known key of one letter or two, a colon and a plain value, without blanks, where 32 bytes are there; NULL: something else,
    # or something wrong, which the long way finds.
    cdef int at = FIELD_UNKNOWN
    cdef value_t* v
    if p[0] != c'"':
        return NULL
    if p[2] == c'"' and p[3] == c':':
        at = field_of_letter[p[1]]
        p += 4
    elif p[3] == c'"' and p[4] == c':':
        at = field_of_pair[p[1] | <uint32_t>p[2] << 8]
        p += 5
    if at == FIELD_UNKNOWN:
        return NULL
    v = &values[at]
    if <unsigned int>p[0] - 48 < 10:
        p = read_number(p, v)
    elif p[0] != c'"':
        if p[0] != c'[' or at != FIELD_C or p[1] != c'"' or p[2] < 32 or p[2] == c'\\' or p[3] != c'"' or p[4] != c']':
            return NULL
        v.kind = KIND_LETTERS
        v.bits = p[2]
        p += 5
    elif at == FIELD_TIME:
        p = read_time(p + 1, end, minute, <int64_t*>&v.bits)
        if p == NULL or p[0] != c'"':
            return NULL
        v.kind = KIND_TIME
        p += 1
    elif p[2] == c'"' and p[1] >= 32 and p[1] != c'\\' and p[1] != c'"':
        v.kind = KIND_TEXT
        v.n = 1
        v.bits = <uint64_t><size_t>(p + 1)
        p += 3
    else:
        p = json.read_text(p + 1, end, v, arena)
    have[0] |= <uint64_t>1 << at
    return p


@cython.final
cdef class Decoder(Messages):
    """Turns frames into records: trades, quotes, book deltas, statuses and cancels of 64 bytes, bars of 128.

    codec: "msgpack" or "json". feed_flag: Flag bits that every record carries. ineligible: condition letters (bytes) that bar a
    print from setting a price. A malformed frame is left out whole and counted; so is a message with a number that cannot be.
    """

    def feed(self, frame, int64_t ts_recv):
        """Read one frame (bytes or a buffer, not kept). Returns how many records and bars it gave; take() hands them out.

        A long frame (256 KiB) is read without the GIL. Raises RuntimeError while another thread has one read.
        """
        cdef Py_buffer view
        self.idle()
        PyObject_GetBuffer(frame, &view, PyBUF_SIMPLE)
        try:
            if view.len >= LONG:
                return self.read_long(<const uint8_t*>view.buf, view.len, ts_recv)
            return self.read(<const uint8_t*>view.buf, view.len, ts_recv)
        finally:
            PyBuffer_Release(&view)

    cdef Py_ssize_t read(self, const uint8_t* data, Py_ssize_t n, int64_t ts_recv) except -1:
        cdef Py_ssize_t before = self.n_records + self.n_bars
        self.ts_recv = ts_recv
        self.frame(data, n)
        self.keep_controls(data)
        return self.n_records + self.n_bars - before

    cdef Py_ssize_t read_long(self, const uint8_t* data, Py_ssize_t n, int64_t ts_recv) except -1:
        cdef Py_ssize_t before = self.n_records + self.n_bars
        self.ts_recv = ts_recv
        self.running = True
        with nogil:
            self.frame(data, n)
        self.running = False
        self.keep_controls(data)
        return self.n_records + self.n_bars - before

    cdef int keep_controls(self, const uint8_t* data) except -1:
        cdef int i
        if self.control:
            self.control = []
        for i in range(self.n_controls):
            self.control.append(PyBytes_FromStringAndSize(<char*>data + self.controls[i].first, self.controls[i].n))
        if self.no_memory:
            self.no_memory = False
            raise MemoryError
        return 0

    cdef bint frame(self, const uint8_t* p, Py_ssize_t n) noexcept nogil:
        # All or nothing: a frame that turns out malformed takes back what it gave. Counters keep what they counted.
        cdef const uint8_t* base = p
        cdef const uint8_t* end = p + n
        cdef const uint8_t* start
        cdef Py_ssize_t records = self.n_records, bars = self.n_bars
        cdef value_t v
        cdef uint64_t left
        self.count[COUNT_FRAMES] += 1
        self.n_controls = 0
        if n > 0x3fffffffu:
            p = NULL
        elif self.is_json:
            p = self.json_frame(p, end, base)
        else:
            p = msgpack.read_value(p, end, &v)
            if p != NULL and v.kind == KIND_ARRAY:
                left = v.bits
                while left > 0 and p != NULL:
                    left -= 1
                    start = p
                    p = msgpack.read_value(p, end, &v)
                    if p != NULL and v.kind == KIND_MAP:
                        p = self.msgpack_message(p, end, v.bits)
                        if p != NULL:
                            self.finish(start - base, p - start)
                    elif p != NULL:
                        self.count[COUNT_UNKNOWN_TYPE] += 1
                        p = msgpack.skip_entries(p, end, &v, 1)
                if p != end:
                    p = NULL
            else:
                p = NULL
        if p == NULL or self.no_memory:
            self.count[COUNT_MALFORMED] += 1
            self.n_records, self.n_bars, self.n_controls = records, bars, 0
            return False
        return True

    cdef const uint8_t* msgpack_message(self, const uint8_t* p, const uint8_t* end, uint64_t entries) noexcept nogil:
        cdef value_t key
        cdef value_t* v
        cdef const uint8_t* after
        cdef int at
        cdef uint64_t have = 0
        cdef int64_t unknown = 0
        self.n_levels = 0
        while entries > 0:
            entries -= 1
            if likely(end - p >= 16, True):                # a key of one letter or two and a plain value, without asking for the end
                at = FIELD_UNKNOWN
                if p[0] == 0xa1:
                    at = field_of_letter[p[1]]
                    after = p + 2
                elif p[0] == 0xa2:
                    at = field_of_pair[p[1] | <uint32_t>p[2] << 8]
                    after = p + 3
                if at != FIELD_UNKNOWN:
                    v = &self.value[at]
                    if after[0] == 0xd7 and after[1] == 0xff:
                        after = msgpack.extension(after + 1, end, 8, v)
                    elif after[0] == 0x91 and after[1] == 0xa1 and at == FIELD_C:
                        v.kind = KIND_LETTERS
                        v.bits = after[2]
                        after += 3
                    else:
                        after = msgpack.quick_value(after, v)
                    if likely(after != NULL, True):
                        p = after
                        have |= <uint64_t>1 << at
                        continue
            if p < end and p[0] & 0xe0 == 0xa0 and (p[0] & 31) < end - p:      # a short text: nearly every key
                at = field(p + 1, p[0] & 31)
                p += 1 + (p[0] & 31)
            else:
                p = msgpack.read_value(p, end, &key)
                if p == NULL:
                    return NULL
                p = msgpack.skip_entries(p, end, &key, 2)
                if p == NULL:
                    return NULL
                at = field(<const uint8_t*><size_t>key.bits, key.n) if key.kind == KIND_TEXT else FIELD_UNKNOWN
            unknown += at == FIELD_UNKNOWN
            v = &self.value[at]
            p = msgpack.read_value(p, end, v)
            if p == NULL:
                return NULL
            if v.kind == KIND_ARRAY or v.kind == KIND_MAP:
                if v.kind == KIND_ARRAY and (at == FIELD_C or at == FIELD_OC or at == FIELD_CC):
                    p = self.msgpack_conditions(p, end, v)
                elif v.kind == KIND_ARRAY and (at == FIELD_A or at == FIELD_B):
                    p = self.msgpack_levels(p, end, v)
                else:
                    p = msgpack.skip_entries(p, end, v, 2)
                    v.kind = KIND_OTHER
                if p == NULL:
                    return NULL
            if v.kind == KIND_NONE:
                have &= ~(<uint64_t>1 << at)
            else:
                have |= <uint64_t>1 << at
        self.have = have
        self.count[COUNT_UNKNOWN_FIELD] += unknown
        return p

    cdef const uint8_t* msgpack_conditions(self, const uint8_t* p, const uint8_t* end, value_t* v) noexcept nogil:
        cdef value_t entry
        cdef uint64_t left = v.bits
        cdef int n = 0
        v.kind = KIND_LETTERS
        v.bits = 0
        while left > 0:
            left -= 1
            p = msgpack.read_value(p, end, &entry)
            if p == NULL:
                return NULL
            p = msgpack.skip_entries(p, end, &entry, 3)
            if p == NULL:
                return NULL
            if n < 4:
                v.bits |= <uint64_t>first_letter(&entry) << (8 * n)
                n += 1
            else:
                self.count[COUNT_MORE_CONDITIONS] += 1
        return p

    cdef const uint8_t* msgpack_levels(self, const uint8_t* p, const uint8_t* end, value_t* v) noexcept nogil:
        cdef value_t entry, key, number
        cdef level_t* level
        cdef uint64_t left = v.bits, entries
        v.kind = KIND_LEVELS
        v.bits = <uint64_t>self.n_levels
        v.n = 0
        while left > 0:
            left -= 1
            level = self.new_level()
            p = msgpack.read_value(p, end, &entry)
            if p == NULL or level == NULL:
                return NULL
            v.n += 1
            if entry.kind != KIND_MAP:
                p = msgpack.skip_entries(p, end, &entry, 3)
                if p == NULL:
                    return NULL
                continue
            entries = entry.bits
            while entries > 0:
                entries -= 1
                p = msgpack.read_value(p, end, &key)
                if p != NULL:
                    p = msgpack.skip_entries(p, end, &key, 4)
                if p != NULL:
                    p = msgpack.read_value(p, end, &number)
                if p != NULL:
                    p = msgpack.skip_entries(p, end, &number, 4)
                if p == NULL:
                    return NULL
                self.level_entry(level, &key, &number)
        return p

    cdef void level_entry(self, level_t* level, const value_t* key, const value_t* number) noexcept nogil:
        cdef uint8_t c = first_letter(key)
        if c == c'p' and key.n == 1:
            level.px = number[0]
        elif c == c's' and key.n == 1:
            level.qty = number[0]
        else:
            self.count[COUNT_UNKNOWN_FIELD] += 1

    cdef const uint8_t* json_frame(self, const uint8_t* p, const uint8_t* end, const uint8_t* base) noexcept nogil:
        cdef const uint8_t* start
        cdef value_t v
        cdef uint8_t last = 32
        while end > p and (last == 32 or last == 9 or last == 10 or last == 13):
            end -= 1
            last = end[0]
        if end == p or last != c']':
            return NULL
        end += 1
        p = json.blank(p)
        if p[0] != c'[':
            return NULL
        p = json.blank(p + 1) if p + 1 < end else NULL
        if p == NULL:
            return NULL
        if p[0] == c']':
            return p if p + 1 == end else NULL
        while True:
            start = p
            if p[0] == c'{':
                p = self.json_message(p + 1, end)
                if p == NULL:
                    return NULL
                self.finish(start - base, p - start)
            else:
                self.arena.used = 0
                p = json.read_value(p, end, &v, &self.arena)
                if p != NULL:
                    p = json.skip_entries(p, end, &v, 1)
                if p == NULL:
                    return NULL
                self.count[COUNT_UNKNOWN_TYPE] += 1
            p = json.blank(p)
            if p[0] == c']':
                return p if p + 1 == end else NULL
            if p[0] != c',':
                return NULL
            p = json.blank(p + 1)

    cdef const uint8_t* json_message(self, const uint8_t* p, const uint8_t* end) noexcept nogil:
        cdef value_t key
        cdef value_t* v
        cdef const uint8_t* after
        cdef int64_t ns
        cdef int at
        cdef int64_t unknown = 0
        self.n_levels = 0
        self.arena.used = 0
        self.have = 0
        p = json.blank(p)
        if p[0] == c'}':
            return p + 1
        while True:
            after = quick_pair(p, end, self.value, &self.minute, &self.arena, &self.have) if likely(end - p >= 32, True) else NULL
            if likely(after != NULL, True):
                p = json.blank(after)
                if p[0] == c'}':
                    self.count[COUNT_UNKNOWN_FIELD] += unknown
                    return p + 1
                if p[0] != c',':
                    return NULL
                p = json.blank(p + 1)
                continue
            if p[0] != c'"':
                return NULL
            at = FIELD_UNKNOWN
            if end - p > 4:                                # nearly every key has one letter or two
                if p[2] == c'"':
                    at = field(p + 1, 1)
                    p += 3 if at != FIELD_UNKNOWN else 0
                elif p[3] == c'"':
                    at = field(p + 1, 2)
                    p += 4 if at != FIELD_UNKNOWN else 0
            if at == FIELD_UNKNOWN:
                p = json.read_text(p + 1, end, &key, &self.arena)
                if p == NULL:
                    return NULL
                at = field(<const uint8_t*><size_t>key.bits, key.n)
            unknown += at == FIELD_UNKNOWN
            v = &self.value[at]
            p = json.blank(p)
            if p[0] != c':':
                return NULL
            p = json.blank(p + 1)
            after = NULL
            if at == FIELD_TIME and p[0] == c'"':          # read in place: no search for the end of the text
                after = read_time(p + 1, end, &self.minute, &ns)
            if after != NULL and after[0] == c'"':
                v.kind = KIND_TIME
                v.bits = <uint64_t>ns
                p = after + 1
            else:
                p = json.read_value(p, end, v, &self.arena)
                if p == NULL:
                    return NULL
                if v.kind == KIND_ARRAY or v.kind == KIND_MAP:
                    if v.kind == KIND_ARRAY and (at == FIELD_C or at == FIELD_OC or at == FIELD_CC):
                        p = self.json_conditions(p, end, v)
                    elif v.kind == KIND_ARRAY and (at == FIELD_A or at == FIELD_B):
                        p = self.json_levels(p, end, v)
                    else:
                        p = json.skip_entries(p, end, v, 2)
                        v.kind = KIND_OTHER
                    if p == NULL:
                        return NULL
            if v.kind == KIND_NONE:
                self.have &= ~(<uint64_t>1 << at)
            else:
                self.have |= <uint64_t>1 << at
            p = json.blank(p)
            if p[0] == c'}':
                self.count[COUNT_UNKNOWN_FIELD] += unknown
                return p + 1
            if p[0] != c',':
                return NULL
            p = json.blank(p + 1)

    cdef const uint8_t* json_conditions(self, const uint8_t* p, const uint8_t* end, value_t* v) noexcept nogil:
        cdef value_t entry
        cdef int n = 0
        v.kind = KIND_LETTERS
        v.bits = 0
        p = json.blank(p)
        if p[0] == c']':
            return p + 1 if p + 1 < end else NULL
        while True:
            p = json.read_value(p, end, &entry, &self.arena)
            if p != NULL:
                p = json.skip_entries(p, end, &entry, 3)
            if p == NULL:
                return NULL
            if n < 4:
                v.bits |= <uint64_t>first_letter(&entry) << (8 * n)
                n += 1
            else:
                self.count[COUNT_MORE_CONDITIONS] += 1
            p = json.blank(p)
            if p[0] == c']':
                return p + 1 if p + 1 < end else NULL
            if p[0] != c',':
                return NULL
            p = json.blank(p + 1)

    cdef const uint8_t* json_levels(self, const uint8_t* p, const uint8_t* end, value_t* v) noexcept nogil:
        cdef level_t* level
        cdef value_t entry
        v.kind = KIND_LEVELS
        v.bits = <uint64_t>self.n_levels
        v.n = 0
        p = json.blank(p)
        if p[0] == c']':
            return p + 1 if p + 1 < end else NULL
        while True:
            level = self.new_level()
            if level == NULL:
                return NULL
            v.n += 1
            if p[0] == c'{':
                p = self.json_level(p + 1, end, level)
            else:
                p = json.read_value(p, end, &entry, &self.arena)
                if p != NULL:
                    p = json.skip_entries(p, end, &entry, 3)
            if p == NULL:
                return NULL
            p = json.blank(p)
            if p[0] == c']':
                return p + 1 if p + 1 < end else NULL
            if p[0] != c',':
                return NULL
            p = json.blank(p + 1)

    cdef const uint8_t* json_level(self, const uint8_t* p, const uint8_t* end, level_t* level) noexcept nogil:
        cdef value_t key, number
        p = json.blank(p)
        if p[0] == c'}':
            return p + 1
        while True:
            if p[0] != c'"':
                return NULL
            p = json.read_text(p + 1, end, &key, &self.arena)
            if p == NULL:
                return NULL
            p = json.blank(p)
            if p[0] != c':':
                return NULL
            p = json.read_value(json.blank(p + 1), end, &number, &self.arena)
            if p != NULL:
                p = json.skip_entries(p, end, &number, 4)
            if p == NULL:
                return NULL
            self.level_entry(level, &key, &number)
            p = json.blank(p)
            if p[0] == c'}':
                return p + 1
            if p[0] != c',':
                return NULL
            p = json.blank(p + 1)
