"""Sequence canaries in a real organization: what they change of its training data, and their losses."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from raysim.corpus.sequence_canaries import SequenceCanarySettings
from raysim.corpus.sources import SourceSettings
from raysim.measures.base import MeasureScope
from raysim.measures.privacy_audit import PrivacyAudit, PrivacyAuditSettings, audit_at
from raysim.organizations.organization import ModelSpec, Organization, PreparationContext
from raysim.organizations.settings import OrganizationSettings
from raysim.simulation.strategy import ModelCheckpoint
from raysim.training.models import build_model
from raysim.training.request import TrainerSettings
from raysim.training.weights import flatten

PLANTED = SequenceCanarySettings(count=20)


@pytest.fixture
def prepared(
    corpus_folders: dict[str, Path], preparation_context: PreparationContext, tmp_path: Path
) -> Callable[[SequenceCanarySettings | None], Organization]:
    """Makes an organization that is to have these canaries."""

    def make(planted: SequenceCanarySettings | None) -> Organization:
        settings = OrganizationSettings(source=SourceSettings(path=str(corpus_folders["alpha"])))
        organization = Organization("alpha", settings, tmp_path, "cache")
        organization.prepare(replace(preparation_context, sequence_canaries=planted))
        return organization

    return make


def test_they_are_whole_sequences_behind_the_others_which_stay_as_they_are(prepared) -> None:
    plain, audited = prepared(None), prepared(PLANTED)
    canaries, sequences = audited.sequence_canaries, audited.training_sequences()
    assert 0 < canaries.included.sum() < 20
    assert np.array_equal(sequences, np.concatenate([plain.training_sequences(), canaries.planted]))
    assert audited.stats.sequences == len(sequences)
    assert audited.stats.tokens == plain.stats.tokens  # of code; pooled packing counts them
    assert audited.stats.train_fingerprint != plain.stats.train_fingerprint
    assert audited.stats.valid_fingerprint == plain.stats.valid_fingerprint


def test_an_organization_that_is_to_have_none_is_as_it_was(prepared) -> None:
    plain, spared = prepared(None), prepared(SequenceCanarySettings(organizations=("beta",)))
    assert spared.stats == plain.stats


def test_losses_equal_those_of_each_canary_by_itself(prepared, gpt2_spec: Callable[..., ModelSpec]) -> None:
    organization = prepared(PLANTED)
    spec = gpt2_spec(0.0, organization.tokenizer.vocab_size)
    model = build_model(spec.settings, spec.vocab_size, spec.bos_id, spec.context, seed=3)
    rows = audit_at(organization, flatten(model), spec, 7, 1).tables["sequence_canaries"].to_pylist()
    canaries = organization.sequence_canaries
    assert [(row["canary"], row["included"]) for row in rows] == list(enumerate(canaries.included.tolist()))
    with torch.inference_mode():
        for row, tokens in zip(rows, torch.from_numpy(canaries.tokens.astype(np.int64)), strict=True):
            logits = model(input_ids=tokens[None, :-1]).logits[0]
            loss = torch.nn.functional.cross_entropy(logits, tokens[1:], reduction="sum")
            assert row["nats"] == pytest.approx(float(loss), rel=1e-5)


def test_guesses_are_a_third_of_the_coins_unless_they_are_said() -> None:
    assert [PrivacyAuditSettings().guesses_of(count) for count in (10, 200)] == [2, 66]
    assert PrivacyAuditSettings(guesses=50).guesses_of(200) == 50
    scope = MeasureScope(TrainerSettings(), None, None, PLANTED)
    with pytest.raises(ValueError, match=r"privacy_audit\.guesses: 22 of 20 canaries; guess fewer"):
        PrivacyAudit(PrivacyAuditSettings(guesses=22)).check(scope)
    assert not PrivacyAudit(PrivacyAuditSettings()).applies(MeasureScope(TrainerSettings(), None))


def test_what_training_starts_from_is_measured_whatever_when_says() -> None:
    measure = PrivacyAudit(PrivacyAuditSettings())
    models = [
        ModelCheckpoint("m", "initial", 0, False),
        ModelCheckpoint("m", "round", 1, False),
        ModelCheckpoint("m", "round", 2, True),
    ]
    assert [measure.wants(model) for model in models] == [True, False, True]
