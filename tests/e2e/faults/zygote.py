"""A process that has imported everything and forks sessions: `python -m tests.e2e.faults.zygote`, under LD_PRELOAD of the shim.

A line of JSON in, a line out. {"argv", "log", "env", "arm"} begins `pyrt` with these arguments and answers its pid; {"wait": pid,
"patience": s} answers how it ended (negative: by that signal), or null where it still runs. It ends with its stdin.
"""

import ctypes
import gc
import importlib
import json
import os
import signal
import sys
import threading
import time
from typing import Any

WARM = (
    "pyrt.cli.run",
    "pyrt.cli.kill",
    "pyrt.live.alerts",
    "pyrt.venues.sim.child",
    "pyrt.watchdog",
    "rich.console",
    "sqlite3",
    "encodings.idna",
    "requests",
    "picows",
    "numpy",
)
STEP = 0.005  # s between two looks at a child


def main() -> None:
    for name in WARM:
        importlib.import_module(name)
    assert threading.active_count() == 1, threading.enumerate()
    gc.collect()
    gc.freeze()
    print(json.dumps("ready"), flush=True)
    for line in sys.stdin:
        asked = json.loads(line)
        print(json.dumps(_wait(**asked) if "wait" in asked else _fork(asked)), flush=True)


def _wait(wait: int, patience: float) -> int | None:
    give_up = time.monotonic() + patience
    while True:
        pid, status = os.waitpid(wait, os.WNOHANG)
        if pid:
            return os.waitstatus_to_exitcode(status)
        if time.monotonic() > give_up:
            return None
        time.sleep(STEP)


def _fork(asked: dict[str, Any]) -> int:
    pid = os.fork()
    if not pid:
        _child(**asked)
    return pid


def _send_before_it_is_durable() -> None:
    from pyrt.live.shell import LiveShell

    LiveShell._hold = LiveShell._send  # type: ignore[method-assign,assignment]


def _forget_what_happened_meanwhile() -> None:
    from pyrt.venues.alpaca import pages

    pages.read_fills = lambda *_, **__: ()  # type: ignore[attr-defined]


MUTANTS = {f.__name__.strip("_"): f for f in (_send_before_it_is_durable, _forget_what_happened_meanwhile)}


def _child(argv: list[str], log: str, env: dict[str, str], arm: list[Any] | None, mutant: str) -> None:
    """Never returns. What the session prints goes to `log`; the shim is armed before anything of pyrt runs."""
    fd = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    for number in (1, 2):
        os.dup2(fd, number)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    os.environ.update(env)
    os.environ.pop("LD_PRELOAD", None)  # children of the session are not counted
    sys.argv = ["pyrt", *argv]
    code: object = 70
    try:
        if arm is not None:
            directory, filter_, port, mask, what, at, error, trace = arm
            ctypes.CDLL(None).arm(directory.encode(), filter_.encode(), port, mask, what, ctypes.c_long(at), error, trace.encode())
        if mutant:
            MUTANTS[mutant]()
        from pyrt.__main__ import main as run

        run()
        code = 0
    except SystemExit as e:
        code = e.code or 0
    except BaseException:  # what the interpreter would show
        import traceback

        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code if isinstance(code, int) else 1)


if __name__ == "__main__":
    main()
