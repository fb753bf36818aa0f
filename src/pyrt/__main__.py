"""`python -m pyrt VERB`."""

import sys

from pyrt.cli import app
from pyrt.errors import PyrtError


def main() -> None:
    """Run the command line; a mistake of the user's is one line and exit status 1."""
    try:
        app()
    except PyrtError as e:
        print(f"pyrt: {e}", file=sys.stderr)
        raise SystemExit(1) from None
    except KeyboardInterrupt:
        raise SystemExit(130) from None


if __name__ == "__main__":
    main()
