"""How far lexers are, on a terminal."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn


@contextmanager
def lexing_display(console: Console, num_files: int) -> Iterator[Callable[[int], None]]:
    """Shows how many of all files are ready, as it learns of them; nothing where `console` is no terminal."""
    columns = (
        TextColumn("lexing"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("files"),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task("", total=num_files)
        seen = 0

        def watch(ready: int) -> None:
            nonlocal seen
            seen = min(seen + ready, num_files)  # what does not fit in memory comes twice
            progress.update(task, completed=seen)

        yield watch
