"""A run is shipped as tables alone: from them tests make the report anew and find the verdicts that came with them."""

import hashlib
import json
import shutil
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from drive import raysim
from rebuilt import rebuilt, verdicts
from run_tables import Options, build

import raysim as api
from raysim.experiment.config import load_experiment
from raysim.report.bundle import SUMS, write_bundle
from raysim.report.run_page import write_run_page
from raysim.tables.io import read_table, table_hash, write_table

ROOT = Path(__file__).parents[2]

FINDINGS = ROOT / "experiments" / "findings"
"""Where the five-seed run is shipped, as a bundle."""


@pytest.fixture(scope="module")
def shipped(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle of a study of five seeds, with tables alone."""
    folder = tmp_path_factory.mktemp("shipped")
    write_run_page(build(folder / "run", Options(seeds=(1, 2, 3, 4, 5), prompts=12, files=12, samples=1)))
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("PATH", str(folder))
        patched.setenv("BROWSER_PATH", "nowhere")
        return write_bundle(folder / "run", folder / "bundle").path


def test_verdicts_follow_from_the_other_tables(shipped: Path, tmp_path: Path) -> None:
    found = verdicts(shipped)
    assert {row["verdict"] for row in found.values()} >= {"supported", "not measured"}
    again = rebuilt(shipped, tmp_path)
    assert verdicts(again) == found
    assert (again / "report.html").read_bytes() == (shipped / "report.html").read_bytes()


def test_tables_that_were_tampered_with_give_other_verdicts(shipped: Path, tmp_path: Path) -> None:
    """So that the test above could fail."""
    copy = Path(shutil.copytree(shipped, tmp_path / "copy"))
    losses = read_table(copy, "losses")
    worse = pc.multiply(losses.column("nats"), pa.scalar(1.5))  # type: ignore[attr-defined]
    federated = {row["model"] for row in read_table(copy, "models").to_pylist() if row["family"] == "federated"}
    chosen = pa.array([model in federated for model in losses.column("model").to_pylist()])
    nats = pc.if_else(chosen, worse, losses.column("nats"))  # type: ignore[attr-defined]
    write_table(copy, "losses", losses.set_column(losses.column_names.index("nats"), "nats", nats))
    assert verdicts(rebuilt(copy, tmp_path)) != verdicts(shipped)


@pytest.mark.slow
def test_the_shipped_findings_follow_from_the_shipped_tables(tmp_path: Path) -> None:
    found = verdicts(FINDINGS)
    assert {finding for finding, _ in found} == {f"F{n}" for n in range(1, 8)}
    again = rebuilt(FINDINGS, tmp_path)
    assert verdicts(again) == found
    assert (again / "report.html").stat().st_size > 100_000
    for name in ("summary", "gains", "contrasts"):
        assert table_hash(read_table(again, name)) == table_hash(read_table(FINDINGS, name))


@pytest.mark.slow
def test_a_real_run_is_bundled_and_rebuilt(finished_small: tuple[Path, Path], tmp_path: Path) -> None:
    """By the commands, with figures where a browser is there."""
    experiment, run = finished_small
    bundle = tmp_path / "bundle"
    ended = raysim("report", run, "--bundle", bundle, "--json")
    assert ended.returncode == 0, ended.stderr
    assert json.loads(ended.stdout)["bundle"] == str(bundle)
    files = {path for path in bundle.rglob("*") if path.is_file()}
    assert not any(part in path.parts for path in files for part in ("store", "objects", ".secret"))
    for path in files:
        assert str(run.parent).encode() not in path.read_bytes(), path
    pairs = [line.split("  ") for line in (bundle / SUMS).read_text(encoding="utf-8").splitlines()]
    sums = {name: sha256 for sha256, name in pairs}
    page = (bundle / "report.html").read_bytes()
    again = raysim("report", bundle)
    assert again.returncode == 0, again.stderr
    assert (bundle / "report.html").read_bytes() == page
    assert hashlib.sha256(page).hexdigest() == sums["report.html"]
    listed = raysim("tables", bundle, "--json")
    assert {"summary", "models", "ledger"} <= {row["table"] for row in json.loads(listed.stdout)}
    assert api.open_results(bundle).summary.num_rows == api.open_results(run).summary.num_rows > 0
    known = load_experiment(experiment, ()).experiment
    told = load_experiment(bundle / "experiment.yaml", ()).experiment
    assert told.model_copy(update={"organizations": {}, "references": []}) == known.model_copy(
        update={"organizations": {}, "references": []}
    )


def test_the_documented_front_is_the_shipped_one() -> None:
    """Each row of the page is one that the comparison of mitigations left, and each row that differs is on the page."""
    front = pq.read_table(ROOT / "experiments" / "mitigations" / "front.parquet").to_pylist()
    shown = {_as_written(row) for row in front if row["changed"] or row["mitigation"] == "none"}
    page = (ROOT / "docs" / "mitigations.md").read_text().split("## Measured")[1].split("\n## ")[0]
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in page.splitlines() if line[:1] == "|"]
    strategy, written = "", set[tuple[str, ...]]()
    for first, *rest in cells[2:]:
        strategy = first or strategy
        written.add((strategy, *rest))
    assert written == shown
    asked = load_experiment(ROOT / "experiments" / "mitigations.yaml", []).experiment.mitigations
    assert len(asked) == len({row["mitigation"] for row in front}) - 1 >= 10


def _as_written(row: dict[str, Any]) -> tuple[str, ...]:
    more = ""
    if row["bits_more"] is not None:
        low, high = row["bits_low"], row["bits_high"]
        more = "0" if low is None else f"{row['bits_more']:+.3f} ({low:.3f} to {high:.3f})".replace("-", "−")
    numbers = (f"{row['bits_per_byte']:.3f}", more, f"{row['exclusive']:.2f}", f"{row['renamed']:.3f}")
    return (row["strategy"], row["mitigation"], *numbers, row["dominated_by"])
