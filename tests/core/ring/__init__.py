"""C programs over the ring's own header: a model of all it can come to, a drill of real processes, hostile pages."""

import shutil
import subprocess
from pathlib import Path

HERE = Path(__file__).parent
INCLUDE = HERE.parents[2] / "src" / "pyrt" / "_core" / "include"
COMPILER = shutil.which("cc") or shutil.which("gcc")


def build(program: str, folder: Path, *flags: str) -> Path:
    """Compile PROGRAM.c beside this file; strictly, so that a warning fails the test."""
    binary = folder / "-".join([program, *(flag.lstrip("-").replace("=", "-") for flag in flags)])
    command = [str(COMPILER), "-std=gnu17", "-O3", "-Wall", "-Wextra", "-Werror", *flags, f"-I{INCLUDE}"]
    subprocess.run([*command, "-o", str(binary), str(HERE / f"{program}.c"), "-lpthread"], check=True)
    return binary
