"""Ways to train, from the command line: DeepSpeed comes to torch's models and verifies; what cannot be is said."""

import copy
from pathlib import Path

import numpy as np
import pytest
from drive import raysim

from raysim.store.store import Store
from raysim.store.task_log import read_log

TRAINER = {"epochs": 2, "sequence_length": 64, "batch_size": 8, "learning_rate": 3e-3}
ZERO = {"backend": "deepspeed", "deepspeed": {"zero_optimization": {"stage": 2}}}
CONFIG = {"config": {"model_type": "gpt2", "n_layer": 1, "n_head": 2, "n_embd": 32}, "dropout": 0.0}


def models(out: Path) -> dict[str, np.ndarray]:
    """Weights of every stage by what it is called."""
    store = Store(out / "store")
    found = {}
    for row in read_log(out / "stages.jsonl"):
        if row["kind"] in {"train", "aggregate"} and row["status"] == "computed":
            entry = store.get(row["key"])
            assert entry is not None
            found[row["label"]] = np.array(entry.array("weights"))
    return found


@pytest.mark.slow
def test_deepspeed_comes_to_the_models_of_torch_and_verifies(tiny, tmp_path: Path) -> None:
    """A second stage, and a second round, start from models that were trained the same way: nothing runs apart."""
    changes = {
        "strategies": [{"incremental": {"orders": [["alpha", "beta"]]}}, {"fedavg": {"rounds": 2}}],
        "measure": {},
        "model": CONFIG,
    }
    changes |= {"store": {"keep": "all"}}
    found = {}
    for name, more in (("torch", {}), ("deepspeed", ZERO)):
        path = tiny(name, **copy.deepcopy(changes), trainer={**TRAINER, **more})
        ended = raysim("run", path, "--out", tmp_path / "out" / name)
        assert ended.returncode == 0, ended.stderr
        found[name] = models(tmp_path / "out" / name)
    assert found["torch"].keys() == found["deepspeed"].keys()
    assert len(found["torch"]) == 2 + 2 * (3 + 1)
    for label, weights in found["torch"].items():
        distance = np.linalg.norm(found["deepspeed"][label] - weights) / np.linalg.norm(weights)
        # What differs in the last bit after one stage is trained on in the next.
        assert distance < (1e-5 if "1:" in label else 1e-4), label
    out = tmp_path / "out" / "deepspeed"
    rows = [row for row in read_log(out / "stages.jsonl") if row["kind"] == "train" and row["status"] == "computed"]
    assert all(row["training"]["tokens"] == row["tokens"] for row in rows)
    assert all(row["training"]["peak_memory_bytes"] > 1e8 for row in rows)
    assert "Waiting for data" in (out / "report.html").read_text(encoding="utf-8")
    verified = raysim("verify", out, "--sample", "2")
    assert verified.returncode == 0, verified.stdout + verified.stderr


@pytest.mark.parametrize(
    ("trainer", "words"),
    [
        ({**ZERO, "ranks": 2}, "execution.backend: inline has one"),
        (
            {"backend": "deepspeed", "deepspeed": {"optimizer": {"type": "Adam"}}},
            "trainer: deepspeed.optimizer: raysim",
        ),
        ({"ranks": 3}, "make it a multiple of 3"),
    ],
)
def test_what_cannot_be_is_said_before_anything_starts(tiny, tmp_path: Path, trainer, words: str) -> None:
    ended = raysim("run", tiny(trainer={**TRAINER, **trainer}), "--out", tmp_path / "out")
    assert ended.returncode == 2
    assert words in " ".join(ended.stderr.split())
    assert not (tmp_path / "out" / "stages.jsonl").exists()
