"""All orders of n organizations cost a tree of stages, counted in what a run did and not only in its plan."""

import shutil
import sysconfig
from pathlib import Path
from typing import Any

import pytest
import yaml
from drive import raysim
from splits import splitting_seed

from raysim.store.task_log import read_log

MODULES = ("bisect", "sched", "getpass", "netrc", "colorsys", "codeop", "fnmatch", "tty", "secrets", "linecache")
"""Two for each of five organizations: one to train on, one for validation."""


@pytest.mark.slow
@pytest.mark.parametrize(("count", "unique"), [(3, 15), (4, 64), pytest.param(5, 325, marks=pytest.mark.stress)])
def test_every_stage_of_the_tree_is_trained_once(count: int, unique: int, tmp_path: Path) -> None:
    organizations: dict[str, Any] = {}
    for number in range(count):
        folder = tmp_path / f"org{number}"
        folder.mkdir()
        for module in MODULES[2 * number : 2 * number + 2]:
            shutil.copy(Path(sysconfig.get_path("stdlib")) / f"{module}.py", folder)
        organizations[folder.name] = {"source": {"path": folder.name}, "agreement": {"share": "data"}}
    raw = {
        "name": "orders",
        "split_seed": splitting_seed({name: tmp_path / name for name in organizations}),
        "organizations": organizations,
        "preparation": {
            "min_assignments": 0,
            "min_characters_per_token": 0,
            "config_or_test_drop_probability": 0,
            "no_keyword_drop_probability": 0,
            "split": {"valid": 0.3},
        },
        "tokenizer": {"train": {"corpus": "organizations", "vocab_size": 300}},
        "model": {"config": {"model_type": "gpt2", "n_layer": 1, "n_head": 1, "n_embd": 8}},
        "trainer": {"epochs": 1, "sequence_length": 64, "batch_size": 32},
        "strategies": [{"incremental": {"orders": "all"}}],
        "measure": {"perplexity": None},
        "execution": {"backend": "inline"},
    }
    path = tmp_path / "orders.yaml"
    path.write_text(yaml.safe_dump(raw, sort_keys=False))
    ended = raysim("run", path, "--out", tmp_path / "out")
    assert ended.returncode == 0, ended.stderr
    rows = [row for row in read_log(tmp_path / "out" / "stages.jsonl") if row["kind"] == "train"]
    computed = [row["key"] for row in rows if row["setting"] == "incremental" and row["status"] == "computed"]
    assert len(computed) == len(set(computed)) == unique
    assert {row["key"] for row in rows} == set(computed)
