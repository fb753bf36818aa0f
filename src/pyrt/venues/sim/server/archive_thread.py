"""One thread for all questions to the archive: its caches are not made for two, and the loop goes on while a page is made."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import ParamSpec, TypeVar

from aiohttp import web

P = ParamSpec("P")
R = TypeVar("R")


class ArchiveThread:
    """Runs what it is given, one after the other."""

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="pyrt-sim-archive")

    async def run(self, work: Callable[P, R], *args: P.args, **options: P.kwargs) -> R:
        """The result of `work`."""
        return await asyncio.get_running_loop().run_in_executor(self._pool, lambda: work(*args, **options))

    async def close(self, app: web.Application) -> None:
        """End the thread."""
        self._pool.shutdown(wait=True, cancel_futures=True)
