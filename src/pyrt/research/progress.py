"""How far a long run is: a bar on a terminal, or the caller's own function."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def shown(progress: bool | Callable[[int, int], None], rows: int) -> Iterator[Callable[[int], None]]:
    """A function that takes how many records were played, shown against `rows` (0 = not known).

    True: a progress bar, only where standard error is a terminal.
    """
    if callable(progress):
        told = progress
        yield lambda done: told(done, rows)
    elif progress and sys.stderr.isatty():
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

        columns = (TextColumn("backtest"), BarColumn(), TextColumn("{task.completed:,.0f} records"), TimeElapsedColumn())
        with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
            task = bar.add_task("backtest", total=None)
            yield lambda done: bar.update(task, completed=done)
    else:
        yield lambda done: None
