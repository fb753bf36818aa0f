"""`pyrt build`: what it makes, what it leaves alone, and what it says of a mistake."""

import os
import re
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

from pyrt.cli import build
from pyrt.cli.strategies import load_class
from pyrt.errors import ConfigError

SMALL = """
from pyrt._core.strategy cimport CompiledStrategy
from pyrt._core.types cimport trade_t
from pyrt import Strategy

cdef class _Idle(CompiledStrategy):
    cdef long seen
    cdef int on_trade(self, const trade_t* trade) except -1 nogil:
        self.seen += 1
        return 0

class Idle(_Idle, Strategy):
    symbols = ("AAPL",)
"""


@pytest.fixture
def source(tmp_path: Path) -> Path:
    pytest.importorskip("Cython", reason="Cython is not installed: pyrt build is not tested")
    file = tmp_path / "small.pyx"
    file.write_text(SMALL)
    return file


def pyrt(*arguments: str, **env: str) -> subprocess.CompletedProcess[str]:
    argv = [sys.executable, "-m", "pyrt", *arguments]
    return subprocess.run(argv, capture_output=True, text=True, env={**os.environ, **env})


def test_it_builds_beside_the_file_and_again_only_what_changed(source: Path) -> None:
    with pytest.raises(ConfigError, match=r"it is not built.*python -m pyrt build"):
        load_class(str(source))
    done = pyrt("build", str(source))
    assert done.returncode == 0, done.stderr
    library = source.with_name("small" + sysconfig.get_config_var("EXT_SUFFIX"))
    assert sorted(source.parent.iterdir()) == sorted([source, library])
    assert load_class(str(source)) is load_class(f"{source}:Idle")
    assert load_class(str(library)).__name__ == "Idle"
    before = library.stat().st_mtime_ns
    assert build.compile_file(source) is None
    assert library.stat().st_mtime_ns == before
    source.write_text(SMALL.replace("long seen", "int seen"))
    with pytest.raises(ConfigError, match="has changed since it was built"):
        load_class(str(source))


def test_another_core_asks_for_another_build(source: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    library = build.library_of(source)
    library.write_bytes(f"ELF {build._stamp(source)} and more".encode())
    assert build.check(source) == library
    monkeypatch.setattr(build, "core_built", lambda: "0" * 64)
    with pytest.raises(ConfigError, match="or pyrt, has changed"):
        build.check(source)


@pytest.mark.parametrize(
    ("old", "new", "where", "what"),
    [
        ("self.seen += 1", "self.sean += 1", ":9:", "Accessing Python attribute not allowed without gil"),
        ("const trade_t* trade", "const trade_t* trade, int x", ":8:", "Signature not compatible"),
        ("except -1 nogil", "noexcept nogil", ":8:", "Signature not compatible"),
    ],
)
def test_a_mistake_in_the_file_is_told_with_its_line(source: Path, old: str, new: str, where: str, what: str) -> None:
    source.write_text(SMALL.replace(old, new))
    with pytest.raises(ConfigError, match=what) as told:
        build.compile_file(source)
    assert f"{source}{where}" in str(told.value)
    assert list(source.parent.iterdir()) == [source]


def test_without_a_compiler_it_says_so_in_one_line(source: Path) -> None:
    done = pyrt("build", str(source), CC="/no/such/compiler")
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert "no C compiler: /no/such/compiler does not run" in done.stderr


def test_without_cython_or_headers_it_says_so(source: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with monkeypatch.context() as without:
        without.setattr(build, "find_spec", lambda name: None)
        with pytest.raises(ConfigError, match=r"Cython is not installed.*pyrt-trading\[build\]"):
            build.compile_file(source)
    monkeypatch.setattr(build.sysconfig, "get_path", lambda name: str(tmp_path))
    with pytest.raises(ConfigError, match="headers of Python are not installed"):
        build.compile_file(source)


FUSED = """
# cython: language_level=3
def product_and_sum(double a, double b, double c):
    return a * b + c
"""
ROOT = Path(__file__).parents[2]


def test_a_compiled_strategy_has_the_flags_of_the_core() -> None:
    """Those that decide what a double becomes, above all: it says what its twin in Python says, on every processor."""
    text = (ROOT / "src" / "pyrt" / "_core" / "CMakeLists.txt").read_text(encoding="utf-8")
    always = re.search(r"^target_compile_options\(core INTERFACE (.*)\)$", text, re.M)
    assert always
    core = always[1].split()
    assert [flag for flag in core if flag.startswith(("-ffp", "-fexcess", "-ffast", "-frounding", "-fno-", "-m"))] != []
    assert [flag for flag in core if flag not in build.FLAGS] == []
    loose = ("-ffast-math", "-Ofast", "-funsafe-math-optimizations", "-fassociative-math", "-freciprocal-math", "-march=native")
    assert [flag for flag in build.FLAGS if flag in loose or flag.startswith("-ffp-contract=")] == ["-ffp-contract=off"]


def test_products_and_sums_stay_apart_where_the_processor_could_fuse_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Fused, a * b + c is rounded once, and this one is -2^-60; apart, as Python has it, it is 0."""
    pytest.importorskip("Cython", reason="Cython is not installed: pyrt build is not tested")
    source = tmp_path / "fused.pyx"
    source.write_text(FUSED)
    told = Path("/proc/cpuinfo").read_text() if Path("/proc/cpuinfo").exists() else ""
    if " fma " in told:  # this processor can, but only if the compiler may use what is beyond the first of its line
        monkeypatch.setenv("CC", f"{os.environ.get('CC') or sysconfig.get_config_var('CC') or 'cc'} -mfma")
    build.compile_file(source)
    script = "import fused; x = 2.0**-30; print(fused.product_and_sum(1 + x, 1 - x, -1.0), (1 + x) * (1 - x) - 1.0)"
    done = subprocess.run([sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True)
    assert done.stdout.split() == ["0.0", "0.0"], done.stderr
    assert build.check(source)
    monkeypatch.setattr(build, "FLAGS", (*build.FLAGS, "-O1"))  # what other flags made is not up to date
    with pytest.raises(ConfigError, match="has changed since it was built"):
        build.check(source)


def test_what_is_no_source_is_refused(tmp_path: Path) -> None:
    other = tmp_path / "my-strategy.pyx"
    other.write_text("")
    for file, words in ((tmp_path / "x.py", "is not a .pyx file"), (other, "cannot be imported")):
        with pytest.raises(ConfigError, match=words):
            build.compile_file(file)
    with pytest.raises(ConfigError, match="no file"):
        build.build()
