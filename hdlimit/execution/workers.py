"""Executors: processes of this machine that are replaced when one dies, and the workers of a Dask cluster.

Both are made for a command that owns its workers; any other concurrent.futures.Executor does as well. A process has a
thread here and a pipe to it: work is sent once, then arguments alone. It ignores Ctrl-C, and is ended from here.
"""

from __future__ import annotations

import asyncio
import logging
import multiprocessing
import os
import pickle
import signal
import traceback
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager, suppress
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection
from queue import Empty, SimpleQueue
from threading import Lock, Thread
from typing import Any, NamedTuple

from hdlimit.core import checks
from hdlimit.core.backend import tell
from hdlimit.errors import InvalidInput

# Seconds in which a Dask scheduler has to answer.
DASK_SECONDS = 5.0


class _Call(NamedTuple):
    """future: of the result; work, arguments: pickled; number: of the work."""

    future: Future[Any]
    number: int
    work: bytes
    arguments: bytes


class Processes(Executor):
    """Processes of this machine, started afresh; one that died is replaced by a new one.

    The processes end when this process ends, also when it is killed.

    Parameters
    ----------
    workers : int
        Number of processes.
    """

    def __init__(self, workers: int) -> None:
        self._max_workers = checks.count("workers", workers)
        self._calls: SimpleQueue[_Call | None] = SimpleQueue()
        self._sent: tuple[Any, int, bytes] = (None, 0, b"")
        self._said: set[str] = set()
        self._running: set[_Worker] = set()
        self._lock, self._closed = Lock(), False
        self._threads = [Thread(target=self._serve, daemon=True) for _ in range(self._max_workers)]
        for thread in self._threads:
            thread.start()

    def submit(self, work: Callable[..., Any], /, *args: Any, **options: Any) -> Future[Any]:
        """Hand out a call; `work` is sent again only where it is another object than that of the call before."""
        with self._lock:
            if self._closed:
                raise RuntimeError("cannot schedule new futures after shutdown")
            known, number, data = self._sent
            if known is not work:
                number, data = number + 1, pickle.dumps(work)
                self._sent = work, number, data
            call = _Call(Future(), number, data, pickle.dumps((args, options)))
            self._calls.put(call)
        return call.future

    def end_running(self) -> None:
        """End the processes that compute something; their calls fail as if they had died."""
        for worker in list(self._running):
            worker.process.kill()

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Take no more work, and end the processes when what they have is done."""
        with self._lock:
            self._closed = True
            if cancel_futures:
                with suppress(Empty):
                    while (call := self._calls.get_nowait()) is not None:
                        call.future.cancel()
            for _ in self._threads:
                self._calls.put(None)
        if wait:
            for thread in self._threads:
                thread.join()

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        if kind is not None:
            self.end_running()
        self.shutdown(cancel_futures=kind is not None)

    def _serve(self) -> None:
        """Let one process compute call after call."""
        worker: _Worker | None = None
        while (call := self._calls.get()) is not None:
            if not call.future.set_running_or_notify_cancel():
                continue
            try:
                worker = worker or _Worker()
                self._running.add(worker)
                worker.compute(call, self._say)
            except (EOFError, OSError):
                end = "could not be started" if worker is None else f"ended with exit code {worker.end()}"
                call.future.set_exception(BrokenProcessPool(f"a worker process {end}"))
            except BaseException as error:
                call.future.set_exception(error)
            finally:
                if worker is not None:
                    self._running.discard(worker)
                    worker = worker if worker.process.is_alive() else None
        if worker is not None:
            worker.end()

    def _say(self, sentence: str) -> None:
        """Pass on what a worker says, once."""
        if sentence not in self._said:
            self._said.add(sentence)
            tell(sentence)


class _Worker:
    """A process, and this end of the pipe to it."""

    def __init__(self) -> None:
        context = multiprocessing.get_context("spawn")
        self.pipe, other = context.Pipe()
        self.process = context.Process(target=_answer, args=(other,), daemon=True)
        with _interrupts_blocked():
            self.process.start()
        other.close()
        self.number = 0

    def compute(self, call: _Call, say: Callable[[str], None]) -> None:
        """Set the result of a call, or what it raised. Raises EOFError or OSError where the process died."""
        if call.number != self.number:
            self.pipe.send_bytes(call.work)
            self.number = call.number
        self.pipe.send_bytes(b"")
        self.pipe.send_bytes(call.arguments)
        while True:
            kind, value = pickle.loads(self.pipe.recv_bytes())
            if kind == "said":
                say(value)
            elif kind == "raised":
                call.future.set_exception(value)
                return
            else:
                call.future.set_result(value)
                return

    def end(self) -> int | None:
        """End the process: it holds nothing that is wanted."""
        self.process.kill()
        self.process.join()
        self.pipe.close()
        return self.process.exitcode


@contextmanager
def _interrupts_blocked() -> Iterator[None]:
    """Start a process with Ctrl-C blocked, which else would end it before it can say that it ignores that."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    resource_tracker.ensure_running()  # starting it would unblock the signal
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _answer(pipe: Connection) -> None:
    """Compute calls until the pipe is closed: the main function of a worker."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    Thread(target=_end_with_parent, daemon=True).start()
    logging.getLogger("hdlimit").addHandler(_ToParent(pipe))
    work: Any = None
    with suppress(EOFError, OSError):
        while True:
            if data := pipe.recv_bytes():
                work = data
                continue
            arguments = pipe.recv_bytes()
            try:
                work = pickle.loads(work) if isinstance(work, bytes) else work
                args, options = pickle.loads(arguments)
                answer = pickle.dumps(("computed", work(*args, **options)))
            except BaseException as error:
                answer = _raised(error)
            pipe.send_bytes(answer)


def _raised(error: BaseException) -> bytes:
    error.add_note("in a worker process:\n" + "".join(traceback.format_exception(error)))
    try:
        pickle.loads(data := pickle.dumps(("raised", error)))
    except Exception:
        return pickle.dumps(("raised", RuntimeError(f"{type(error).__name__}: {error}")))
    return data


class _ToParent(logging.Handler):
    """Sends what a worker says to the process that started it."""

    def __init__(self, pipe: Connection) -> None:
        super().__init__()
        self.pipe = pipe

    def emit(self, record: logging.LogRecord) -> None:
        """Send one sentence."""
        with suppress(OSError):
            self.pipe.send_bytes(pickle.dumps(("said", record.getMessage().removeprefix("hdlimit: "))))


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
    with _quiet("distributed", "tornado"), Client(address, timeout=seconds, set_as_default=False) as client:
        try:
            client.wait_for_workers(1, timeout=seconds)
        except TimeoutError as error:
            expected = f"a Dask cluster with a worker within {seconds:g} s"
            raise InvalidInput("dask", expected, f"one without workers at {address!r}") from error
        yield client.get_executor(pure=False)


@contextmanager
def _quiet(*names: str) -> Iterator[None]:
    """Keep what Dask logs of lost workers, tracebacks among it, from stderr: what matters of it is said here."""
    known = map(logging.getLogger, list(logging.Logger.manager.loggerDict))
    levels = [(logger, logger.level) for logger in known if logger.name.partition(".")[0] in names]
    for logger, _ in levels:
        logger.setLevel(logging.CRITICAL + 1)
    try:
        yield
    finally:
        for logger, level in levels:
            logger.setLevel(level)


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
