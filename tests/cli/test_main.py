"""The command line itself: how fast it answers, and what becomes of errors."""

import time
from pathlib import Path

from drive import raysim, raysim_anew


def test_help_comes_within_a_second() -> None:
    fastest_s = 60.0
    for _ in range(3):
        started_s = time.monotonic()
        assert raysim_anew("--help").returncode == 0
        fastest_s = min(fastest_s, time.monotonic() - started_s)
    assert fastest_s < 1


def test_report_of_no_run(tmp_path: Path) -> None:
    ended = raysim("report", tmp_path)
    assert (ended.returncode, "no run folder" in ended.stderr) == (2, True)


def test_missing_file(tmp_path: Path) -> None:
    ended = raysim("run", tmp_path / "none.yaml")
    assert (ended.returncode, "no such file" in ended.stderr) == (2, True)
