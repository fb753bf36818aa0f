"""What a session's loop is at: read natively by the verbs that its callbacks use."""


cdef class Loop:
    cdef public object now             # clock.Now of the event being handled
    cdef public bint running           # callbacks are delivered, intents accepted
