"""The commands beside `run`."""

import json
from collections.abc import Callable
from pathlib import Path

import yaml
from drive import raysim


def test_init_writes_an_experiment_that_plans(corpus_folders: dict[str, Path], tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    orgs = [arg for name, folder in corpus_folders.items() for arg in ("--org", f"{name}={folder}")]
    assert raysim("init", *orgs, "--file", file).returncode == 0
    raw = yaml.safe_load(file.read_text())
    assert list(raw["organizations"]) == list(corpus_folders)
    again = raysim("init", *orgs, "--file", file)
    assert (again.returncode, "is there already" in again.stderr) == (2, True)
    relaxed = ["--set", "preparation.min_assignments=0", "--set", "preparation.no_keyword_drop_probability=0"]
    planned = raysim("plan", file, "--json", *relaxed, "--set", "trainer.sequence_length=64")
    assert planned.returncode == 0, planned.stderr
    assert json.loads(planned.stdout)["strategies"]["incremental"] == {"naive": 18, "unique": 15, "cached": 0}


def test_inspect_and_plan_leave_nothing_behind(tiny: Callable[..., Path], tmp_path: Path) -> None:
    path, out = tiny(), tmp_path / "out"
    for name in ("inspect", "plan"):
        ended = raysim(name, path, "--out", out)
        assert ended.returncode == 0, ended.stderr
    assert not out.exists()


def test_inspect_tells_the_diversity_of_the_lines(tiny: Callable[..., Path]) -> None:
    path = tiny()
    prompt_stats = json.loads(raysim("inspect", path, "--json").stdout)
    organizations = prompt_stats["organizations"]
    lines = {name: one["splits"]["train"]["lines"] for name, one in organizations.items()}
    assert prompt_stats["diversity_lines"] == min(lines.values())
    smallest = organizations[min(lines, key=lambda name: lines[name])]
    distinct = sum(count for _, count in smallest["line_spectrum"])
    assert smallest["diversity"] == distinct / min(lines.values())
    shown = raysim("inspect", path).stdout
    for one in organizations.values():
        assert 0 < one["diversity"] < 1 < one["line_entropy_bits"]
        assert f"{one['diversity']:.3f}" in shown
        assert f"{one['line_entropy_bits']:.2f}" in shown
