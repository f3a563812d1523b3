"""`raysim watch`: what a run does that another process works on, from the files in its folder alone."""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from raysim.core.errors import InputError, RunError

if TYPE_CHECKING:
    from rich.console import Console

    from raysim.experiment.run_status import RunStatus, StatusReader

_LOOK_EVERY_S = 1.0
_PLAIN_EVERY_S = 15.0
_LOST_AFTER_S = 30.0
"""Without a sign of life, of which a run gives one every few seconds (`raysim.experiment.progress_log.BEAT_S`)."""

_LONG_GONE_S = 3600.0
"""After which nobody waits for another sign: clocks of two machines do not differ by as much."""


def watch(
    run_dir: Annotated[str, typer.Argument(metavar="RUN_DIR", help="Of a run or a sweep, anywhere on a shared disk.")],
) -> None:
    """Shows what a run is doing, whoever runs it: stages, losses, memorization so far, time left. Ends with it."""
    from raysim.cli.console import OUT

    if "://" in run_dir:
        raise InputError(f"{run_dir}: a folder can be watched, an address cannot; name the run folder on a shared disk")
    follow(Path(run_dir), OUT)


def follow(path: Path, console: "Console") -> None:
    """Shows the run in a folder until it ends; on a terminal in place, else line by line.

    Raises:
        InputError: no run.
        RunError: it stopped, failed, or gives no sign of life any more.
    """
    from raysim.cli.status_views import status_view
    from raysim.experiment.run_status import StatusReader

    reader = StatusReader(path)
    status = reader.read()  # before a display begins
    if console.is_terminal:
        from rich.live import Live

        with Live(console=console, auto_refresh=False, transient=True) as live:
            for status in _until_it_ends(reader):
                live.update(status_view(status), refresh=True)
        console.print(status_view(status))
    else:
        lines = PlainLines(console)
        for status in _until_it_ends(reader):
            lines.show(status)
    if status.ended != "finished":
        why = f"{status.ended}: {status.why}" if status.ended else "stopped without a word: it gives no sign of life"
        raise RunError(f"{path}: the run {why}; the command that began it goes on from there")


class PlainLines:
    """Shows a run by lines, each of them once: what is new, and every few seconds how far it is."""

    def __init__(self, console: "Console") -> None:
        self._console = console
        self._told: set[str] = set()
        self._told_s = float("-inf")

    def show(self, status: "RunStatus") -> None:
        from raysim.cli.status_views import how_far, lines_of, work_line

        for line in lines_of(status):
            if line not in self._told:
                self._told.add(line)
                self._print(line)
        if status.ended or time.monotonic() - self._told_s >= _PLAIN_EVERY_S:
            self._told_s = time.monotonic()
            for line in (how_far(status), *(f"  {work_line(one)}" for one in status.under_way)):
                self._print(line)

    def _print(self, line: str) -> None:
        self._console.print(line, markup=False, soft_wrap=True)


def _until_it_ends(reader: "StatusReader") -> "Iterator[RunStatus]":
    """The status of a run again and again, until it has ended or nobody is there who could end it."""
    sign, seen_s = (0, 0), time.monotonic()
    while True:
        status = reader.read()
        yield status
        if status.sign != sign:
            sign, seen_s = status.sign, time.monotonic()
        # By the clock of the machine that wrote it, and by the one that watches: either may be wrong.
        silent = status.silent_s > _LOST_AFTER_S and time.monotonic() - seen_s > _LOST_AFTER_S
        if status.ended or silent or status.silent_s > _LONG_GONE_S:
            return
        time.sleep(_LOOK_EVERY_S)
