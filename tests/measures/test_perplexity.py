"""Losses against a slow, plain reference: one token at a time, from all that stands before it in its window."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch

from raysim.corpus.sources import SourceSettings
from raysim.measures.perplexity import file_losses, perplexity
from raysim.organizations.organization import ModelSpec, Organization, OrganizationSettings, PreparationContext
from raysim.training.models import build_model
from raysim.training.weights import flatten

if TYPE_CHECKING:
    from raysim.organizations.organization import ClientStats

LENGTH = 64


@pytest.fixture
def organization(
    corpus_folders: dict[str, Path], preparation_context: PreparationContext, tmp_path: Path
) -> Organization:
    settings = OrganizationSettings(source=SourceSettings(path=str(corpus_folders["alpha"])))
    organization = Organization("alpha", settings, tmp_path, "cache")
    stats: ClientStats = organization.prepare(preparation_context)
    assert stats.splits["valid"]["files"] > 0
    return organization


@pytest.fixture
def spec(gpt2_spec: Callable[..., ModelSpec], organization: Organization) -> ModelSpec:
    return gpt2_spec(0.0, organization.tokenizer.vocab_size)


def test_equals_a_slow_reference(organization: Organization, spec: ModelSpec) -> None:
    model = build_model(spec.settings, spec.vocab_size, spec.bos_id, spec.context, seed=3)
    rows = file_losses(organization, flatten(model), spec, LENGTH, 4, 1).to_pylist()
    assert [row["file"] for row in rows] == sorted(f.path for f in organization.corpus.valid)
    for row, source in zip(rows, sorted(organization.corpus.valid, key=lambda f: f.path), strict=True):
        stream = [spec.bos_id, *organization.tokenizer.encode(source.text)]
        nats, correct = 0.0, 0
        with torch.inference_mode():
            for position in range(1, len(stream)):
                window = (position - 1) // LENGTH * LENGTH
                logits = model(torch.tensor([stream[window:position]])).logits[0, -1]
                nats -= float(torch.log_softmax(logits, -1)[stream[position]])
                correct += int(logits.argmax() == stream[position])
        assert row["tokens"] == len(stream) - 1
        assert row["bytes"] == len(source.text.encode())
        assert row["nats"] == pytest.approx(nats, rel=1e-5)
        assert row["correct"] == correct


def test_batches_do_not_matter(organization: Organization, spec: ModelSpec) -> None:
    weights = flatten(build_model(spec.settings, spec.vocab_size, spec.bos_id, spec.context, seed=3))
    one, eight = (file_losses(organization, weights, spec, LENGTH, size, 1) for size in (1, 8))
    assert np.allclose(one["nats"].to_numpy(), eight["nats"].to_numpy(), rtol=1e-5)
    assert one["correct"].equals(eight["correct"])


def test_uniform_predictions_have_the_perplexity_of_the_vocabulary(organization: Organization, spec: ModelSpec) -> None:
    model = build_model(spec.settings, spec.vocab_size, spec.bos_id, spec.context)
    zeros = np.zeros_like(flatten(model))
    (nats, tokens) = (
        sum(file_losses(organization, zeros, spec, LENGTH, 8, 1)[name].to_pylist()) for name in ("nats", "tokens")
    )
    assert perplexity(nats, tokens) == pytest.approx(spec.vocab_size, rel=1e-5)


def test_perplexity_overflows_to_infinity() -> None:
    assert perplexity(2.0, 1) == pytest.approx(7.38905609893065)
    assert perplexity(1e6, 1) == float("inf")
    assert np.isnan(perplexity(float("nan")))
