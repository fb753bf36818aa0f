"""`python -m pyrt VERB`."""

import os
import sys
import threading
from typing import Any

from pyrt.errors import PyrtError

# All else is imported when it is needed: `pyrt kill` has blocked the orders by then.


def main() -> None:
    """Run the command line; a mistake of the user's is one line and exit status 1; a journal of a newer program, 2."""
    if sys.argv[1:2] == ["kill"]:
        from pyrt.monitor.block import block

        block(sys.argv[2:])
    from pyrt.process import confine, holding

    confine()
    sys.excepthook = _show
    threading.excepthook = lambda gone: _show(gone.exc_type, gone.exc_value, gone.exc_traceback)
    sys.unraisablehook = lambda gone: _show(gone.exc_type, gone.exc_value, gone.exc_traceback)
    with holding():
        _run()


def _run() -> None:
    from cyclopts import CycloptsError

    from pyrt.cli import app

    try:
        app(sys.argv[1:], print_error=False, exit_on_error=False)
    except PyrtError as e:
        _end(str(e), e.status)
    except CycloptsError as e:
        _end(f"{' '.join(str(e).split())} -- see `pyrt {' '.join([*(e.command_chain or ()), '--help'])}`")
    except BrokenPipeError:  # who read our output has gone
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise SystemExit(1) from None
    except OSError as e:
        _end(f"{e.filename or 'system'}: {e.strerror or e} -- check the path, its permissions and the disk")
    except KeyboardInterrupt:
        raise SystemExit(130) from None


def _show(kind: type[BaseException], error: BaseException | None, trace: Any) -> None:
    """What ends the process or a thread by surprise, with every known secret masked."""
    import traceback

    sys.stderr.write(_masked("".join(traceback.format_exception(kind, error, trace))))


def _masked(text: str) -> str:
    from pyrt.config.secret import Secret, know, masked  # not before: `pyrt --help` needs none of it
    from pyrt.process import held_keys

    know(*(Secret(value) for value in held_keys()))  # an argument may repeat what nobody has read yet
    return masked(text)


def _end(text: str, status: int = 1) -> None:
    print(f"pyrt: {_masked(text)}", file=sys.stderr)
    raise SystemExit(status) from None


if __name__ == "__main__":
    main()
