"""What runs took on this machine: a small log of its user, by which `raysim plan` corrects what it assumes.

Nothing here enters a key or a table. The log is ``raysim/timings.jsonl`` below ``$XDG_STATE_HOME``, or below
``~/.local/state``; deleting it costs accuracy alone. A run writes a line when it has ended; lines of other machines,
whose home folder may be the same, and lines that cannot be read are passed over.
"""

import os
import platform
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pydantic

from raysim.core.json_lines import append_json_line, end_torn_line, read_json_lines
from raysim.core.run_folder import processor
from raysim.core.settings import Settings

_KEPT = 200
"""Lines of the log; of twice as many the older half goes."""

Count = pydantic.NonNegativeInt
Seconds = pydantic.NonNegativeFloat


class Workload(Settings):
    """What there is to do, as far as it decides how long it takes.

    Attributes:
        backend: ray or inline.
        engine: what trains: backend, device, precision and threads.
        slots: pieces of work at once.
        parameters: of the model.
        trained: of these.
        organizations: how many.
        source_bytes: read and filtered, references too.
        tokenizer_bytes: that a tokenizer is trained on.
        models: that will exist.
        pieces: of each kind of work that is counted in tokens.
        tokens: of each.
        longest: training tokens that must follow one another.
    """

    backend: str
    engine: str
    slots: pydantic.PositiveInt
    parameters: pydantic.PositiveInt
    trained: Count
    organizations: Count
    source_bytes: Count
    tokenizer_bytes: Count
    models: Count
    pieces: dict[str, Count]
    tokens: dict[str, Count]
    longest: Count


class Timing(Settings):
    """What a run took.

    Attributes:
        machine: where it ran, see `this_machine`.
        workload: what it did.
        phases: seconds of each phase, see `raysim.experiment.estimate.duration.PHASES`.
        kinds: seconds of each kind of work, over all its pieces.
    """

    machine: str
    workload: Workload
    phases: dict[str, Seconds]
    kinds: dict[str, Seconds]


def this_machine() -> str:
    """Names this machine by its name, its processor and its cores."""
    return f"{platform.node()}, {processor()}, {os.cpu_count()} cores"


def timings_path() -> Path:
    """Where the log of this user is."""
    state = os.environ.get("XDG_STATE_HOME")
    return (Path(state) if state else Path.home() / ".local" / "state") / "raysim" / "timings.jsonl"


def note_timing(timing: Timing) -> None:
    """Appends to the log; where it cannot be written, a plan goes without."""
    with suppress(OSError, RuntimeError):  # no room, no right, no home
        path = timings_path()
        path.parent.mkdir(parents=True, exist_ok=True)
        end_torn_line(path)
        append_json_line(path, timing.model_dump())
        rows = read_json_lines(path)
        if len(rows) >= 2 * _KEPT:
            draft = path.with_suffix(f".{os.getpid()}")
            draft.unlink(missing_ok=True)
            for row in rows[-_KEPT:]:
                append_json_line(draft, row)
            draft.replace(path)


def read_timings() -> list[Timing]:
    """What the log has of this machine, oldest first."""
    try:
        rows = read_json_lines(timings_path())
    except (OSError, RuntimeError):
        return []
    machine = this_machine()
    return [timing for timing in _valid(rows) if timing.machine == machine]


def _valid(rows: list[dict[str, object]]) -> Iterator[Timing]:
    for row in rows:
        with suppress(pydantic.ValidationError, RecursionError):
            yield Timing.model_validate(row)
