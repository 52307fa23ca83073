"""Executors: processes of this machine that are replaced when one dies, and the workers of a Dask cluster.

Both are made for a command that owns its workers; any other concurrent.futures.Executor does as well.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import signal
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from threading import Thread
from typing import Any

from hdlimit.core import checks
from hdlimit.errors import InvalidInput

# Seconds in which a Dask scheduler has to answer.
DASK_SECONDS = 5.0


class Processes(Executor):
    """Processes of this machine, started afresh; a pool in which one died is replaced by a new one.

    The processes end when this process ends, also when it is killed.

    Parameters
    ----------
    workers : int
        Number of processes.
    """

    def __init__(self, workers: int) -> None:
        self._workers = checks.count("workers", workers)
        self._pool = self._new()

    def _new(self) -> ProcessPoolExecutor:
        return ProcessPoolExecutor(self._workers, multiprocessing.get_context("spawn"), initializer=_begin)

    def submit(self, work: Callable[..., Any], /, *args: Any, **options: Any) -> Future[Any]:
        """Hand out a call; after the death of a worker, to new ones."""
        try:
            return self._pool.submit(work, *args, **options)
        except BrokenProcessPool:
            self._pool.shutdown()
            self._pool = self._new()
            return self._pool.submit(work, *args, **options)

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Take no more work, and end the processes when what they have is done."""
        self._pool.shutdown(wait, cancel_futures=cancel_futures)


def _begin() -> None:
    """Let an interrupt, and the end of the process that started it, end a new worker without a message."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


@contextmanager
def dask_workers(address: str, seconds: float = DASK_SECONDS) -> Iterator[Executor]:
    """Use the workers of a Dask cluster as an executor inside a with block.

    Parameters
    ----------
    address : str
        Address of the scheduler, such as tcp://127.0.0.1:8786.
    seconds : float, default 5
        How long the scheduler and its first worker may take to answer.

    Yields
    ------
    concurrent.futures.Executor
        The cluster as an executor; closed at the end of the block.

    Raises
    ------
    InvalidInput
        Where no scheduler answers, no worker is there, or `distributed` is not installed.
    """
    try:
        from distributed import Client
    except ImportError as error:
        expected = "an installed package distributed: pip install 'hdlimit[dask]'"
        raise InvalidInput("dask", expected, f"{type(error).__name__}: {error}") from error
    _check_scheduler(address, seconds)
    with Client(address, timeout=seconds, set_as_default=False) as client:
        try:
            client.wait_for_workers(1, timeout=seconds)
        except TimeoutError as error:
            expected = f"a Dask cluster with a worker within {seconds:g} s"
            raise InvalidInput("dask", expected, f"one without workers at {address!r}") from error
        yield client.get_executor(pure=False)


def _check_scheduler(address: str, seconds: float) -> None:
    """Raise InvalidInput if no Dask scheduler answers: a Client that fails to connect leaves threads behind."""

    async def kind() -> object:
        async with rpc(address, timeout=seconds) as other:
            return (await other.identity())["type"]

    from distributed.core import rpc

    expected = f"the address of a Dask scheduler that answers within {seconds:g} s, such as tcp://127.0.0.1:8786"
    try:
        found = asyncio.run(asyncio.wait_for(kind(), seconds))
    except Exception as error:  # whatever comes of talking to a server of another kind
        silent = "nobody answers" if isinstance(error, OSError) else f"no Dask scheduler: {type(error).__name__}"
        reason = error if isinstance(error, ValueError) else silent
        raise InvalidInput("dask", expected, f"{address!r} ({reason})") from error
    if found != "Scheduler":
        raise InvalidInput("dask", expected, f"{address!r} (that of a {found})")
