"""`python -m pyrt build`: strategies in Cython, compiled beside their sources."""

import os
import re
import shlex
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

from pyrt.errors import ConfigError
from pyrt.sources import core_built, digest, stamp_of

PACKAGE = Path(__file__).parents[1]
INCLUDE = PACKAGE / "_core" / "include"
_BESIDE = (".pxd", ".pxi", ".h")  # what a source may take in from its own directory
_FLOATS = "-ffp-contract=off"  # as the core: what is fused is rounded once, and no longer what the twin in Python says
FLAGS = ("-O3", "-DNDEBUG", "-fPIC", "-fvisibility=hidden", "-fstack-protector-strong", _FLOATS, "-D_FORTIFY_SOURCE=2", "-w")
_LINK = {"darwin": ("-bundle", "-undefined", "dynamic_lookup")}


def build(*file: Path, force: bool = False, annotate: bool = False) -> None:
    """Compile strategies written in Cython; the result lies beside FILE.pyx and is for this Python and this pyrt.

    pyrt build momentum.pyx
    pyrt backtest momentum.pyx --data prices.csv

    Parameters
    ----------
    file
        FILE.pyx; one that has not changed since it was built is left alone.
    force
        Build it all the same.
    annotate
        Write FILE.html beside it: which lines touch the interpreter.
    """
    if not file:
        raise ConfigError("no file", where="build", mend="write FILE.pyx")
    for each in file:
        made = compile_file(each, force=force, annotate=annotate)
        print(f"{each}: {'is up to date' if made is None else made}")


def compile_file(source: Path, *, force: bool = False, annotate: bool = False) -> Path | None:
    """Build one; None where nothing had changed. Raises ConfigError: no compiler, no Cython, or what these found in the file."""
    if source.suffix != ".pyx" or not source.is_file():
        raise ConfigError(f"{source} is not a .pyx file", where="build", mend="check the path")
    if not source.stem.isidentifier():
        raise ConfigError(f"{source.stem} cannot be imported", where=str(source), mend="name it with letters, digits and _")
    target, stamp = library_of(source), _stamp(source)
    if not force and not annotate and target.is_file() and stamp_of(target) == stamp:
        return None
    compiler = _tools()
    with tempfile.TemporaryDirectory(prefix=".pyrt-", dir=source.absolute().parent) as folder:
        text = Path(folder) / f"{source.stem}.c"
        arguments = ["-3", "--module-name", source.stem, "-I", str(PACKAGE.parent), "-o", str(text), str(source.absolute())]
        _run([sys.executable, "-m", "cython", *arguments, *(["--annotate"] if annotate else [])], source)
        with text.open("a") as c:
            c.write(f'\nstatic const char pyrt_stamp[] __attribute__((used)) = "{stamp}";\n')
        made = Path(folder) / target.name
        link = _LINK.get(sys.platform, ("-shared",))
        includes = (f"-I{INCLUDE}", f"-I{sysconfig.get_path('include')}", f"-I{source.absolute().parent}")
        _run([*compiler, *FLAGS, *includes, str(text), *link, "-o", str(made)], source)
        if annotate:
            text.with_suffix(".html").replace(source.with_suffix(".html"))
        made.replace(target)
    return target


def library_of(source: Path) -> Path:
    """Where the compiled form of a source lies."""
    return source.with_name(source.stem + str(sysconfig.get_config_var("EXT_SUFFIX")))


def check(source: Path) -> Path:
    """The compiled form of a source. Raises ConfigError where there is none of it as it is now, for this pyrt."""
    library = library_of(source)
    if not source.is_file() and not library.is_file():
        raise ConfigError(f"{source} does not exist", where="--strategy", mend="check the path")
    mend = f"python -m pyrt build {source}"
    if not library.is_file():
        raise ConfigError("it is not built", where=str(source), mend=mend)
    if source.is_file() and stamp_of(library) != _stamp(source):
        raise ConfigError("it, or pyrt, has changed since it was built", where=str(source), mend=mend)
    return library


def _stamp(source: Path) -> str:
    beside = sorted(p for p in source.absolute().parent.iterdir() if p.suffix in _BESIDE)
    made_of = [("", " ".join(FLAGS).encode()), *((p.name, p.read_bytes()) for p in (source, *beside))]
    return f"pyrt:{core_built()}:{digest(made_of)}:"


def _tools() -> list[str]:
    if find_spec("Cython") is None:
        raise ConfigError("Cython is not installed", where="build", mend="pip install 'pyrt-trading[build]'")
    if not Path(sysconfig.get_path("include"), "Python.h").is_file():
        raise ConfigError("the headers of Python are not installed", where="build", mend="apt install python3-dev, or the like")
    compiler = shlex.split(os.environ.get("CC") or str(sysconfig.get_config_var("CC") or "cc"))
    try:
        subprocess.run([compiler[0], "--version"], capture_output=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        mend = "apt install gcc, xcode-select --install, or name one in CC"
        raise ConfigError(f"no C compiler: {compiler[0]} does not run", where="build", mend=mend) from None
    return compiler


def _run(command: Sequence[str], source: Path) -> None:
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode == 0:
        return
    said = done.stdout + done.stderr
    found = list(dict.fromkeys(re.findall(r"^(\S+:\d+:\d+): (?:(?:fatal )?error: )?(.+)$", said, re.M)))
    if not found:
        print(said, file=sys.stderr)
        raise ConfigError(f"{command[0]} failed ({done.returncode})", where=str(source), mend="see above")
    for place, what in found[1:]:
        print(f"{place}: {what}", file=sys.stderr)
    raise ConfigError(found[0][1], where=found[0][0], mend="mend the file and build it again")
