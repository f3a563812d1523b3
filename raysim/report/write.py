"""Writes the report of a run or a sweep, whichever a folder is of."""

from pathlib import Path


def write_report(folder: Path) -> Path:
    """Writes ``report.html``, and the tables that are derived for it, into the folder of a run or a sweep.

    Imports what the pages are made with (plotly, scipy) only now.

    Raises:
        InputError: no folder of either, or tables of another version.
        DamagedEntry: a table that cannot be read.
    """
    from raysim.analysis.sweep import is_sweep
    from raysim.report.run_page import write_run_page
    from raysim.report.sweep_page import write_sweep_page

    return write_sweep_page(folder) if is_sweep(folder) else write_run_page(folder)
