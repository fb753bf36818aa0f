"""`make reproducible`: the wheel built twice, in two directories, is the same bytes, and names no place of this machine.

Built from what git would commit (tracked files and new ones that are not ignored), with SOURCE_DATE_EPOCH as packagers set it.
"""

import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
EPOCH = "1764547200"
_PLACES = re.compile(rb"/(?:home|root|tmp|work|Users|build|private|opt|mnt)/[\w./-]+")
_SECRETS = re.compile(
    rb"PK[A-Z0-9]{18}|AK[A-Z0-9]{18}|-----BEGIN [A-Z ]*PRIVATE KEY|gh[pousr]_[A-Za-z0-9]{30}|pypi-[A-Za-z0-9_-]{20}"
)


def copy(to: Path) -> None:
    """What git has, or would take."""
    listed = subprocess.run(["git", "ls-files", "-coz", "--exclude-standard"], cwd=ROOT, check=True, capture_output=True).stdout
    for name in filter(None, listed.decode().split("\0")):
        if (ROOT / name).is_file():
            (to / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(ROOT / name, to / name)


def build(place: Path, umask: int) -> Path:
    """A wheel of the copy that lies there."""
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(place / "dist"), str(place / "pyrt")]
    env = {**os.environ, "SOURCE_DATE_EPOCH": EPOCH, "TMPDIR": str(place)}
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=False, umask=umask)
    if done.returncode:
        raise SystemExit(done.stdout[-3000:] + done.stderr[-3000:])
    (wheel,) = (place / "dist").glob("*.whl")
    return wheel


def differences(one: Path, two: Path) -> list[str]:
    """Names of what is not the same in two wheels."""
    with zipfile.ZipFile(one) as a, zipfile.ZipFile(two) as b:
        left, right = ({i.filename: (i.CRC, i.date_time, i.external_attr) for i in z.infolist()} for z in (a, b))
    names = sorted(name for name in {*left, *right} if left.get(name) != right.get(name))
    return names or ([] if digest(one) == digest(two) else ["the order or the compression of the files"])


def digest(path: Path) -> str:
    """SHA-256, as a package index shows it."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def findings(wheel: Path, *places: Path) -> Iterator[str]:
    """What a wheel says that it should not: places of the machine, secrets, names of the test keys' kind."""
    with zipfile.ZipFile(wheel) as archive:
        for name in archive.namelist():
            content = archive.read(name)
            for place in places:
                if str(place).encode() in content:
                    yield f"{name}: {place}"
            found = _SECRETS.findall(content)
            found += _PLACES.findall(content) if name.endswith(".so") else []
            yield from (f"{name}: {text.decode(errors='replace')}" for text in dict.fromkeys(found))


def main() -> None:
    """Build twice, compare, look inside; exit status 1 where something is found."""
    with tempfile.TemporaryDirectory(prefix="a") as first, tempfile.TemporaryDirectory(prefix="another-place-") as second:
        for place in (first, second):  # both before the first is built: that takes minutes, and somebody may go on working
            copy(Path(place) / "pyrt")
        one, two = build(Path(first), 0o022), build(Path(second), 0o077)
        print(f"{digest(one)}  {one.name}\n{digest(two)}  {two.name}")
        found = [f"differs: {name}" for name in differences(one, two)]
        found += findings(one, Path(first), Path(second), ROOT, Path.home())
    print("\n".join(found) or "the same bytes; no place of this machine and no secret in them")
    raise SystemExit(bool(found))


if __name__ == "__main__":
    main()
