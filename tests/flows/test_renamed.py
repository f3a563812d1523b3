"""A run that counts copies under other names: what it adds, and that backends do not differ."""

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from drive import hashes, raysim

from raysim.store.task_log import read_log
from raysim.tables.io import read_table

MEMORIZATION: dict[str, Any] = {
    "prompts": {"function": 1, "prefix": 4},
    "prefix_tokens": 24,
    "samples": 2,
    "new_tokens": 32,
    "min_lines": 2,
}
RENAMED = ("--set", "measure.memorization.renamed={min_tokens: 6}")
TABLES = {"renamed", "renamed_chance"}


TIMEOUT_S = 900
"""Ray alone takes minutes to start where much else runs."""


def run(path: Path, out: Path, *more: object) -> Path:
    ended = raysim("run", path, "--out", out, *more, timeout=TIMEOUT_S)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return out


@pytest.fixture(scope="module")
def counted(
    tmp_path_factory: pytest.TempPathFactory, tiny_writer: Callable[[Path], Callable[..., Path]]
) -> tuple[Path, Path, Path]:
    """An experiment, its run, and one in the same store that counts copies under other names, both inline."""
    folder = tmp_path_factory.mktemp("renamed")
    measure = {"memorization": MEMORIZATION, "perplexity": None, "baselines": None}
    trainer = {"epochs": 8, "sequence_length": 64, "batch_size": 8, "learning_rate": 3e-3}
    path = tiny_writer(folder)(strategies=["centralized"], measure=measure, trainer=trainer)
    without = run(path, folder / "without")
    return path, without, run(path, folder / "inline", *RENAMED, "--store", without / "store")


@pytest.mark.slow
def test_copies_under_other_names_are_counted_beside_what_a_run_has(counted: tuple[Path, Path, Path]) -> None:
    _, without, inline = counted
    computed = Counter(row["kind"] for row in read_log(inline / "stages.jsonl") if row["status"] == "computed")
    assert computed == {"renamed": 3, "renamed_chance": 3}
    before, after = hashes(without), hashes(inline)
    assert {name for name in before if before[name] != after[name]} == TABLES

    rows = read_table(inline, "renamed").to_pylist()
    prompts, samples = (read_table(inline, name).to_pylist() for name in ("prompts", "samples"))
    assert len(rows) == len(samples) == len(prompts) * 2 * 3
    assert sum(row["covered_tokens"] for row in rows) > 0
    for row in rows:
        assert row["covered"] == row["exclusive"] + row["shared"] + row["public"] <= row["lines"]
    control = read_table(inline, "renamed_chance").to_pylist()
    assert len(control) == 3 * 3
    assert all(row["lines"] > 0 for row in control)
    page = (inline / "report.html").read_text(encoding="utf-8")
    assert "Copies under other names" in page
    assert "Copies under other names" not in (without / "report.html").read_text(encoding="utf-8")


@pytest.mark.stress
def test_ray_counts_the_same(counted: tuple[Path, Path, Path], tmp_path: Path) -> None:
    path, _, inline = counted
    on_ray = run(path, tmp_path / "ray", *RENAMED, "--set", "execution.backend=ray")
    assert hashes(on_ray) == hashes(inline)
