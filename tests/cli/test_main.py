"""The command line itself: how fast it answers, and what becomes of errors."""

import time
from pathlib import Path

import pytest
from drive import raysim, raysim_anew

from raysim import __version__


def test_help_comes_within_a_second() -> None:
    fastest_s = 60.0
    for _ in range(3):
        started_s = time.monotonic()
        assert raysim_anew("--help").returncode == 0
        fastest_s = min(fastest_s, time.monotonic() - started_s)
    assert fastest_s < 1


def test_missing_file(tmp_path: Path) -> None:
    ended = raysim("run", tmp_path / "none.yaml")
    assert (ended.returncode, "no such file" in ended.stderr) == (2, True)


def test_the_version_is_that_of_the_package() -> None:
    assert raysim("--version").stdout == f"raysim {__version__}\n"


@pytest.mark.parametrize(("args", "said"), [(("plam",), "plam"), (("report", "x", "--jsn"), "--jsn")], ids=str)
def test_what_there_is_not_is_named(args: tuple[str, ...], said: str) -> None:
    ended = raysim(*args)
    assert ended.returncode == 2
    assert said in ended.stderr
    assert "Traceback" not in ended.stderr


def test_no_command_shows_all_of_them() -> None:
    shown = raysim().stdout
    assert all(
        name in shown for name in ("run", "plan", "inspect", "verify", "export-model", "scan", "doctor", "store")
    )


def test_scanned_lines_over_the_limit_fail(tmp_path: Path) -> None:
    """Of eight lines all are somebody's: more than half of them, not more than all."""
    text = "".join(f"line_{number} = {number}\n" for number in range(8))
    for folder in ("theirs", "generated"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "a.py").write_text(text)
    args = ["scan", "--generated", tmp_path / "generated", "--corpus", f"them={tmp_path / 'theirs'}", "--fail-over"]
    over = raysim(*args, "0.5")
    assert (over.returncode, over.stderr) == (1, "100.00% of the lines match, more than --fail-over 50.00%\n")
    assert raysim(*args, "1.0").returncode == 0


@pytest.mark.parametrize("args", [["-h"], ["scan", "-h"], ["store", "gc", "-h"]], ids=str)
def test_short_help(args: list[str]) -> None:
    shown = raysim(*args)
    assert (shown.returncode, shown.stdout) == (0, raysim(*args[:-1], "--help").stdout)
    assert "Usage" in shown.stdout
