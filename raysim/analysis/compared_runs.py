"""Which runs `raysim compare` compares: those that are named, and of a sweep its points."""

from collections.abc import Sequence
from pathlib import Path

from raysim.analysis.results import RunResults
from raysim.core.errors import InputError
from raysim.tables.results import open_run


def open_compared(folders: Sequence[Path]) -> list[tuple[str, RunResults]]:
    """Names and results of the runs to compare, at least two, each once.

    Runs are named as in their manifest, where these names differ; else by their folders.

    Raises:
        InputError: no run folder, or only one run.
    """
    found: list[tuple[str, str, RunResults]] = []
    for folder in folders:
        run = open_run(folder)
        points = run.points
        if points:
            found += [(name, name, RunResults(point)) for name, point in points.items()]
        else:
            found.append((str(run.manifest.get("name") or folder), str(folder), RunResults(run)))
    if len(found) < 2:
        raise InputError(f"{folders[0]}: nothing to compare it with; name a second run, or a sweep with several points")
    distinct = len({name for name, _, _ in found}) == len(found)
    return [(name if distinct else folder, results) for name, folder, results in found]
