"""A run folder is worked in where it is; one behind a URL in a folder of this machine, the same for the same URL."""

from pathlib import Path

import pytest

from raysim.core.errors import InputError
from raysim.experiment.working_folder import working_folder


def test_a_path_is_itself(tmp_path: Path) -> None:
    for out, expected in ((None, None), ("runs/a", Path("runs/a")), (tmp_path, tmp_path)):
        with working_folder(out, "anywhere", pytest.fail) as folder:
            assert folder == expected


def test_two_runs_here_do_not_share_a_url(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The second would else bring files over those that the first is at work on."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    url = f"file://{tmp_path}/run"
    with (
        working_folder(url, None, pytest.fail),
        pytest.raises(InputError, match="another raysim run on this machine is at work there"),
        working_folder(url, None, pytest.fail),
    ):
        pass
    with working_folder(url, None, pytest.fail) as folder:
        assert folder is not None


def test_a_url_has_a_folder_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    places = []
    notes: list[str] = []
    for run in ("one", "other", "one"):
        with working_folder(f"file://{tmp_path}/{run}", None, notes.append) as folder:
            assert folder is not None
            (folder / "manifest.json").write_text(run)
            places.append(folder)
        assert (tmp_path / run / "manifest.json").read_text() == run
    assert places[0] == places[2] != places[1]
    assert len(notes) == 1  # of the third, which brings what the first has left
    assert places[0].is_relative_to(tmp_path / "cache")
    assert places[0].stat().st_mode & 0o077 == 0


def test_a_store_beside_a_url_is_refused(tmp_path: Path) -> None:
    with (
        pytest.raises(InputError, match=r"^--store: a run whose --out is a URL has its store there"),
        working_folder(f"file://{tmp_path}/run", "shared", pytest.fail),
    ):
        pass
