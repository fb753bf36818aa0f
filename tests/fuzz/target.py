"""What can be fed, and from which files."""

from collections.abc import Hashable
from importlib import import_module
from pathlib import Path
from typing import ClassVar, Protocol

CORPUS = Path(__file__).with_name("corpus")
TARGETS = ("msgpack", "json", "inbox", "itch", "ring")  # of tests.fuzz.targets


class Target(Protocol):
    """Takes an input, keeps its promises or raises, and answers how it behaved: what behaves anew is worth keeping.

    `words`: bytes that mean something in its format.
    """

    words: ClassVar[bytes]

    def __call__(self, data: memoryview) -> Hashable: ...

    def seed(self, data: bytes) -> bytes:
        """A file of the corpus as this machine takes it."""
        ...


def target(name: str, home: Path) -> Target:
    """One of TARGETS, or `module:name` of another; `home`: a folder for what it needs. It reads what it imports only now."""
    module, _, called = name.rpartition(":")
    made: Target = getattr(import_module(module or "tests.fuzz.targets"), called)(home)
    return made


def corpus(name: str, folder: Path = CORPUS) -> list[Path]:
    """The files of a target."""
    return sorted(path for path in (folder / name).iterdir() if path.is_file())
