"""The base in experiments/base: what base.yaml says made it, and what quickstart.yaml and findings.yaml start from."""

import json
import math
import sysconfig
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from raysim.core.yaml_files import load_yaml
from raysim.corpus.tokenizer import TokenizerSettings, load_tokenizer
from raysim.training.models import ModelSettings, build_model

EXPERIMENTS = Path(__file__).parents[2] / "experiments"
BASE = EXPERIMENTS / "base"


@pytest.mark.parametrize("name", ["quickstart", "findings"])
def test_who_starts_from_it_has_its_corpora_and_split(name: str) -> None:
    """Else what is public, held out or trained on would be another thing in the base than beside it."""
    made, used = load_yaml(EXPERIMENTS / "base.yaml"), load_yaml(EXPERIMENTS / f"{name}.yaml")
    for section in ("organizations", "references", "preparation"):
        assert used[section] == made[section], section
    assert used.get("split_seed") == made.get("split_seed")
    assert used["trainer"]["sequence_length"] == made["trainer"]["sequence_length"]
    assert used["model"] == used["tokenizer"] == {"pretrained": "./base"}


def test_it_is_the_model_that_base_yaml_describes() -> None:
    described: dict[str, Any] = load_yaml(EXPERIMENTS / "base.yaml")["model"]["config"]
    config = json.loads((BASE / "config.json").read_text("utf-8"))
    assert described.items() <= config.items()
    assert len(json.loads((BASE / "raysim.json").read_text("utf-8"))["model"]) == 32
    assert sum(file.stat().st_size for file in BASE.iterdir()) <= 3_000_000


def test_it_predicts_python_better_than_zlib() -> None:
    import torch

    tokenizer = load_tokenizer(TokenizerSettings(pretrained=str(BASE)), EXPERIMENTS, lambda: None)
    model = build_model(ModelSettings(pretrained=str(BASE)), tokenizer.vocab_size, tokenizer.bos_id, 256).eval()
    nats, size, packed = 0.0, 0, 0
    for name in ("shlex.py", "queue.py", "sched.py", "textwrap.py"):
        text = (Path(sysconfig.get_path("stdlib")) / name).read_text("utf-8")
        size, packed = size + len(text.encode()), packed + len(zlib.compress(text.encode(), 9))
        ids = np.array([tokenizer.bos_id, *tokenizer.encode(text)])
        with torch.inference_mode():
            for start in range(0, len(ids) - 1, 256):
                window = torch.from_numpy(ids[start : start + 257])[None]
                logits = model(input_ids=window[:, :-1]).logits
                loss = torch.nn.functional.cross_entropy(logits[0], window[0, 1:], reduction="sum")
                nats += float(loss)
    assert nats / math.log(2) / size < 0.8 * packed * 8 / size
