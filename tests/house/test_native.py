"""What Cython makes of the hot functions: C without a call into Python. `noexcept nogil` promises it; this reads the C itself."""

import hashlib
import importlib.util
import re
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
CORE = ROOT / "src" / "pyrt" / "_core"
MODULES = sorted(path.stem for path in CORE.glob("*.pyx"))
PYTHON = re.compile(r"\b(?:_?Py[A-Z]\w*|__Pyx_\w+)\b")
FUNCTION = re.compile(r"^ *static [^\n;=]*?\b__pyx_f_4pyrt_5_core_(\w+)\([^;{]*\) \{\n", re.M)
NO_CODE = re.compile(r'/\*.*?\*/|"(?:[^"\\\n]|\\.)*"|\'(?:[^\'\\\n]|\\.)*\'', re.S)


def functions(text: str) -> list[tuple[str, str]]:
    """The C functions of Cython's output: mangled name and body, without comments and strings.

    By counting braces: Cython's own indentation goes by those within comments and strings, too.
    """
    text, found = NO_CODE.sub("", text), []
    for begun in FUNCTION.finditer(text):
        depth, at = 1, begun.end()
        while depth:
            brace = re.compile(r"[{}]").search(text, at)
            assert brace
            depth += 1 if brace[0] == "{" else -1
            at = brace.end()
        found.append((begun[1], text[begun.end() : at]))
    return found


@cache
def directives() -> tuple[str, ...]:
    """As the build has them: without them Cython writes checks, and exceptions, of its own."""
    told = re.search(r"set\(directives (.*?)\)\n", (CORE / "CMakeLists.txt").read_text(encoding="utf-8"), re.S)
    assert told
    words = [re.sub(r"\$<IF:.*>$", "False", word) for word in told[1].split()]
    return tuple(part for word in words for part in ("-X", word))


def sources(module: str) -> list[Path]:
    """Its file, and the headers that it and they cimport."""
    found, ahead = {CORE / f"{module}.pyx"}, [CORE / f"{module}.pyx", CORE / f"{module}.pxd"]
    while ahead:
        path = ahead.pop()
        if not path.exists():
            continue
        found.add(path)
        text = path.read_text(encoding="utf-8")
        names = re.findall(r"^from pyrt\._core\.(\w+) cimport", text, re.M)
        names += [name.strip() for names in re.findall(r"^from pyrt\._core cimport (.*)", text, re.M) for name in names.split(",")]
        ahead += [CORE / f"{name}.pxd" for name in names if CORE / f"{name}.pxd" not in found]
    return sorted(found)


def written(module: str) -> str:
    """The C of a module: what the build wrote, where that is newer than the sources, else Cython's, kept under build/."""
    newest = max(path.stat().st_mtime for path in sources(module))
    for build in [ROOT / "build" / "inplace", *sorted((ROOT / "build").glob("*-wheel"))]:
        if (build / f"{module}.c").exists() and (build / f"{module}.c").stat().st_mtime > newest:
            return (build / f"{module}.c").read_text(encoding="utf-8")
    return transpiled(module)


def transpiled(module: str) -> str:
    if importlib.util.find_spec("Cython") is None:
        pytest.skip("no build of these sources is here, and no Cython")
    whole = hashlib.blake2b(" ".join(directives()).encode(), digest_size=8)
    for path in sources(module):
        whole.update(path.read_bytes())
    made = ROOT / "build" / "hot" / f"{module}-{whole.hexdigest()}.c"
    if not made.exists():
        made.parent.mkdir(parents=True, exist_ok=True)
        part = made.with_suffix(f".{id(whole)}.c")
        argv = [sys.executable, "-m", "cython", "-3", *directives(), "--shared=pyrt._core._cyutility", f"-I{ROOT / 'src'}"]
        subprocess.run([*argv, "--module-name", f"pyrt._core.{module}", "-o", part, CORE / f"{module}.pyx"], check=True)
        part.replace(made)
    return made.read_text(encoding="utf-8")


def pyx_functions(module: str) -> dict[str, bool]:
    """Its C functions by `name` or `Class.name`: whether they are hot."""
    out: dict[str, bool] = {}
    inside = ""
    text = re.sub(r"\n[ \t]+(?![ \t]*cdef)(?=[^\n]*\) noexcept)", " ", (CORE / f"{module}.pyx").read_text(encoding="utf-8"))
    for line in text.splitlines():
        if begun := re.match(r"cdef class (\w+)", line):
            inside = f"{begun[1]}."
        elif re.match(r"\S", line) and not line.startswith(("#", "@", ")")):
            inside = ""
        if function := re.match(r"\s*cdef (?!class|struct|enum|extern|union|packed)[^=(]*?(\w+)\(", line):
            if line.startswith("cdef"):
                inside = ""
            out[inside + function[1]] = "noexcept" in line and "nogil" in line
    return out


def c_functions(module: str) -> dict[str, str]:
    """Bodies by the same names, of the functions that the module's own sources define."""
    out = {}
    for mangled, body in functions(written(module)):
        own = f"{len(module)}{module}_"
        if not mangled.startswith(own):
            continue
        rest = mangled[len(own) :]
        if length := re.match(r"\d+", rest):
            n = int(length[0])
            rest = rest[length.end() :]
            rest = f"{rest[:n]}.{rest[n + 1 :]}"
        out[rest] = body
    return out


@pytest.mark.row("S098")
@pytest.mark.parametrize("module", MODULES)
def test_the_c_of_hot_functions_never_calls_python(module: str) -> None:
    hot = {name for name, is_hot in pyx_functions(module).items() if is_hot}
    bodies = c_functions(module)
    assert hot <= set(bodies), "some were not found in what Cython wrote"
    assert {name: sorted(set(PYTHON.findall(bodies[name]))) for name in hot if PYTHON.search(bodies[name])} == {}


@pytest.mark.row("S098")
@pytest.mark.parametrize("module", MODULES)
def test_inline_functions_of_headers_never_call_python(module: str) -> None:
    """fixed, json, msgpack, windows and their like: everything that a .pxd defines runs inside hot functions."""
    headers = {path.stem for path in CORE.glob("*.pxd")} - {module, "buffers"}
    found = {}
    for mangled, body in functions(written(module)):
        if (of := re.match(r"(\d+)(\w+)", mangled)) and of[2][: int(of[1])] in headers and PYTHON.search(body):
            found[mangled] = sorted(set(PYTHON.findall(body)))
    assert found == {}


def test_every_hot_function_is_looked_at() -> None:
    """As many as stand in the sources, whatever comes before them."""
    found = {module: sum(pyx_functions(module).values()) for module in MODULES}
    wanted = {
        module: len(
            re.findall(r"^\s*cdef [^=#]*?\([^)]*\) noexcept[^\n]*nogil:", (CORE / f"{module}.pyx").read_text("utf-8"), re.M)
        )
        for module in MODULES
    }
    assert {module: (n, found[module]) for module, n in wanted.items() if found[module] < n} == {}
    assert sum(found.values()) > 300


def test_the_check_can_fail() -> None:
    text = (
        "  static int __pyx_f_4pyrt_5_core_4book_slow(int x) {\n"
        "    /* } */ f(\"}\", '}');\n    PyObject *o = __Pyx_PyLong_From_int(x);\n  }\n"
    )
    [(mangled, body)] = functions(text)
    assert mangled == "4book_slow"
    assert PYTHON.findall(body) == ["PyObject", "__Pyx_PyLong_From_int"]
    cold = [name for name, is_hot in pyx_functions("bars").items() if not is_hot]
    assert any(PYTHON.search(c_functions("bars")[name]) for name in cold)
