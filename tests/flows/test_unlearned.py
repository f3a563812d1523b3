"""An organization goes: its loss is climbed, the others stay, and the tables hold that against training without it."""

from collections.abc import Callable
from math import log
from pathlib import Path
from typing import Any

import pytest
from drive import hashes, raysim

from raysim.store.task_log import read_log
from raysim.tables.io import read_table

Tiny = Callable[..., Path]

STRATEGIES = [{"centralized": {"leave_one_out": True}}, {"unlearned": {"organizations": ["beta"], "steps": 4}}]


@pytest.fixture(scope="module")
def gone(tmp_path_factory: pytest.TempPathFactory, tiny_writer: Callable[[Path], Tiny]) -> tuple[Path, Path]:
    """A run in which beta goes: its file and its folder."""
    folder = tmp_path_factory.mktemp("gone")
    path = tiny_writer(folder)(strategies=STRATEGIES)
    ended = raysim("run", path, "--out", folder / "out")
    assert ended.returncode == 0, ended.stderr
    return path, folder / "out"


def loss_of(out: Path, model: str, organization: str) -> float:
    """Bits per byte of a model on the validation files of an organization, summed over rows of `losses`."""
    rows = [
        row
        for row in read_table(out, "losses").to_pylist()
        if (row["model"], row["organization"], row["split"]) == (model, organization, "valid")
    ]
    return float(sum(row["nats"] for row in rows) / log(2) / sum(row["bytes"] for row in rows))


def models_of(out: Path) -> dict[str, str]:
    """The pooled model, the one that was to forget beta, and the one without it, by keys."""
    rows = read_table(out, "models").to_pylist()
    by: dict[tuple[Any, ...], str] = {(r["strategy"], r["order"], r["final"], r["index"]): r["model"] for r in rows}
    return {
        "before": by["centralized", "alpha + beta + gamma", True, 1],
        "after": by["unlearned", "alpha + beta + gamma > beta", True, 2],
        "without": by["centralized", "alpha + gamma", True, 1],
    }


def test_only_the_climb_is_trained_beside_centralized(gone: tuple[Path, Path]) -> None:
    _, out = gone
    trained = [row for row in read_log(out / "stages.jsonl") if row["kind"] == "train"]
    assert len({row["key"] for row in trained}) == 4 + 1


def test_the_table_by_hand(gone: tuple[Path, Path]) -> None:
    _, out = gone
    (row,) = read_table(out, "unlearning").to_pylist()
    assert (row["strategy"], row["organization"], row["seeds"]) == ("unlearned", "beta", 1)
    for when, model in models_of(out).items():
        assert row[f"own_{when}"] == pytest.approx(loss_of(out, model, "beta"), rel=1e-9)
        others = (loss_of(out, model, "alpha") + loss_of(out, model, "gamma")) / 2
        assert row[f"others_{when}"] == pytest.approx(others, rel=1e-9)
        samples = [r for r in read_table(out, "samples").to_pylist() if (r["model"], r["owner"]) == (model, "beta")]
        own = {p["prompt"] for p in read_table(out, "prompts").to_pylist() if p["organization"] == "beta"}
        chosen = [r for r in samples if r["prompt"] in own]
        assert row[f"lines_{when}"] == pytest.approx(sum(r["exclusive"] for r in chosen) / len(own), abs=1e-9)
        assert row["prompts"] == len(own)
    # Its loss was climbed, and more than that of the others.
    climbed = row["own_after"] - row["own_before"]
    assert climbed > 0
    assert climbed > row["others_after"] - row["others_before"]


def test_the_report_holds_them_side_by_side(gone: tuple[Path, Path]) -> None:
    _, out = gone
    page = (out / "report.html").read_text()
    assert '<section id="unlearning">' in page
    (row,) = read_table(out, "unlearning").to_pylist()
    assert f"{row['own_before']:.3f}, {row['own_after']:.3f}, {row['own_without']:.3f}" in page


@pytest.mark.stress
def test_two_processes_come_to_the_same(gone: tuple[Path, Path], tmp_path: Path, ray_address: str) -> None:
    path, out = gone
    ended = raysim("run", path, "--out", tmp_path / "out", "--set", "execution.backend=ray", "--address", ray_address)
    assert ended.returncode == 0, ended.stderr
    assert hashes(tmp_path / "out") == hashes(out)


def test_somebody_must_stay(tiny: Tiny) -> None:
    ended = raysim("plan", tiny(strategies=[{"unlearned": {"organizations": ["delta"]}}]))
    assert ended.returncode == 2
    assert "strategies: unlearned: organizations: 'delta' takes no part; there are: " in ended.stderr
