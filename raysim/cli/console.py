"""Where commands print: the two consoles, and results as a view for people or as JSON."""

from pathlib import Path
from typing import Any

import typer
from rich.console import Console

OUT = Console(highlight=False)
if not OUT.is_terminal:
    OUT.width = 100  # a file or a pipe has no width; tables need this much
ERR = Console(stderr=True, highlight=False)


def print_summary(run_dir: Path) -> None:
    from raysim.analysis.sweep import is_sweep
    from raysim.report.terminal import summary_table, sweep_summary

    OUT.print(sweep_summary(run_dir) if is_sweep(run_dir) else summary_table(run_dir))


def print_value(value: Any, view: Any, as_json: bool) -> None:
    if as_json:
        print_json(value)
    else:
        OUT.print(view(value))


def print_json(value: Any) -> None:
    import json

    typer.echo(json.dumps(value, indent=1))


def size_text(num_bytes: int) -> str:
    """A number of bytes for people, for example ``1.5 MB``."""
    for unit, size in (("GB", 10**9), ("MB", 10**6), ("KB", 10**3)):
        if num_bytes >= size:
            return f"{num_bytes / size:,.1f} {unit}"
    return f"{num_bytes} bytes"
