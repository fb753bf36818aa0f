"""The bill of materials of a release, CycloneDX 1.6 as JSON: `python .github/sbom.py > pyrt.cdx.json`.

What a wheel is built by is in it with its version and hashes, as .github/release.txt locks it; what an installed pyrt needs, with
the range that pyproject.toml gives, for pip picks the version. The same sources give the same bytes.
"""

import json
import re
import tomllib
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
_LOCKED = re.compile(r"^([\w.-]+)==([^ ;\\]+)(?: *; *([^\\]+?))? *\\?$")
_HASH = re.compile(r"--hash=sha256:([0-9a-f]{64})")
_NEEDED = re.compile(r"^([\w.-]+)(?:\[[\w,-]+\])? *([^;]*?) *(?:;.*)?$")


def bill() -> dict[str, Any]:
    """The whole document."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    ours = {"type": "library", "bom-ref": "pyrt", "name": project["name"], "version": project["version"]}
    ours |= {"licenses": [{"license": {"id": project["license"]}}], "purl": _purl(project["name"], project["version"])}
    needed = [_needed(text, "required") for text in project["dependencies"]]
    extras = {text for name in ("direct", "build", "pg", "report") for text in project["optional-dependencies"][name]}
    needed += [_needed(text, "optional") for text in sorted(extras)]
    tools = list(_locked((ROOT / ".github" / "release.txt").read_text(encoding="utf-8")))
    return {
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {"component": ours, "lifecycles": [{"phase": "build"}]},
        "components": [*needed, *tools],
        "dependencies": [
            {"ref": "pyrt", "dependsOn": [one["bom-ref"] for one in needed if one["scope"] == "required"]},
        ],
    }


def _needed(text: str, scope: str) -> dict[str, Any]:
    found = _NEEDED.match(text)
    assert found, text
    name, wanted = found[1], found[2]
    pinned = wanted[2:] if wanted.startswith("==") else ""
    component = {"type": "library", "bom-ref": f"needs/{name}", "name": name, "scope": scope, "purl": _purl(name, pinned)}
    return component | ({"version": pinned} if pinned else {"properties": [{"name": "pyrt:versions", "value": wanted}]})


def _locked(lock: str) -> list[dict[str, Any]]:
    """What builds a release: it is in no wheel."""
    found: list[dict[str, Any]] = []
    for line in lock.splitlines():
        if head := _LOCKED.match(line):
            name, version = head[1], head[2]
            one = {"type": "application", "bom-ref": f"builds/{name}", "name": name, "version": version, "scope": "excluded"}
            found.append(one | {"purl": _purl(name, version), "hashes": []})
        elif held := _HASH.search(line):
            found[-1]["hashes"].append({"alg": "SHA-256", "content": held[1]})
    return found


def _purl(name: str, version: str) -> str:
    return f"pkg:pypi/{re.sub(r'[-_.]+', '-', name).lower()}" + (f"@{version}" if version else "")


if __name__ == "__main__":
    print(json.dumps(bill(), indent=1))
