"""The digest of what the compiled core is built from. The build runs this file by itself, so it imports nothing of pyrt."""

import hashlib
import json
import re
import sys
from collections.abc import Iterable
from pathlib import Path

BUILT = "built.json"  # beside the modules: the digest of the sources that they were built from
_KINDS = (".pyx", ".pxd", ".h")
_STAMP = re.compile(rb"pyrt:[0-9a-f]{64}:[0-9a-f]{64}:")


def core_files(root: Path) -> list[Path]:
    """Everything in a checkout, or in an unpacked sdist, that decides what the compiler makes."""
    core = root / "src" / "pyrt" / "_core"
    sources = [path for path in core.rglob("*") if path.suffix in _KINDS]
    return sorted([*sources, core / "CMakeLists.txt", root / "pyproject.toml", root / "setup.py"])


def core_digest(root: Path) -> str:
    """The digest of those files, their names included."""
    return digest((path.relative_to(root).as_posix(), path.read_bytes()) for path in core_files(root))


def digest(files: Iterable[tuple[str, bytes]]) -> str:
    """Of (name, content) in their order."""
    whole = hashlib.blake2b(digest_size=32)
    for name, content in files:
        whole.update(f"{name}\0{len(content)}\0".encode() + hashlib.blake2b(content, digest_size=32).digest())
    return whole.hexdigest()


def core_built() -> str:
    """The digest of what the modules beside this file were built from."""
    told = json.loads((Path(__file__).parent / "_core" / BUILT).read_text())
    return str(told["core"])


def stamp_of(library: Path) -> str:
    """What `pyrt build` wrote into a library: pyrt:CORE:SOURCE:, the digests of the core and of the source; "" where it did not."""
    found = _STAMP.search(library.read_bytes())
    return found[0].decode() if found else ""


def is_of_this_core(library: str) -> bool:
    """Whether `pyrt build` made a library for these modules; True also where it did not make it at all."""
    stamp = stamp_of(Path(library)) if Path(library).is_file() else ""
    return not stamp or stamp.split(":")[1] == core_built()


if __name__ == "__main__":
    root = Path(__file__).resolve().parents[2]
    Path(sys.argv[1]).write_text(json.dumps({"core": core_digest(root)}) + "\n")
