"""Levels in sorted chunks: log n to find one, and never more than a chunk to move."""
from libc.stdlib cimport free, realloc
from libc.string cimport memmove


cdef inline uint32_t _chunk_of(const far_t* far, int64_t key) noexcept nogil:
    # The place in `order` of the last chunk that begins at or before the key, else 0.
    cdef uint32_t low = 0, high = far.used, middle
    while high - low > 1:
        middle = (low + high) >> 1
        if far.chunks[far.order[middle]].key[0] <= key:
            low = middle
        else:
            high = middle
    return low


cdef inline uint32_t _place_in(const chunk_t* chunk, int64_t key) noexcept nogil:
    cdef uint32_t low = 0, high = chunk.n, middle
    while low < high:
        middle = (low + high) >> 1
        if chunk.key[middle] < key:
            low = middle + 1
        else:
            high = middle
    return low


cdef chunk_t* _take_chunk(far_t* far, uint32_t place) noexcept nogil:
    # A spare chunk becomes order[place]; there is one.
    far.spares -= 1
    cdef uint32_t index = far.spare[far.spares]
    memmove(&far.order[place + 1], &far.order[place], (far.used - place) * sizeof(uint32_t))
    far.order[place] = index
    far.used += 1
    far.chunks[index].n = 0
    return &far.chunks[index]


cdef void far_remove(far_t* far, uint32_t place, uint32_t i) noexcept nogil:
    cdef chunk_t* chunk = &far.chunks[far.order[place]]
    chunk.n -= 1
    memmove(&chunk.key[i], &chunk.key[i + 1], (chunk.n - i) * sizeof(int64_t))
    memmove(&chunk.qty[i], &chunk.qty[i + 1], (chunk.n - i) * sizeof(int64_t))
    far.levels -= 1
    if chunk.n == 0:
        far.spare[far.spares] = far.order[place]
        far.spares += 1
        far.used -= 1
        memmove(&far.order[place], &far.order[place + 1], (far.used - place) * sizeof(uint32_t))


cdef int far_set(far_t* far, int64_t key, int64_t qty) noexcept nogil:
    cdef uint32_t place = 0, i = 0
    cdef chunk_t* chunk
    cdef chunk_t* upper
    if far.used > 0:
        place = _chunk_of(far, key)
        chunk = &far.chunks[far.order[place]]
        i = _place_in(chunk, key)
        if i < chunk.n and chunk.key[i] == key:
            if qty > 0:
                chunk.qty[i] = qty
            else:
                far_remove(far, place, i)
            return APPLIED
    if qty == 0:
        return APPLIED
    if far.used == 0 or far.chunks[far.order[place]].n == CHUNK:
        if far.spares == 0:
            return NEEDS_ROOM
        if far.used == 0:
            chunk = _take_chunk(far, 0)
        else:
            upper = _take_chunk(far, place + 1)
            chunk = &far.chunks[far.order[place]]
            upper.n = CHUNK // 2
            chunk.n = CHUNK // 2
            memmove(&upper.key[0], &chunk.key[CHUNK // 2], (CHUNK // 2) * sizeof(int64_t))
            memmove(&upper.qty[0], &chunk.qty[CHUNK // 2], (CHUNK // 2) * sizeof(int64_t))
            if i > CHUNK // 2:
                chunk = upper
                i -= CHUNK // 2
    memmove(&chunk.key[i + 1], &chunk.key[i], (chunk.n - i) * sizeof(int64_t))
    memmove(&chunk.qty[i + 1], &chunk.qty[i], (chunk.n - i) * sizeof(int64_t))
    chunk.key[i] = key
    chunk.qty[i] = qty
    chunk.n += 1
    far.levels += 1
    return APPLIED


cdef bint far_grow(far_t* far) noexcept nogil:
    cdef uint32_t capacity = far.capacity * 2 if far.capacity > 0 else 4
    cdef uint32_t i
    cdef void* chunks
    cdef void* order
    cdef void* spare
    if capacity > MOST_CHUNKS:
        return False
    chunks = realloc(far.chunks, capacity * sizeof(chunk_t))
    if chunks == NULL:
        return False
    far.chunks = <chunk_t*>chunks
    order = realloc(far.order, capacity * sizeof(uint32_t))
    if order == NULL:
        return False
    far.order = <uint32_t*>order
    spare = realloc(far.spare, capacity * sizeof(uint32_t))
    if spare == NULL:
        return False
    far.spare = <uint32_t*>spare
    for i in range(far.capacity, capacity):
        far.spare[far.spares] = i
        far.spares += 1
    far.capacity = capacity
    return True


cdef void far_empty(far_t* far) noexcept nogil:
    cdef uint32_t i
    for i in range(far.used):
        far.spare[far.spares] = far.order[i]
        far.spares += 1
    far.used = 0
    far.levels = 0


cdef void far_free(far_t* far) noexcept nogil:
    free(far.chunks)
    free(far.order)
    free(far.spare)
