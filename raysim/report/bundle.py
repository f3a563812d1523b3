"""`raysim report --bundle`: one folder, or one zip file, with all that a group needs to publish a run."""

import hashlib
import json
import os
import shutil
import zipfile
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from raysim.analysis.results import RunResults
from raysim.analysis.sweep import is_sweep
from raysim.core.errors import InputError, os_errors
from raysim.core.json_lines import append_json_line
from raysim.core.run_folder import RunFolder
from raysim.core.yaml_files import dump_yaml
from raysim.report.cards.data_card import write_data_cards
from raysim.report.figure_files import figures_of, write_figures
from raysim.report.methods import methods_page
from raysim.report.publication import EXPERIMENT_FILE, public_log, public_manifest, public_table, showing
from raysim.report.run_page import write_run_page
from raysim.tables.export import export_tables
from raysim.tables.io import data_dictionary, write_table
from raysim.tables.results import Results, open_run

SUMS = "SHA256SUMS"

_CITATION = Path(__file__).parent / "templates" / "CITATION.cff"
_ANY_DAY = (1980, 1, 1, 0, 0, 0)
"""Of the files in a zip: the first that it can name, so that equal files give equal zips."""

_README = """\
# {name}

Results of a run of raysim {version}.

| file | what it is |
|---|---|
| `report.html` | the report: one page that needs no network |
| `METHODS.md` | what was done, as text that a paper can quote |
| `results/`, `ledger.parquet` | the tables as Parquet; each column says what it means |
| `csv/` | the same as CSV |
| `TABLES.md` | what tables and columns mean |
| `data_cards/` | of each organization's code what it is, what was left out and agreed, what models give away of it |
| `figures/` | the figures of the report as SVG and PDF{no_figures} |
| `experiment.yaml` | the experiment, with every setting; paths that led elsewhere are their last part |
| `manifest.json`, `stages.jsonl` | when, on what kind of machine and with which versions it ran; what its work took |
| `CITATION.cff` | how to cite raysim |
| `{sums}` | `sha256sum -c {sums}` checks the files |

`raysim report .` makes the report anew from these tables, `raysim tables .` lists them.

{evidence}
"""


@dataclass(frozen=True)
class Bundle:
    """A bundle that was written.

    Attributes:
        path: of the folder or the zip file.
        files: how many are in it.
        notes: what is not in it, and why.
    """

    path: Path
    files: int
    notes: tuple[str, ...]


def check_target(path: Path) -> None:
    """Refuses a place where something is already.

    Raises:
        InputError: a file, or a folder that is not empty.
    """
    if path.is_file() or (path.is_dir() and any(path.iterdir())):
        raise InputError(f"--bundle {path}: is there already; name a new folder or .zip file, or remove it")


def write_bundle(run_dir: Path, target: Path) -> Bundle:
    """Writes what may be published of a run, all at once or not at all.

    Its report is made from the tables in it, so that `raysim report` makes the same page from it. There are no weights,
    no store, no code of organizations; lines that models repeat are there if their owners' agreements allow it.

    Args:
        run_dir: of a run.
        target: a folder to be made, or a file that ends in ``.zip``.

    Raises:
        InputError: no run folder, or something is at `target`.
        DamagedEntry: a table that cannot be read.
    """
    check_target(target)
    if is_sweep(run_dir):
        raise InputError(f"--bundle: {run_dir} is a sweep; bundle the runs of its points, which lie below points/")
    run = open_run(run_dir)
    place = target.absolute()
    draft = place.with_name(f".{place.name}.unfinished")
    with os_errors(target):
        shutil.rmtree(draft, ignore_errors=True)
        draft.mkdir(parents=True)
        try:
            notes = _fill(draft, run)
            files = _write_sums(draft)
            _finish(draft, place)
        finally:
            shutil.rmtree(draft, ignore_errors=True)
    return Bundle(target, files, tuple(notes))


def _fill(folder: Path, run: Results) -> list[str]:
    """Writes all files but the sums; what is left out."""
    manifest = public_manifest(run.manifest)
    (folder / "manifest.json").write_text(json.dumps(manifest, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    for row in public_log(run):
        append_json_line(RunFolder(folder).stages, row)
    for name in run.tables:
        write_table(folder, name, public_table(run, name))
    write_run_page(folder)
    public = open_run(folder)
    export_tables(public, folder / "csv", "csv")
    (folder / "TABLES.md").write_text(f"# Tables\n\n{data_dictionary(public.tables)}", encoding="utf-8")
    write_data_cards(RunResults(public), folder)
    (folder / "METHODS.md").write_text(methods_page(RunResults(public)), encoding="utf-8")
    (folder / EXPERIMENT_FILE).write_text(dump_yaml(manifest["experiment"]), encoding="utf-8")
    shutil.copyfile(_CITATION, folder / "CITATION.cff")
    notes = [*_figures(folder), *_left_out(run)]
    (folder / "README.md").write_text(_readme(public, not (folder / "figures").is_dir()), encoding="utf-8")
    return notes


def _figures(folder: Path) -> list[str]:
    try:
        write_figures(figures_of(folder), folder / "figures")
    except InputError as error:
        return [f"no figures: {error}"]
    return []


def _left_out(run: Results) -> list[str]:
    """Tables of measures that do not come with raysim: nobody can tell whether there is code in them."""
    names = sorted(path.stem for path in (run.path / "results").glob("*.parquet") if path.stem not in run.tables)
    return [f"not in it, as raysim does not know whether it may be published: the table {name}" for name in names]


def _readme(public: Results, no_figures: bool) -> str:
    shown = sorted(showing(public))
    whose = f"of {', '.join(shown)} alone, who agreed to it" if shown else "of nobody, as no agreement allows it"
    return _README.format(
        name=public.manifest.get("name", "A run"),
        version=public.manifest.get("raysim", ""),
        no_figures=" (left out: there was no browser to draw them)" if no_figures else "",
        sums=SUMS,
        evidence=f"Lines of training code that models repeated are shown {whose} (`agreement.evidence`).",
    )


def _write_sums(folder: Path) -> int:
    """Writes the hash of every file; how many files there are, this one included."""
    paths = _files(folder)
    lines = [f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.relative_to(folder)}\n" for path in paths]
    (folder / SUMS).write_text("".join(lines), encoding="utf-8")
    return len(lines) + 1


def _finish(draft: Path, target: Path) -> None:
    if target.suffix != ".zip":
        with suppress(FileNotFoundError):
            target.rmdir()  # an empty one
        os.replace(draft, target)
        return
    paths, packed = _files(draft), draft / "packed.zip"
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as file:
        for path in paths:
            entry = zipfile.ZipInfo(f"{target.stem}/{path.relative_to(draft)}", _ANY_DAY)
            entry.compress_type, entry.external_attr = zipfile.ZIP_DEFLATED, 0o644 << 16
            file.writestr(entry, path.read_bytes())
    os.replace(packed, target)


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())
