"""The command hdlimit: Ctrl-C is heard from the first moment on, whatever runs, and ends everything within two seconds.

The first Ctrl-C ends the command in order. A second one, or a second of time where the interpreter is busy in somebody
else's code, ends it at once.
"""

from __future__ import annotations

import os
import select
import signal
import socket
import sys
import threading
import time
from contextlib import suppress
from importlib import import_module
from typing import NoReturn

# Exit codes: 128 and the number of the signal, as shells have it.
INTERRUPTED, UNREAD = 130, 141
# Seconds that the first Ctrl-C leaves to an end in order.
_GRACE = 1.0
_told = threading.Lock()


def run() -> NoReturn:
    """Run the command line of this process."""
    if not _stdout_open():
        os.write(2, b"hdlimit: stdout is closed\n")
        os._exit(UNREAD)
    try:
        _watch_interrupts()
        code = _exit_code()
    except KeyboardInterrupt:
        code = INTERRUPTED
    if code == INTERRUPTED:
        end_at_once()
    sys.exit(code)


def _exit_code() -> int:
    import click

    commands, exits = (import_module(f"hdlimit.cli.{name}") for name in ("main", "exits"))
    try:
        code = commands.main(prog_name="hdlimit", standalone_mode=False, obj=exits.SAYS_INTERRUPTED)
    except click.exceptions.Abort:  # Ctrl-C between the commands' own handlers
        return INTERRUPTED
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except SystemExit as end:
        code = end.code
    return code if isinstance(code, int) else 0


def _stdout_open() -> bool:
    """Say whether stdout is open; of stdin, stdout and stderr, give the closed ones to the null device.

    Else the next file that is opened gets their number, and what is printed.
    """
    found = True
    for number in (0, 1, 2):
        try:
            os.fstat(number)
        except OSError:
            found = found and number != 1
            os.open(os.devnull, os.O_RDWR)
    return found


def _watch_interrupts() -> None:
    reader, writer = socket.socketpair()
    writer.setblocking(False)
    signal.set_wakeup_fd(writer.detach(), warn_on_full_buffer=False)
    sys.unraisablehook = _unraisable
    threading.Thread(target=_end_when_interrupted, args=(reader,), daemon=True).start()


def _unraisable(found: sys.UnraisableHookArgs) -> None:
    """Tell of an error that Python cannot raise, in a finalizer say; of a Ctrl-C there the watching thread tells."""
    if found.exc_type is not KeyboardInterrupt:
        sys.__unraisablehook__(found)


def _end_when_interrupted(reader: socket.socket) -> None:
    """Wait for a first Ctrl-C, and then for a second one or the end of the grace."""
    while reader.recv(1) != bytes([signal.SIGINT]):
        pass
    end = time.monotonic() + _GRACE
    while (left := end - time.monotonic()) > 0:
        if select.select([reader], [], [], left)[0] and reader.recv(1) == bytes([signal.SIGINT]):
            break
    end_at_once()


def say_interrupted() -> None:
    """Print one line, once, without the locks of sys.stderr, which an interrupted thread may hold."""
    if _told.acquire(blocking=False):
        with suppress(OSError):
            os.write(2, b"\n" * os.isatty(2) + b"hdlimit: interrupted\n")


def end_at_once() -> NoReturn:
    """End this process and those that it started, and leave no unfinished file."""
    if multiprocessing := sys.modules.get("multiprocessing"):
        for process in multiprocessing.active_children():
            process.kill()
    if files := sys.modules.get("hdlimit.storage.files"):
        for path in list(files.unfinished):
            with suppress(OSError):
                os.unlink(path)
    say_interrupted()
    os._exit(INTERRUPTED)


if __name__ == "__main__":
    run()
