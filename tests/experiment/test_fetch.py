"""Results are brought from where a job has written them, whole, and read as they were."""

import json
import shutil
from pathlib import Path

import pytest

from raysim.analysis.sweep import open_sweep
from raysim.core.errors import InputError, RunError
from raysim.experiment.fetch import fetch_results
from raysim.tables.io import read_table
from raysim.tables.results import open_run


@pytest.fixture
def there(run: Path, tmp_path: Path) -> Path:
    """A run as a job leaves it: with a store, a lock and a secret, which are nobody else's."""
    folder = shutil.copytree(run, tmp_path / "there")
    (folder / "store" / "entries").mkdir(parents=True)
    for name in ("report.html", ".secret", ".lock", "store/entries/large"):
        (folder / name).write_text(name)
    return folder


def files_of(folder: Path) -> set[str]:
    return {file.relative_to(folder).as_posix() for file in folder.rglob("*") if file.is_file()}


@pytest.mark.parametrize("as_url", [True, False])
def test_tables_report_and_logs_come_and_the_store_does_not(there: Path, tmp_path: Path, as_url: bool) -> None:
    here = tmp_path / "here"
    fetched = fetch_results(there.as_uri() if as_url else str(there), here)
    assert files_of(here) == files_of(there) - {".secret", ".lock", "store/entries/large"}
    assert "results/models.parquet" in files_of(here)
    assert fetched.files == len(files_of(here))
    assert fetched.num_bytes == sum((here / name).stat().st_size for name in files_of(here))
    assert open_run(here).manifest == open_run(there).manifest
    assert read_table(here, "models") == read_table(there, "models")


def test_a_folder_may_have_any_name(there: Path, tmp_path: Path) -> None:
    odd = there.rename(tmp_path / "run #1 %41")
    assert fetch_results(str(odd), tmp_path / "here").files == len(files_of(tmp_path / "here"))


def test_a_sweep_comes_with_its_points(sweep_folder: Path, tmp_path: Path) -> None:
    shutil.copytree(sweep_folder, tmp_path / "there")
    shutil.rmtree(tmp_path / "there" / "points" / "point-4")  # whose run has not begun
    fetch_results(str(tmp_path / "there"), tmp_path / "here")
    assert files_of(tmp_path / "here") == files_of(tmp_path / "there")
    assert [point.results is not None for point in open_sweep(tmp_path / "here").points] == [True, True, True, False]


def test_fetching_again_brings_what_is_new(there: Path, tmp_path: Path) -> None:
    here = tmp_path / "here"
    fetch_results(str(there), here)
    (there / "report.html").write_text("a later one")
    fetch_results(str(there), here)
    assert (here / "report.html").read_text() == "a later one"


def test_another_run_is_not_mixed_in(there: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="a run has worked there"):
        fetch_results(str(there), there)
    other = tmp_path / "other"
    other.mkdir()
    (other / "manifest.json").write_text(json.dumps({"created": "long ago"}))
    with pytest.raises(InputError, match="results of another run"):
        fetch_results(str(there), other)
    assert files_of(other) == {"manifest.json"}


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("nowhere", "nowhere: no run folder"),
        ("file:///nowhere", "file:///nowhere: no run folder"),
        ("what://is/this", "what://is/this: cannot be used: "),
    ],
)
def test_what_is_no_run_is_named(tmp_path: Path, source: str, said: str) -> None:
    with pytest.raises(InputError, match=said):
        fetch_results(source, tmp_path / "here")
    assert not (tmp_path / "here").exists()


def test_a_manifest_that_leads_elsewhere_is_not_followed(there: Path, tmp_path: Path) -> None:
    (there / "manifest.json").write_text(json.dumps({"points": [{"folder": "points/../../../etc"}]}))
    with pytest.raises(InputError, match="names points that are none"):
        fetch_results(str(there), tmp_path / "here")


def test_what_is_interrupted_is_no_run(there: Path, tmp_path: Path) -> None:
    """The last table cannot be written, so that the manifest does not come."""
    here = tmp_path / "here"
    (here / "ledger.parquet").mkdir(parents=True)
    with pytest.raises(RunError):
        fetch_results(str(there), here)
    with pytest.raises(InputError, match="no run folder"):
        open_run(here)
