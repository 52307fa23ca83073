"""How a command ends: one line on stderr, and an exit code that says why."""

from __future__ import annotations

import errno
import os
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import click

from hdlimit.errors import HdlimitError, NotWritten, WorkersLost

# Exit codes, as HELP explains them.
WRONG_INPUT, FAULT, UNWRITTEN, WORKERS_LOST, INTERRUPTED, UNREAD = 2, 4, 5, 6, 130, 141
# The object of a context whose caller says that it was interrupted.
SAYS_INTERRUPTED = object()
HELP = """
    \b
    Exit codes:    0  done; of verify: consistent
                   1  of verify: inconsistent
                   3  of verify: inconclusive
                   2  wrong input, or no answer to it; the reason is one line on stderr
                   4  hdlimit failed where it should not, or out of memory
                   5  the output cannot be written: the disk is full or fails
                   6  workers were lost
                 130  interrupted by Ctrl-C
                 141  nobody reads the output
"""


@contextmanager
def errors_on_one_line(ctx: click.Context) -> Iterator[None]:
    """End with the exit code of what the block raises, and one line on stderr; after a traceback where it is a fault.

    Parameters
    ----------
    ctx : click.Context
        Of the command.
    """
    try:
        yield
    except (click.exceptions.Exit, click.exceptions.Abort):
        raise
    except click.UsageError as error:
        command = error.ctx.command_path if error.ctx else f"{ctx.command_path} {ctx.invoked_subcommand or ''}".strip()
        message = one_line(error.format_message()).removesuffix(".")
        _end(ctx, WRONG_INPUT, f"{message} ('{command} -h' shows the usage)")
    except HdlimitError as error:
        _end(ctx, _code(error), one_line(error))
    except KeyboardInterrupt:
        _end(ctx, INTERRUPTED, None if ctx.obj is SAYS_INTERRUPTED else "interrupted")
    except OSError as error:
        _drop_stdout()
        unread = error.errno == errno.EPIPE
        _end(ctx, UNREAD if unread else UNWRITTEN, None if unread else f"output: {one_line(error)}")
    except MemoryError as error:
        _end(ctx, FAULT, f"out of memory: {one_line(error)}".removesuffix(": "))
    except Exception as error:
        click.echo(traceback.format_exc(), err=True, nl=False)
        _end(ctx, FAULT, f"a fault of hdlimit, not of the input: {type(error).__name__}: {one_line(error)[:200]}")


def one_line(message: object) -> str:
    """Return a text with its lines joined."""
    return " ".join(str(message).split())


def _code(error: HdlimitError) -> int:
    if isinstance(error, WorkersLost):
        return WORKERS_LOST
    return UNWRITTEN if isinstance(error, NotWritten) else WRONG_INPUT


def _end(ctx: click.Context, code: int, sentence: str | None) -> None:
    if sentence is not None:
        with suppress(OSError):
            click.echo(f"hdlimit: {sentence}", err=True)
    ctx.exit(code)


def _drop_stdout() -> None:
    """Let what is still to be written to stdout go nowhere, so that the end of the interpreter does not fail at it."""
    with suppress(OSError, ValueError, AttributeError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
