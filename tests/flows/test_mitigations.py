"""An experiment as it is and under mitigations, from the command to the front: paired, over one store, resumable."""

import json
from collections.abc import Callable
from math import log
from pathlib import Path

import pytest
from drive import raysim

from raysim.analysis.advice import advice, own_choices
from raysim.analysis.front import choices
from raysim.analysis.sweep import open_sweep
from raysim.store.task_log import read_log
from raysim.tables.io import read_table

Tiny = Callable[..., Path]

WITH = "goldfish: {k: 2}, compress: {share: 0.5}, {goldfish: {k: 2}, dropout: }"


@pytest.fixture(scope="module")
def compared(tmp_path_factory: pytest.TempPathFactory, tiny_writer: Callable[[Path], Tiny]) -> tuple[Path, Path]:
    """A comparison of three mitigations, run inline to its end: its file and its folder."""
    folder = tmp_path_factory.mktemp("mitigated")
    path = tiny_writer(folder)(strategies=["single", "centralized", {"fedavg": {"rounds": 2}}])
    ended = raysim("mitigate", path, "--with", WITH, "--out", folder / "out")
    assert ended.returncode == 0, ended.stderr
    return path, folder / "out"


def test_every_mitigation_is_compared_with_the_experiment_as_it_is(compared: tuple[Path, Path]) -> None:
    _, out = compared
    found = {(c.mitigation, c.strategy): c for c in choices(open_sweep(out))}
    labels = ["none", "goldfish", "compress", "goldfish+dropout"]
    assert list(found) == [(label, strategy) for strategy in ("centralized", "fedavg") for label in labels]
    assert {key for key, c in found.items() if not c.changed} == {
        ("none", "centralized"),
        ("none", "fedavg"),
        ("compress", "centralized"),
    }
    # Each loss is that of the point's own tables, and each difference the one of two such losses: all files are there.
    for (label, strategy), choice in found.items():
        assert choice.bits_per_byte == pytest.approx(loss_of(out, label, strategy), rel=1e-9)
        if label != "none":
            difference = loss_of(out, label, strategy) - loss_of(out, "none", strategy)
            assert choice.bits_more == pytest.approx(difference, abs=1e-9)
    assert read_table(out, "front").num_rows == 8


def loss_of(out: Path, point: str, strategy: str) -> float:
    """Bits per byte of the one final model of a setting, summed over the rows of `losses` of the point's run."""
    folder = out / "points" / point
    rows = read_table(folder, "models").to_pylist()
    (model,) = {row["model"] for row in rows if row["strategy"] == strategy and row["final"]}
    losses = [r for r in read_table(folder, "losses").to_pylist() if r["model"] == model and r["split"] == "valid"]
    return float(sum(r["nats"] for r in losses) / log(2) / sum(r["bytes"] for r in losses))


def test_what_a_mitigation_leaves_as_it_is_is_trained_once(compared: tuple[Path, Path]) -> None:
    _, out = compared
    computed = [row["setting"] for row in trained(out, "compress")]
    assert set(computed) == {"fedavg"}
    assert {row["setting"] for row in trained(out, "none")} == {"single", "centralized", "fedavg"}
    assert {row["setting"] for row in trained(out, "goldfish")} == {"centralized", "fedavg"}


def trained(out: Path, point: str) -> list[dict[str, str]]:
    rows = read_log(out / "points" / point / "stages.jsonl")
    return [row for row in rows if row["kind"] == "train" and row["status"] == "computed"]


def test_the_report_shows_the_front_and_the_advice(compared: tuple[Path, Path]) -> None:
    _, out = compared
    page = (out / "report.html").read_text()
    assert '<section id="front">' in page
    assert "compress changes nothing of centralized" in page
    sweep = open_sweep(out)
    for one in advice(own_choices(sweep, choices(sweep))):
        assert one.reason in page
    assert "along each parameter" not in page.lower()


def test_again_computes_nothing_and_more_is_added(compared: tuple[Path, Path]) -> None:
    path, out = compared
    points = ["none", "goldfish", "compress", "goldfish+dropout"]
    before = {point: computed(out, point) for point in points}
    again = raysim("mitigate", path, "--with", f"{WITH}, weight_decay", "--out", out, "--json")
    assert again.returncode == 0, again.stderr
    assert {row["setting"] for row in trained(out, "weight_decay")} == {"centralized", "fedavg"}
    assert {point: computed(out, point) for point in points} == before
    values = [row["values"]["mitigation"] for row in json.loads(again.stdout)["settings"]]
    assert set(values) >= {"weight_decay", "goldfish+dropout"}


def computed(out: Path, point: str) -> set[str]:
    """Keys of all work that a point has computed, in all its runs."""
    rows = read_log(out / "points" / point / "stages.jsonl")
    return {row["key"] for row in rows if row["status"] == "computed"}


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        ((), "names no mitigations; add --with NAME,NAME, of these: "),
        (("--with", "goldfihs"), "mitigations[0]: unknown mitigation 'goldfihs'"),
        (("--with", "order_by"), "mitigations[0]: order_by: it changes incremental"),
        (("--with", "dropout", "--set", "sweep={trainer.epochs: [1]}"), "leave sweep out"),
    ],
)
def test_a_wrong_one_ends_in_a_line_before_anything_is_trained(
    tiny: Tiny, tmp_path: Path, arguments: tuple[str, ...], problem: str
) -> None:
    ended = raysim("mitigate", tiny(strategies=["centralized"]), "--out", tmp_path / "out", *arguments)
    assert ended.returncode == 2
    (line,) = ended.stderr.splitlines()
    assert problem in line
    assert not (tmp_path / "out" / "points").exists()
