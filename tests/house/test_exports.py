"""The public face: sorted, complete, importable without a network or heavy packages."""

import subprocess
import sys

import pyrt


def test_all_is_sorted_and_complete() -> None:
    assert list(pyrt.__all__) == sorted(pyrt.__all__)
    for name in pyrt.__all__:
        assert getattr(pyrt, name) is not None


def test_help_imports_only_the_command_line() -> None:
    script = "import sys, runpy; sys.argv = ['pyrt', '--help']\n"
    script += "try: runpy.run_module('pyrt', run_name='__main__')\nexcept SystemExit: pass\n"
    script += "print('HEAVY', [m for m in ('numpy', 'aiohttp', 'requests', 'zmq', 'pandas', 'picows') if m in sys.modules])"
    out = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout
    assert "HEAVY []" in out
    assert "run" in out
    assert "sim" in out


def test_the_online_path_needs_no_research_package() -> None:
    script = "import sys, pyrt, pyrt.session, pyrt.live; print([m for m in ('pandas', 'sklearn', 'plotly') if m in sys.modules])"
    out = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout
    assert out.strip() == "[]"
