"""How a command ends: whatever happens becomes one readable line and an exit code."""

import os
import sys
from collections.abc import Callable
from contextlib import suppress
from typing import NoReturn

import click
from rich.console import Console

from raysim.core.errors import InputError, RaysimError, RunError, os_error
from raysim.core.signals import call_on_interrupt

_TYPER_INTERRUPTED = 130
"""What typer makes of a Ctrl-C."""


def run_command(app: Callable[..., int | None], console: Console) -> NoReturn:
    """Runs the command line to its end; Ctrl-C and SIGTERM end it alike.

    Args:
        app: reads the arguments and runs the command, outside of `click`'s standalone mode.
        console: for errors.
    """
    code, signals = None, 0

    def stop() -> None:
        nonlocal signals
        signals += 1
        if code is not None or signals > 1:  # the outcome stands, or nobody wants to wait until all is tidy
            os._exit(RunError.exit_code if code is None else code)
        raise KeyboardInterrupt

    call_on_interrupt(stop)
    try:
        ended = _ended(app, console)
    except KeyboardInterrupt:
        ended = None
    if ended is None or signals:  # even where a library caught it
        console.print("\nstopped; the same command goes on from here", markup=False)
        ended = RunError.exit_code
    code = ended
    raise SystemExit(code)


def _ended(app: Callable[..., int | None], console: Console) -> int | None:
    """Runs the command line; the exit code, after a line for whatever went wrong. None: it was interrupted."""
    try:
        code = app(standalone_mode=False) or 0
        sys.stdout.flush()
    except click.ClickException as error:
        error.show()
        return InputError.exit_code
    except (SystemExit, BrokenPipeError):  # whoever reads has gone; libraries end with a code of their own then
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return RunError.exit_code
    except Exception as error:
        explained = _explained(error)
        console.print("[red]error:[/red]", end=" ")
        console.print(str(explained), markup=False, soft_wrap=True)
        return explained.exit_code
    return None if code == _TYPER_INTERRUPTED else code


def _explained(error: Exception) -> RaysimError:
    """An error for people. Of one that nobody has foreseen, a file has the traceback, if one can be written."""
    if isinstance(error, RaysimError):
        return error
    if isinstance(error, OSError):
        return os_error(error)
    import tempfile
    import traceback

    frame = traceback.extract_tb(error.__traceback__)[-1]
    place = f"{frame.filename}:{frame.lineno}"
    with (
        suppress(OSError),
        tempfile.NamedTemporaryFile("w", prefix="raysim-", suffix=".txt", delete=False, errors="replace") as file,
    ):
        traceback.print_exception(error, file=file)
        place = file.name
    reason = " ".join(str(error).split())
    return RunError(f"a fault of raysim itself: {type(error).__name__}: {reason}; please report {place}")
