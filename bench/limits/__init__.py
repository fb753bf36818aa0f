"""C programs that do the job of a row and nothing else, compiled as the wheel's modules are: `limit("book").apply(...)`."""

import ctypes
import hashlib
import os
import re
import shlex
import shutil
import subprocess
from collections.abc import Iterator
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[2]
CORE = ROOT / "src" / "pyrt" / "_core"
BUILT = ROOT / "build" / "limits"  # git knows nothing of build/
RELEASE = ["-O3", "-DNDEBUG", "-fPIC"]  # what CMake adds for a module of a Release build
_GIVEN = r"target_(compile_options|link_options|compile_definitions)\(core INTERFACE (.*)\)"


def limit(name: str) -> ctypes.CDLL:
    """The functions of bench/limits/NAME.c, compiled where nobody has yet. Raises CalledProcessError where it does not compile."""
    source = Path(__file__).with_name(f"{name}.c")
    command = [
        *compiler(),
        *flags(),
        "-fvisibility=default",
        "-Wall",
        "-Wextra",
        "-Werror",
    ]  # ctypes looks for names, a module has one
    whole = hashlib.blake2b(" ".join(command).encode(), digest_size=8)
    for path in [source, *sorted(source.parent.glob("*.[ch]")), *sorted((CORE / "include").glob("*.h"))]:
        whole.update(path.read_bytes())
    made = BUILT / f"{name}-{whole.hexdigest()}.so"
    if not made.exists():
        BUILT.mkdir(parents=True, exist_ok=True)
        part = made.with_suffix(f".{os.getpid()}")
        subprocess.run([*command, "-shared", "-o", part, source, "-lm"], check=True)
        part.replace(made)
    return ctypes.CDLL(str(made))


def compiler() -> list[str]:
    """The one that CMake would take."""
    return shlex.split(os.environ.get("CC", "")) or [shutil.which("cc") or "gcc"]


@cache
def flags() -> tuple[str, ...]:
    """The flags of a Release build, read from the core's CMakeLists.txt."""
    told = list(_told((CORE / "CMakeLists.txt").read_text(encoding="utf-8")))
    return (*shlex.split(os.environ.get("CFLAGS", "")), *RELEASE, f"-I{CORE / 'include'}", *told)


def _told(text: str) -> Iterator[str]:
    """What target_compile_options and its like give every module, without what an option PYRT_... switches on."""
    off: list[bool] = []
    for line in text.splitlines():
        line = line.split("#")[0].strip()
        if begun := re.match(r"if\((.*)\)", line):
            off.append("PYRT_" in begun[1])
        elif line.startswith("endif("):
            off.pop()
        elif (given := re.match(_GIVEN, line)) and not any(off):
            yield from (f"-D{word}" if given[1] == "compile_definitions" else word for word in given[2].split())
