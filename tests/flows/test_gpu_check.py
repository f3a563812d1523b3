"""The script for machines with a GPU: without one it says so, and on a CPU it can be tried."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch

SCRIPT = Path(__file__).parents[2] / "experiments/gpu_check.py"


def check(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(SCRIPT), *arguments], capture_output=True, text=True, cwd=SCRIPT.parents[1]
    )


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
def test_without_a_gpu_it_says_so_and_succeeds() -> None:
    ended = check()
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout == "There is no CUDA device here, so nothing was checked.\n"


@pytest.mark.stress
def test_all_that_it_does_works() -> None:
    ended = check("--device", "cpu", "--batch", "4", "--steps", "12", "--pairs", "1", "--skip-quickstart")
    assert ended.returncode == 0, ended.stdout + ended.stderr
    rows = [line.split("|")[1].strip() for line in ended.stdout.splitlines() if line.startswith("| ")]
    assert rows == ["what", "torch", "torch, compiled", "DeepSpeed, ZeRO 1", "DeepSpeed, ZeRO 2"]
    assert "- generation: 16 of 16 samples as on the CPU" in ended.stdout
