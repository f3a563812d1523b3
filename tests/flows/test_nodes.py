"""Tables do not tell how many actors or nodes made them; those of fewer measures are compared under kills, too."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from chaos import run_on, three_nodes
from drive import hashes, raysim
from splits import splitting_seed

from raysim.tables.io import read_table

EVERYTHING: dict[str, Any] = {
    "strategies": ["centralized", {"fedavg": {"rounds": 1}}],
    "canaries": {"repeats": [0, 2], "count": 2, "length": 6},
    "measure": {
        "memorization": {
            "prompts": {"function": 1, "prefix": 5, "held_out": 1},
            "prefix_tokens": 24,
            "samples": 2,
            "new_tokens": 24,
            "min_lines": 2,
            "batch_size": 4,
            "renamed": {"min_tokens": 6},
            "extraction": {"passages": 4, "prefix_tokens": [16], "suffix_tokens": 16},
        },
        "exposure": {"candidates": 64},
        "membership": {"chunk_tokens": None},
    },
}


@pytest.mark.stress
def test_equal_tables_on_one_process_and_on_three_nodes(
    tiny: Callable[..., Path], tmp_path: Path, corpus_folders: dict[str, Path]
) -> None:
    # Of one organization two files and more of either kind, or nothing could be learned of members.
    path = tiny(**EVERYTHING, split_seed=splitting_seed(corpus_folders, twice="alpha"))
    ended = raysim("run", path, "--out", tmp_path / "inline")
    assert ended.returncode == 0, ended.stderr
    for name in ("samples", "renamed", "extraction", "canaries", "membership", "blind", "clones"):
        assert read_table(tmp_path / "inline", name).num_rows, name
    with three_nodes() as cluster:
        ended = raysim(*run_on(cluster, path, tmp_path / "nodes"))
    assert ended.returncode == 0, ended.stderr
    assert hashes(tmp_path / "nodes") == hashes(tmp_path / "inline")
