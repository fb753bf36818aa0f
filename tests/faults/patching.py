"""Faults seeded into our own source: another text for a few lines of a module, at its import, in this interpreter alone."""

import importlib.machinery
import importlib.util
import sys
from collections.abc import Sequence
from pathlib import Path
from types import CodeType, ModuleType
from typing import NamedTuple


class Patch(NamedTuple):
    """One change of one module."""

    module: str
    old: str  # must be there exactly once
    new: str


class Misfit(Exception):
    """A patch that does not fit the source: the mutant must be written anew."""


def patched(patches: Sequence[Patch], source: str) -> str:
    """The source of a module with its patches. Raises Misfit."""
    for patch in patches:
        if (found := source.count(patch.old)) != 1:
            raise Misfit(f"{patch.module} has {found} times: {patch.old!r}")
        if patch.new == patch.old:
            raise Misfit(f"{patch.module}: nothing is changed by {patch.new!r}")
        source = source.replace(patch.old, patch.new)
    return source


class _Loader(importlib.machinery.SourceFileLoader):
    """Compiles the changed text; neither reads nor writes compiled files."""

    def __init__(self, name: str, path: str, patches: Sequence[Patch]) -> None:
        super().__init__(name, path)
        self._patches = patches

    def get_code(self, fullname: str) -> CodeType:
        source = patched(self._patches, Path(self.path).read_text(encoding="utf-8"))
        return compile(source, f"{self.path} (mutant)", "exec", dont_inherit=True)


class Hook:
    """A finder for the modules of a mutant; the tree is not touched. Raises Misfit for one that was imported before."""

    def __init__(self, patches: Sequence[Patch]) -> None:
        self.of: dict[str, list[Patch]] = {}
        for patch in patches:
            self.of.setdefault(patch.module, []).append(patch)
        if early := sorted(self.of.keys() & sys.modules.keys()):
            raise Misfit(f"imported before it could be changed: {', '.join(early)}")
        self.applied: set[str] = set()

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        """A spec with our loader for what is to be changed."""
        if name not in self.of:
            return None
        found = importlib.machinery.PathFinder.find_spec(name, path)
        if found is None or found.origin is None or not found.origin.endswith(".py"):
            raise Misfit(f"{name} is no Python source")
        self.applied.add(name)
        package = found.submodule_search_locations
        loader = _Loader(name, found.origin, self.of[name])
        return importlib.util.spec_from_file_location(name, found.origin, loader=loader, submodule_search_locations=package)

    def check(self) -> None:
        """After all imports. Raises Misfit where a patch lay beside what runs."""
        if unused := sorted(self.of.keys() - self.applied):
            raise Misfit(f"never imported: {', '.join(unused)}")


def install(patches: Sequence[Patch]) -> Hook:
    """Put a mutant in place of our code, before any of it is imported."""
    hook = Hook(patches)
    sys.meta_path.insert(0, hook)
    return hook
