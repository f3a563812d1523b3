"""Organizations over texts of a test's own, with a tokenizer of a few hundred tokens, and slow readings of a model."""

from collections.abc import Mapping
from math import log, sqrt
from pathlib import Path
from typing import Any

import torch

from raysim.corpus.canaries import CanarySettings
from raysim.corpus.preparation_settings import PreparationSettings
from raysim.corpus.sources import SourceSettings
from raysim.corpus.split import SplitSettings
from raysim.corpus.tokenizer import CodeTokenizer, train_tokenizer
from raysim.organizations.organization import ModelSpec, Organization, PreparationContext
from raysim.organizations.settings import OrganizationSettings
from raysim.training.models import ModelSettings

LENGTH = 32
CONFIG = {"model_type": "gpt2", "n_layer": 1, "n_head": 2, "n_embd": 16, "initializer_range": 0.5}


def organization_of(
    folder: Path, texts: Mapping[str, str], canaries: CanarySettings | None = None, truncate_files: int | None = None
) -> Organization:
    """A prepared organization; one file in three is for validation."""
    (folder / "code").mkdir()
    for name, text in texts.items():
        (folder / "code" / name).write_text(text, encoding="utf-8")
    preparation = PreparationSettings.off().model_copy(
        update={"split": SplitSettings(valid=0.34), "truncate_files": truncate_files}
    )
    source = OrganizationSettings(source=SourceSettings(path=str(folder / "code")))
    organization = Organization("alpha", source, folder, "cache")
    organization.prepare(PreparationContext(preparation, 1, tokenizer_of(list(texts.values())), LENGTH, 3, canaries))
    return organization


def tokenizer_of(texts: list[str]) -> CodeTokenizer:
    return train_tokenizer(texts, 280)


def spec_of(organization: Organization, **config: Any) -> ModelSpec:
    return ModelSpec(ModelSettings(config=CONFIG | config), organization.tokenizer.vocab_size, 0, LENGTH)


def slow_log_probs(model: Any, window: list[int]) -> list[list[float]]:
    """For each token of `window` but the first the log-probabilities of the whole vocabulary, one step at a time."""
    found = []
    with torch.inference_mode():
        for position in range(1, len(window)):
            logits = model(torch.tensor([window[:position]])).logits[0, -1].double().tolist()
            top = max(logits)
            total = log(sum(2.718281828459045 ** (value - top) for value in logits)) + top
            found.append([value - total for value in logits])
    return found


def slow_normalised(log_probs: list[float], token: int) -> float:
    """(log p(token) - mean) / deviation, both over the vocabulary under p."""
    probs = [2.718281828459045**value for value in log_probs]
    mean = sum(p * value for p, value in zip(probs, log_probs, strict=True))
    variance = sum(p * (value - mean) ** 2 for p, value in zip(probs, log_probs, strict=True))
    return (log_probs[token] - mean) / sqrt(variance)
