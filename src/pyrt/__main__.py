"""`python -m pyrt VERB`."""

import os
import resource
import sys

from cyclopts import CycloptsError

from pyrt.cli import app
from pyrt.errors import PyrtError


def main() -> None:
    """Run the command line; a mistake of the user's is one line and exit status 1; a journal of a newer program, 2."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # no core file holds the keys of a process that failed
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


def _end(text: str, status: int = 1) -> None:
    print(f"pyrt: {text}", file=sys.stderr)
    raise SystemExit(status) from None


if __name__ == "__main__":
    main()
