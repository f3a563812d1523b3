"""Losses against a slow, plain reference: one token at a time, from all that stands before it in its window."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from keyed_work import BASE

from raysim.corpus.sources import SourceSettings
from raysim.measures.perplexity import Perplexity, PerplexitySettings, file_losses, perplexity, training_loss
from raysim.organizations.organization import ModelSpec, Organization, PreparationContext
from raysim.organizations.settings import OrganizationSettings
from raysim.simulation.strategy import ModelCheckpoint
from raysim.training.models import ModelSettings, build_model
from raysim.training.weights import flatten

if TYPE_CHECKING:
    from raysim.organizations.client_stats import ClientStats

LENGTH = 64
GPT2 = {"model_type": "gpt2", "n_layer": 1, "n_head": 2, "n_embd": 16}


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


def test_a_test_split_is_scored_by_itself(organization: Organization, spec: ModelSpec) -> None:
    weights = flatten(build_model(spec.settings, spec.vocab_size, spec.bos_id, spec.context, seed=3))
    whole = organization.corpus
    # As if the validation files were those of a test split.
    organization._corpus = replace(whole, test=whole.valid, valid=())
    try:
        of_test = file_losses(organization, weights, spec, LENGTH, 4, 1, "test")
        assert file_losses(organization, weights, spec, LENGTH, 4, 1).num_rows == 0
    finally:
        organization._corpus = whole
    assert of_test.equals(file_losses(organization, weights, spec, LENGTH, 4, 1))


def test_a_test_split_is_work_of_its_own() -> None:
    measure, checkpoint = Perplexity(PerplexitySettings(training_sequences=0)), ModelCheckpoint("m", "stage", 1, True)
    stats = BASE.context.client_stats["a"]
    with_test = replace(stats, splits={**stats.splits, "test": stats.splits["valid"]}, test_fingerprint="another")
    context = SimpleNamespace(run=replace(BASE.context, client_stats={"a": with_test}))
    tasks = list(measure.tasks(context, checkpoint))  # type: ignore[arg-type]
    assert [task.columns["split"] for task in tasks] == ["valid", "test"]
    assert [task.recipe["corpus"] for task in tasks] == [stats.valid_fingerprint, "another"]
    assert tasks[0].key != tasks[1].key


def test_every_model_is_scored_unless_some_are_chosen() -> None:
    reached = [ModelCheckpoint("m", "initial", 0, False), ModelCheckpoint("m", "round", 1, False)]
    reached += [ModelCheckpoint("m", "upload", 2, True, "a"), ModelCheckpoint("m", "round", 2, True)]

    def scored(**settings: object) -> list[bool]:
        measure = Perplexity(PerplexitySettings.model_validate(settings))
        assert not measure.after_epochs(["a", "b"])
        return [measure.wants(checkpoint) for checkpoint in reached]

    assert scored() == [True, True, False, True]
    assert scored(when="final") == [False, False, False, True]
    assert scored(when=["every_round"]) == [True, True, False, True]


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


def test_training_loss_is_that_of_the_model_itself_on_a_fixed_sample(organization: Organization) -> None:
    """In eval mode: with dropout in force the mean over tokens would be another one in every reading."""
    spec = ModelSpec(ModelSettings(config=GPT2, dropout=0.5), organization.tokenizer.vocab_size, 0, LENGTH)
    model = build_model(spec.settings, spec.vocab_size, spec.bos_id, spec.context, seed=3).eval()
    (row,) = training_loss(organization, flatten(model), spec, 1, 1, 2, 1).to_pylist()
    sequences = organization.training_sequences()
    scores = []
    with torch.inference_mode():
        for sequence in sequences:
            ids = torch.from_numpy(sequence.astype(np.int64))[None]
            log_probs = model(ids).logits[0, :-1].log_softmax(-1)
            nats = -log_probs.gather(-1, ids[0, 1:, None]).sum().item()
            scores.append((nats, int((log_probs.argmax(-1) == ids[0, 1:]).sum())))
    near = [i for i, (nats, _) in enumerate(scores) if nats == pytest.approx(row["nats"], rel=1e-6)]
    (chosen,) = near
    assert row["correct"] == scores[chosen][1]
    text = organization.tokenizer.decode(sequences[chosen][1:].tolist())
    assert (row["file"], row["tokens"], row["bytes"]) == ("", LENGTH - 1, len(text.encode()))
    # Another model, the same sample; another split seed, another one. A sample of more than all is all.
    zeros = np.zeros_like(flatten(model))
    (uniform,) = training_loss(organization, zeros, spec, 1, 1, 2, 1).to_pylist()
    assert uniform["nats"] / uniform["tokens"] == pytest.approx(np.log(spec.vocab_size), rel=1e-5)
    assert uniform["bytes"] == row["bytes"]
    others = {training_loss(organization, zeros, spec, seed, 1, 2, 1)["bytes"][0].as_py() for seed in range(6)}
    assert len(others) > 1
    (every,) = training_loss(organization, flatten(model), spec, 1, 10_000, 2, 1).to_pylist()
    assert every["nats"] == pytest.approx(sum(nats for nats, _ in scores), rel=1e-5)


def test_perplexity_overflows_to_infinity() -> None:
    assert perplexity(2.0, 1) == pytest.approx(7.38905609893065)
    assert perplexity(1e6, 1) == float("inf")
    assert np.isnan(perplexity(float("nan")))
