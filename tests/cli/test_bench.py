"""`pyrt bench` measures from wherever pyrt is, and says in one line what it lacks."""

import json
import os
import sys
from pathlib import Path
from subprocess import run

import pytest

from pyrt.cli import bench
from pyrt.errors import ConfigError


def test_it_measures_with_nothing_of_the_directory_it_is_called_in(tmp_path: Path) -> None:
    (tmp_path / "conftest.py").write_text("raise RuntimeError")
    (tmp_path / "pytest.ini").write_text("[pytest]\naddopts = --no-such-option\n")
    argv = [sys.executable, "-m", "pyrt", "bench", "--quick", "--json", "out.json"]
    env = os.environ | {"PYTHONPATH": str(Path(bench.__file__).absolute().parents[2])}
    done = run(argv, cwd=tmp_path, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    told = {each["name"]: each["stats"] for each in json.loads((tmp_path / "out.json").read_text())["benchmarks"]}
    assert {"test_book_update_and_best_price", "test_check_an_order_reserve_it_and_take_it_back"} <= set(told)
    assert all(0 < stats["min"] <= stats["median"] for stats in told.values())
    assert sorted(p.name for p in tmp_path.iterdir()) == ["conftest.py", "out.json", "pytest.ini"]


def test_without_the_plugin_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bench, "find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=r"pip install 'pyrt-trading\[bench\]'"):
        bench.bench()
