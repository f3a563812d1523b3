"""Memory that runs out ends a run with the setting to lower; the run is resumable."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from drive import raysim

LIMITED = """
import resource
import psutil, torch, transformers
from raysim.cli.main import main
limit = psutil.Process().memory_info().vms + (1 << 30)
resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
main()
"""
"""A process that may have 1 GB more than its libraries take."""


@pytest.mark.slow
def test_an_allocation_that_fails_names_the_stage_and_the_setting(tiny: Callable[..., Path], tmp_path: Path) -> None:
    """The model takes 50 MB; its activations on 12,000 tokens at once, up to 4,096 wide, take gigabytes."""
    # One stage and nothing else: others would want memory, or threads, while there is none.
    nothing = {"perplexity": None, "baselines": None}
    path = tiny(strategies=["centralized"], measure=nothing, execution={"backend": "inline", "slots": 1})
    large = ["--set", "trainer.batch_size=1000", "--set", "model.config.n_embd=1024"]
    args = ["run", path, "--out", tmp_path / "out", *large]
    ended = subprocess.run(
        [sys.executable, "-c", LIMITED, *map(str, args)], capture_output=True, text=True, timeout=240
    )
    assert ended.returncode == 3, ended.stdout + ended.stderr
    assert "Traceback" not in ended.stderr
    prompt_stats = " ".join(ended.stderr.split())
    assert "centralized, stage 1: alpha + beta + gamma: memory ran out; lower trainer.batch_size" in prompt_stats


@pytest.mark.slow
def test_a_cluster_that_ends_processes_for_want_of_memory(
    tiny: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ray's memory monitor, told to see the machine as full when a fiftieth is used, ends one actor after the other."""
    monkeypatch.setenv("RAY_memory_usage_threshold", "0.02")
    monkeypatch.setenv("RAY_memory_monitor_refresh_ms", "100")
    more = ("--set", "execution.backend=ray", "--set", "execution.retries=1")
    ended = raysim("run", tiny(strategies=["single"]), "--out", tmp_path / "out", *more)
    assert ended.returncode == 3, ended.stdout + ended.stderr
    assert "Traceback" not in ended.stderr
    prompt_stats = " ".join(ended.stderr.split())
    assert "ran out of memory" in prompt_stats
    assert "trainer.batch_size" in prompt_stats
    assert "execution.slots" in prompt_stats
