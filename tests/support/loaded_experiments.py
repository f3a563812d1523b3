"""Experiments as they are after they were read, without a file."""

from pathlib import Path
from typing import Any

from raysim.experiment.config import LoadedExperiment, _resolve


def loaded(base: Path = Path(), **changes: Any) -> LoadedExperiment:
    """An experiment of one organization, with other top-level settings; paths start from `base`."""
    raw = {
        "name": "ranks",
        "organizations": {"a": {"source": {"path": "a"}}},
        "tokenizer": {"train": {}},
        "model": {"config": {"model_type": "gpt2"}},
        "strategies": ["single"],
        **changes,
    }
    return _resolve(raw, "ranks.yaml", base)
