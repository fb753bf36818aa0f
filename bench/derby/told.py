"""What every contestant prints: a line of JSON with the moment (CLOCK_MONOTONIC) and what it believes. Standard library alone."""

import json
import logging
import sys
import threading
import time
from typing import Any

TARGET = 10  # shares of AAPL, one an order
SYMBOL = "AAPL"
_lock = threading.Lock()
_last_data = 0.0


def tell(kind: str, **more: Any) -> None:
    """Print one line."""
    with _lock:
        sys.stdout.write(json.dumps({"at": time.monotonic(), "kind": kind, **more}) + "\n")
        sys.stdout.flush()


def data() -> None:
    """Market data came; at most twenty lines a second."""
    global _last_data
    now = time.monotonic()
    if now - _last_data >= 0.05:
        _last_data = now
        tell("data")


def believe(position: float, orders: int) -> None:
    """The bot's own position, and how many orders it knows to have reached the venue."""
    tell("belief", position=position, orders=orders)


class Notices(logging.Handler):
    """A library's warnings and errors: it has noticed something."""

    def emit(self, record: logging.LogRecord) -> None:
        tell("notice", logger=record.name, text=record.getMessage()[:200])


def listen() -> None:
    """Pass on what any library warns of."""
    logging.getLogger().addHandler(Notices(logging.WARNING))
