"""The commands beside `run`."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import yaml
from drive import raysim
from splits import splitting_seed

from raysim.store.task_log import read_log


def test_init_writes_an_experiment_that_plans(corpus_folders: dict[str, Path], tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    orgs = [arg for name, folder in corpus_folders.items() for arg in ("--org", f"{name}={folder}")]
    assert raysim("init", *orgs, "--file", file).returncode == 0
    raw = yaml.safe_load(file.read_text())
    assert list(raw["organizations"]) == list(corpus_folders)
    again = raysim("init", *orgs, "--file", file)
    assert (again.returncode, "is there already" in again.stderr) == (2, True)
    off = "min_assignments", "no_keyword_drop_probability", "config_or_test_drop_probability"
    relaxed = [word for name in off for word in ("--set", f"preparation.{name}=0")]
    relaxed += ["--set", f"split_seed={splitting_seed(corpus_folders)}", "--set", "preparation.split={valid: 0.3}"]
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


def test_plan_and_inspect_warn_of_what_will_mislead(tiny: Callable[..., Path]) -> None:
    path = tiny(strategies=[{"fedavg": {"rounds": 2}}], trainer={"epochs": 3, "sequence_length": 64})
    for command in ("plan", "inspect"):
        shown, found = raysim(command, path), json.loads(raysim(command, path, "--json").stdout)
        assert shown.returncode == 0, shown.stderr
        splits, epochs = found["warnings"][:-1], found["warnings"][-1]
        assert all(": its validation split is " in split for split in splits)
        assert splits
        assert epochs.startswith("strategies: fedavg: rounds: 2 of trainer.epochs: 3 trains 2 epochs, 1 a round")
        assert "Warning: strategies: fedavg: rounds: 2" in " ".join(shown.stdout.split())


def test_report_and_verify_answer_programs(finished_small: tuple[Path, Path], tmp_path: Path) -> None:
    out = tmp_path / "out"
    shutil.copytree(finished_small[1], out)
    reported = raysim("report", out, "--json")
    assert reported.returncode == 0, reported.stderr
    found = json.loads(reported.stdout)
    assert found["report"] == str(out / "report.html")
    assert [row["setting"] for row in found["settings"]] == ["incremental", "fedyogi"]
    verified = raysim("verify", out, "--sample", 3, "--json")
    assert verified.returncode == 0, verified.stderr
    made = json.loads(verified.stdout)
    assert made["made"] == {"train": 1, "generate": 1, "losses": 1}
    assert made["problems"] == []
    key = next(row["key"] for row in read_log(out / "stages.jsonl") if row["kind"] == "match")
    next((out / "store" / "objects" / key[:2] / key).glob("*.parquet")).write_bytes(b"not what was written")
    damaged = raysim("verify", out, "--json")
    assert damaged.returncode == 1
    assert key in json.loads(damaged.stdout)["problems"][0]
    assert key in damaged.stderr


def test_settings_are_listed_and_explained() -> None:
    everything = raysim("settings", "--json")
    assert everything.returncode == 0, everything.stderr
    assert len(json.loads(everything.stdout)) > 100
    shown = raysim("settings", "trainer.warmup_fraction")
    words = " ".join(shown.stdout.replace("│", " ").split())
    for part in ("trainer.warmup_fraction", "0.05", "at least 0", "horizon"):
        assert part in words
    unknown = raysim("settings", "trainer.warmup_fractions")
    assert (unknown.returncode, unknown.stderr.count("\n")) == (2, 1)
    assert "did you mean trainer.warmup_fraction" in unknown.stderr


def test_init_takes_limits_and_agreements(tmp_path: Path, corpus_folders: dict[str, Path]) -> None:
    orgs = [arg for name, folder in corpus_folders.items() for arg in ("--org", f"{name}={folder}")]
    file = tmp_path / "small.yaml"
    ended = raysim("init", *orgs, "--file", file, "--share", "data", "--limit", "alpha=9 KB", "--small")
    assert ended.returncode == 0, ended.stderr
    raw = yaml.safe_load(file.read_text())
    assert [one["limit"] for one in raw["organizations"].values()] == ["9 KB", "17 KB", "17 KB"]
    assert "centralized" in raw["strategies"]
    refused = raysim("init", *orgs, "--file", tmp_path / "other.yaml", "--share", "omega=data")
    assert (refused.returncode, "'omega' is no organization" in refused.stderr) == (2, True)


def test_a_shell_completes_commands_and_options() -> None:
    assert "--install-completion" in raysim("--help").stdout
    code = "import sys; sys.argv = ['raysim']; from raysim.cli.main import main; main()"
    for words, expected in (("raysim sett", ["settings"]), ("raysim run --add", ["--address"])):
        asked = {"_RAYSIM_COMPLETE": "complete_bash", "COMP_WORDS": words, "COMP_CWORD": str(words.count(" "))}
        told = subprocess.run([sys.executable, "-c", code], env=os.environ | asked, capture_output=True, text=True)
        assert told.stdout.split() == expected, told.stderr
