"""What can go wrong, as a tree.

PyrtError                   every error of ours: what happened, where, how to mend it
├── ConfigError             a setting, a file or an argument cannot be used
├── DataError               market data or a stored file cannot be read as what it claims to be
├── OrderError              an order as written cannot exist (off tick, no quantity, unknown symbol)
├── JournalError            the journal cannot be written or read
│   ├── JournalDamaged      a record that was once durable no longer reads: quarantine, stop
│   ├── JournalNewer        a newer program wrote it
│   └── JournalBusy         another process owns this journal
└── VenueError              the venue, or the way to it
    ├── NotConnected        transient: try again
    ├── NotAuthorized       final: wrong keys or no permission
    └── Misbehaved          the venue answered something outside its protocol
"""


class PyrtError(Exception):
    """One line for the user: what happened, where, and how to mend it."""

    status = 1  # with which the command line ends

    def __init__(self, what: str, *, where: str = "", mend: str = "") -> None:
        super().__init__(what)
        self.what = what
        self.where = where
        self.mend = mend

    def __str__(self) -> str:
        text = f"{self.where}: {self.what}" if self.where else self.what
        return f"{text} -- {self.mend}" if self.mend else text


class ConfigError(PyrtError):
    """A setting, a file or an argument cannot be used."""


class DataError(PyrtError):
    """Market data or a stored file cannot be read as what it claims to be."""


class OrderError(PyrtError, ValueError):
    """An order as written cannot exist."""


class JournalError(PyrtError):
    """The journal cannot be written or read."""


class JournalDamaged(JournalError):
    """A record that was once durable no longer reads; the journal is left as found."""


class JournalNewer(JournalError):
    """A newer program wrote this journal; nothing of it is changed."""

    status = 2


class JournalBusy(JournalError):
    """Another process owns this journal."""


class VenueError(PyrtError):
    """The venue, or the way to it."""


class NotConnected(VenueError):
    """The venue was not reached; trying again may help."""


class NotAuthorized(VenueError):
    """The venue refused the keys; trying again does not help."""


class Misbehaved(VenueError):
    """The venue answered something outside its protocol."""
