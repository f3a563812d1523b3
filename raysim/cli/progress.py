"""Live progress: which stage, which round, time left. A display on a terminal, plain lines elsewhere."""

import time
from collections.abc import Mapping
from dataclasses import dataclass

from rich.console import Console, Group
from rich.live import Live
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn
from rich.text import Text

from raysim.core.keys import Key
from raysim.experiment.observer import Planned
from raysim.experiment.pace import Pace
from raysim.store.model_scores import ModelScores
from raysim.store.task_log import TaskKind, TaskRecord
from raysim.tasks.kinds import WorkKind

_PLAIN_EVERY_S = 15.0
_PLAIN_WIDTH = 100


@dataclass
class _Running:
    kind: TaskKind
    label: str
    tokens: int
    task: TaskID | None


def progress_console() -> Console:
    """The console for a run's progress; in a notebook plain text, which a display of a terminal would garble."""
    console = Console(highlight=False)
    if console.is_jupyter:
        # The kernel asks every program for a terminal's colours and cursor (FORCE_COLOR); its cells show no cursor.
        return Console(highlight=False, width=_PLAIN_WIDTH, force_jupyter=False, force_terminal=False)
    if not console.is_terminal:
        console.width = _PLAIN_WIDTH  # a file or a pipe has no width; tables need this much
    return console


class ConsoleObserver:
    """Implements `raysim.experiment.observer.RunObserver` on a terminal.

    Args:
        console: to write to.
        kinds: of work, by name; None: those of the installed measures.
    """

    def __init__(self, console: Console, kinds: Mapping[str, WorkKind] | None = None) -> None:
        self._console = console
        # Whoever asks for colours everywhere (FORCE_COLOR) has them in a job's log, too, where a cursor cannot move.
        self._has_cursor = console.is_terminal and console.file.isatty()
        self._pace = Pace(kinds)
        self._running: dict[Key, _Running] = {}
        self._counts: dict[str, int] = {}
        self._phase = "preparing"
        self._point = ""
        self._last_plain_s = time.monotonic()
        self._bars = Progress(
            TextColumn("  {task.fields[what]:<11}"),
            BarColumn(bar_width=24),
            TextColumn("{task.percentage:>3.0f} %"),
            TextColumn("{task.description}"),
            TextColumn("[dim]{task.fields[note]}[/dim]"),
            TimeElapsedColumn(),
            console=console,
        )
        self._live = Live(get_renderable=self._render, console=console, refresh_per_second=4, transient=True)

    def __enter__(self) -> "ConsoleObserver":
        if self._has_cursor:
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._has_cursor:
            self._live.stop()

    def phase(self, name: str) -> None:
        """Says what the run is doing now."""
        self._phase = name
        self._console.print(f"[bold]{name}[/bold]")

    def expect(self, tokens: Mapping[str, int], planned: Planned) -> None:
        """Tokens of each kind that this run has to compute."""
        del planned
        self._pace.expect(tokens)

    def point(self, name: str, number: int, total: int, later: Mapping[str, int]) -> None:
        """Says which point of a sweep begins now, and what the points after it will have to compute."""
        self._pace.later(later)
        self._point = f"Point {number} of {total}"
        self._console.print(Text(f"{self._point}: {name}", style="bold"))

    def started(self, key: Key, kind: TaskKind, label: str, tokens: int) -> None:
        task = None
        if self._has_cursor and self._pace.kinds[kind].passes:
            task = self._bars.add_task(label, total=max(1, tokens), what=self._doing(kind), note="")
        self._running[key] = _Running(kind, label, tokens, task)
        self._pace.started(key, kind, tokens)

    def progressed(self, key: Key, tokens: int, note: str, loss: float | None = None) -> None:
        del loss  # the note has it
        running = self._running.get(key)
        if running is None:
            return
        self._pace.progressed(key, tokens)
        if running.task is not None:
            self._bars.update(running.task, completed=tokens, note=note)
        elif running.tokens and time.monotonic() - self._last_plain_s > _PLAIN_EVERY_S:
            self._last_plain_s = time.monotonic()
            name = self._doing(running.kind)
            so_far = ", ".join(filter(None, [f"{100 * tokens // running.tokens} %", note]))
            self._console.print(
                f"  {name} {running.label}: {so_far}; {self._time_left()}", highlight=False, soft_wrap=True
            )

    def ended(self, record: TaskRecord) -> None:
        running = self._running.pop(record.key, None)
        self._pace.ended(record.key)
        if running and running.task is not None:
            self._bars.remove_task(running.task)
        kind = f"{record.kind} {record.status}"
        self._counts[kind] = self._counts.get(kind, 0) + 1
        if record.kind == "train" and record.status == "computed":
            speed = f"{record.tokens / max(record.seconds, 1e-9):,.0f} tokens/s"
            self._console.print(
                f"  trained {record.label} in {record.seconds:.1f} s ({speed}); {self._time_left()}",
                highlight=False,
                soft_wrap=True,
            )

    def measured(self, scores: ModelScores) -> None:
        """Left to `raysim watch` and the summary: there may be thousands."""

    def note(self, text: str) -> None:
        self._console.print(Text(f"  note: {text}", style="yellow"))

    def counts(self) -> dict[str, int]:
        """Pieces of work by kind and status, for example ``{"train computed": 15}``."""
        return dict(self._counts)

    def _doing(self, kind: str) -> str:
        return self._pace.kinds[kind].doing or kind

    def _time_left(self) -> str:
        return time_left(self._pace.left_s)

    def _render(self) -> Group:
        where = f"{self._point}, {self._phase.lower()}" if self._point else self._phase
        so_far = f"{100 * self._pace.share:.0f} % of the run, {_duration(self._pace.elapsed_s)} so far"
        return Group(Text(f"{where}: {so_far}, {self._time_left()}", "bold"), self._bars)


def time_left(seconds: float | None) -> str:
    """The time that is left, as far as it is known, in words."""
    if seconds is None:
        return "time left not known yet"
    return f"about {_duration(seconds)} left" if seconds else "nearly done"


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s" if minutes else f"{rest} s"
