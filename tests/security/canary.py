"""A secret that is looked for everywhere, in every form by which a program could have written it."""

import base64
from collections.abc import Iterable, Iterator
from pathlib import Path
from urllib.parse import quote, quote_plus

KEY, SECRET = "PKcAnArY+key/0123456789", "cAnArY/secret+of=the&test0123456789"
HOOK, BEAT, PASSWORD = "cAnArY-hook/0123456789abc", "cAnArY-beat/0123456789abc", "cAnArY-mail+pass/word0123456789"
ALL = (KEY, SECRET, HOOK, BEAT, PASSWORD)


def forms(values: Iterable[str] = ALL) -> Iterator[bytes]:
    """Written here on its own: what the product masks is not what defines it."""
    for value in values:
        raw = value.encode()
        yield from (raw, quote(value).encode(), quote(value, safe="").encode(), quote_plus(value).encode())
        yield from (raw.hex().encode(), raw.hex().upper().encode(), raw[::-1], raw[4:-4])
        for encode in (base64.b64encode, base64.urlsafe_b64encode, base64.b32encode):
            yield encode(raw).rstrip(b"=")[:-2]
        yield base64.b64encode(f"{KEY}:{value}".encode())[-12:]
    yield base64.b64encode(f"{KEY}:{SECRET}".encode())
    yield base64.b85encode(SECRET.encode())


def leaks(said: bytes | str) -> list[bytes]:
    """The forms that are in it."""
    data = said.encode() if isinstance(said, str) else said
    return [form for form in forms() if form in data]


def leaking_files(*places: Path, but: Iterable[Path] = ()) -> list[tuple[str, list[bytes]]]:
    """Every file below the places that holds a form, with its name; `but` are those where the secrets were put."""
    allowed = {path.resolve() for path in but}
    found = []
    for place in places:
        for path in place.rglob("*"):
            if path.is_file() and path.resolve() not in allowed and (what := leaks(path.read_bytes()) + leaks(str(path))):
                found.append((str(path), what))
    return found


def family(pid: int) -> set[int]:
    """A process's children, theirs, and so on."""
    parents = {}
    for place in Path("/proc").glob("[0-9]*"):
        try:
            parents[int(place.name)] = int((place / "stat").read_text().rpartition(")")[2].split()[1])
        except OSError:
            continue  # it ended meanwhile
    found: set[int] = set()
    while more := {child for child, parent in parents.items() if parent in {pid, *found}} - found:
        found |= more
    return found
