"""What is exported computes what the model of the run computes."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from raysim.core.errors import InputError
from raysim.experiment.export import _model
from raysim.store.store import Store
from raysim.training.lora import LoraSettings
from raysim.training.models import ModelSettings, build_model
from raysim.training.weights import flatten

GPT2: dict[str, Any] = {"model_type": "gpt2", "n_layer": 1, "n_head": 2, "n_embd": 16}
SHAPE = 300, 0, 32


@pytest.mark.parametrize("tied", [True, False])
def test_adapters_that_merging_would_spread_are_not_exported(
    tied: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Behind the back of the check that refuses adapters of a tied matrix before any training."""
    monkeypatch.setattr("raysim.training.lora._refuse_tied", lambda model: None)
    base = ModelSettings(config={**GPT2, "tie_word_embeddings": tied})
    build_model(base, *SHAPE, seed=1).save_pretrained(tmp_path / "base")
    settings = ModelSettings(pretrained=str(tmp_path / "base"), lora=LoraSettings(rank=2, targets=["lm_head"]))
    weights = flatten(build_model(settings, *SHAPE, seed=1))
    weights = weights + np.random.default_rng(1).normal(0, 0.1, weights.shape).astype(np.float32)
    entry = Store(tmp_path / "store").put({"kind": "trained", "version": 1}, {}, {"weights": weights})
    if tied:
        with pytest.raises(InputError, match=r"^model\.lora: a merged model computes something else"):
            _model(settings, settings.recipe(*SHAPE), entry)
    else:
        assert _model(settings, settings.recipe(*SHAPE), entry).config.model_type == "gpt2"
