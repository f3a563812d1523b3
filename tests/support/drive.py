"""The command line in a process of its own, and what runs are compared by."""

import subprocess
import sys
from pathlib import Path

from raysim.tables.io import TABLES, read_table, table_hash


def command(*args: object) -> list[str]:
    """The command line of `raysim` with `args`."""
    return [sys.executable, "-c", "from raysim.cli.main import main; main()", *map(str, args)]


def raysim(*args: object, timeout: float = 240) -> subprocess.CompletedProcess[str]:
    """Runs `raysim` to its end."""
    return subprocess.run(command(*args), capture_output=True, text=True, timeout=timeout)


def hashes(run_dir: Path) -> dict[str, str]:
    """Hash of every results table; the ledger holds hashes that are keyed with the run's secret, so it is left out."""
    return {name: table_hash(read_table(run_dir, name)) for name in TABLES if name != "ledger"}
