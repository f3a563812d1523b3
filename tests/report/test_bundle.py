"""A bundle is all that a group publishes: the report comes from it alone, and nothing says whose machine it was."""

import getpass
import hashlib
import json
import shutil
import socket
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from measured_tables import audited, counted, held_against, recited, solved
from run_tables import Options, build

from raysim.core.errors import InputError
from raysim.core.yaml_files import load_yaml
from raysim.report.bundle import SUMS, write_bundle
from raysim.report.run_page import write_run_page
from raysim.tables.io import TABLES, read_table
from raysim.tables.results import open_run

TEXT = "def secret_of_meta(self):\nreturn self.key\n"


def hashes(folder: Path) -> dict[str, str]:
    files = (path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


@pytest.fixture(scope="module", autouse=True)
def no_browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Figures take a browser, and are tested where they are drawn."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("PATH", str(tmp_path_factory.mktemp("empty")))
        patched.setenv("BROWSER_PATH", "nowhere")
        yield


@pytest.fixture(scope="module")
def bundled(no_browser: None, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A run of which everything was measured, and its bundle, made without a browser."""
    del no_browser
    folder = tmp_path_factory.mktemp("bundle")
    run = solved(counted(held_against(audited(build(folder / "run", Options(text=TEXT, prompts=4, files=12))))))
    recited(run)
    manifest = json.loads((run / "manifest.json").read_text())
    manifest |= {"base": str(folder), "store": "../store", "command": f"raysim run {folder}/x.yaml"}
    manifest["experiment"]["organizations"] = {
        name: {"source": {"path": str(folder / name)}} for name in manifest["organizations"]
    }
    (run / "manifest.json").write_text(json.dumps(manifest))
    (run / "store").mkdir()
    (run / "store" / "weights.bin").write_text("weights")
    (run / ".secret").write_text("secret")
    write_run_page(run)
    made = write_bundle(run, folder / "out" / "bundle")
    assert made.notes[0].startswith("no figures: ")
    assert made.files == len(hashes(made.path))
    return run, made.path


def test_what_is_in_it(bundled: tuple[Path, Path]) -> None:
    _, bundle = bundled
    assert {path.name for path in bundle.iterdir()} == {
        "CITATION.cff", "METHODS.md", "README.md", SUMS, "TABLES.md", "csv", "data_cards",
        "experiment.yaml", "ledger.parquet",
        "manifest.json", "report.html", "results", "stages.jsonl",
    }  # fmt: skip
    assert "left out: there was no browser" in (bundle / "README.md").read_text(encoding="utf-8")
    tables = {path.stem for path in bundle.rglob("*.parquet")}
    assert {path.stem for path in (bundle / "csv").iterdir()} == tables
    assert {"summary", "gains", "findings", "attacks", "models", "ledger"} <= tables
    dictionary = (bundle / "TABLES.md").read_text(encoding="utf-8")
    assert {line[3:] for line in dictionary.splitlines() if line.startswith("## ")} == tables


def test_the_page_is_made_from_the_bundle_alone(bundled: tuple[Path, Path], tmp_path: Path) -> None:
    _, bundle = bundled
    copy = shutil.copytree(bundle, tmp_path / "copy")
    before = hashes(copy)
    (copy / "report.html").unlink()
    for derived in ("summary", "findings", "contrasts", "gains", "attacks"):
        (copy / "results" / f"{derived}.parquet").unlink()
    write_run_page(copy)
    assert hashes(copy) == before


def test_its_numbers_are_those_of_the_run(bundled: tuple[Path, Path]) -> None:
    run, bundle = bundled
    for name in open_run(run).tables:
        one, other = read_table(run, name), read_table(bundle, name)
        hidden = ["text"] if name == "matches" else []
        assert one.drop(hidden).equals(other.drop(hidden)), name


def test_a_bundle_of_a_bundle_is_the_same(bundled: tuple[Path, Path], tmp_path: Path) -> None:
    _, bundle = bundled
    again = write_bundle(bundle, tmp_path / "again").path
    assert hashes(again) == hashes(bundle)


def test_sums_are_those_of_the_files(bundled: tuple[Path, Path]) -> None:
    _, bundle = bundled
    lines = [line.split("  ") for line in (bundle / SUMS).read_text(encoding="utf-8").splitlines()]
    assert {name: value for value, name in lines} | {SUMS: hashes(bundle)[SUMS]} == hashes(bundle)


def test_nothing_says_where_and_by_whom(bundled: tuple[Path, Path]) -> None:
    run, bundle = bundled
    names = (str(run.parent), str(Path.home()), socket.gethostname(), getpass.getuser())
    foreign = [name for name in names if len(name) > 5]  # shorter ones are parts of words
    for path in bundle.rglob("*"):
        if path.is_file():
            content = path.read_bytes()
            assert [name for name in foreign if name.encode() in content] == [], path
    assert load_yaml(bundle / "experiment.yaml")["organizations"]["meta"]["source"]["path"] == "meta"


def test_code_is_not_in_it(bundled: tuple[Path, Path]) -> None:
    run, bundle = bundled
    assert b"secret_of_meta" in (run / "report.html").read_bytes()
    assert all(b"secret_of_meta" not in path.read_bytes() for path in bundle.rglob("*") if path.is_file())
    assert read_table(bundle, "matches").column("text").null_count == read_table(bundle, "matches").num_rows
    assert "agreement does not allow it" in (bundle / "report.html").read_text(encoding="utf-8")
    assert "shown of nobody" in (bundle / "README.md").read_text(encoding="utf-8")


def test_a_zip_has_the_same_files_and_no_times(bundled: tuple[Path, Path], tmp_path: Path) -> None:
    _, bundle = bundled
    once, again = (write_bundle(bundle, tmp_path / name / "b.zip").path for name in ("one", "two"))
    assert once.read_bytes() == again.read_bytes()
    with zipfile.ZipFile(once) as file:
        names = file.namelist()
        assert {"b/report.html", "b/results/findings.parquet", f"b/{SUMS}"} <= set(names)
        assert {entry.date_time[0] for entry in file.infolist()} == {1980}
    assert [path.name for path in (tmp_path / "one").iterdir()] == ["b.zip"]


def test_tables_of_other_measures_are_left_out(tmp_path: Path, run: Path) -> None:
    copy = shutil.copytree(run, tmp_path / "run")
    shutil.copyfile(copy / "results" / "models.parquet", copy / "results" / "of_somebody.parquet")
    made = write_bundle(copy, tmp_path / "bundle")
    assert "the table of_somebody" in made.notes[-1]
    assert "of_somebody" not in TABLES
    assert not list(made.path.rglob("of_somebody*"))


def test_nothing_is_overwritten(tmp_path: Path, run: Path, sweep_folder: Path) -> None:
    (tmp_path / "there").mkdir()
    (tmp_path / "there" / "file").touch()
    with pytest.raises(InputError, match="is there already"):
        write_bundle(run, tmp_path / "there")
    with pytest.raises(InputError, match="is a sweep"):
        write_bundle(sweep_folder, tmp_path / "new")
    assert [path.name for path in tmp_path.iterdir()] == ["there"]


def test_the_citation_is_that_of_the_repository() -> None:
    root = Path(__file__).parents[2]
    shipped = root / "raysim" / "report" / "templates" / "CITATION.cff"
    assert shipped.read_text(encoding="utf-8") == (root / "CITATION.cff").read_text(encoding="utf-8")
