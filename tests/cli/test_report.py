"""`raysim report`: what it refuses before it writes anything."""

from pathlib import Path

import pytest
from drive import raysim


def test_report_of_no_run(tmp_path: Path) -> None:
    ended = raysim("report", tmp_path)
    assert (ended.returncode, "no run folder" in ended.stderr) == (2, True)


def test_a_place_that_is_taken_is_refused_before_the_work(run: Path, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    ended = raysim("report", run, "--bundle", tmp_path)
    assert ended.returncode == 2
    assert "is there already" in ended.stderr


def test_figures_need_a_browser(run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BROWSER_PATH", str(tmp_path / "nowhere"))
    monkeypatch.setenv("PATH", str(tmp_path))
    ended = raysim("report", run, "--figures", tmp_path / "figures")
    assert ended.returncode == 2
    assert len(ended.stderr.strip().splitlines()) == 1
    assert "kaleido" in ended.stderr or "BROWSER_PATH" in ended.stderr
