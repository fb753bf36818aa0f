"""How much a nightly test does: a default that takes minutes, and an environment variable for whoever has hours."""

import os


def size(name: str, default: int) -> int:
    """$PYRT_<name>, else the default."""
    return int(os.environ.get(f"PYRT_{name}", default))
