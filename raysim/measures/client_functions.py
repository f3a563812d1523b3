"""Visitors that score what an organization holds, most of them with a model; only numbers leave."""

import pyarrow as pa

from raysim.corpus.canaries import CanarySettings
from raysim.measures.blind import blind_scores
from raysim.measures.exposure import ExposureSettings, exposures
from raysim.measures.membership import MembershipSettings, membership_scores
from raysim.measures.memorization.passages import choose_passages
from raysim.measures.memorization.settings import MemorizationSettings
from raysim.measures.perplexity import file_losses
from raysim.organizations.organization import ModelSpec, Organization
from raysim.tasks.executor import TaskOutput
from raysim.training.process_memory import oom_hint
from raysim.training.weights import Flat


def score_at(
    organization: Organization, weights: Flat, spec: ModelSpec, sequence_length: int, batch_size: int, threads: int
) -> TaskOutput:
    """Scores an organization's validation split."""
    with oom_hint("measure.perplexity.batch_size"):
        return _prompt_stats("losses", file_losses(organization, weights, spec, sequence_length, batch_size, threads))


def extract_at(
    organization: Organization,
    weights: Flat,
    spec: ModelSpec,
    settings: MemorizationSettings,
    split_seed: int,
    threads: int,
) -> TaskOutput:
    """Has a model recite an organization's passages, in float32 on the CPU."""
    import torch

    from raysim.measures.memorization.reciting import recite

    extraction = settings.extraction
    assert extraction, "it is asked for"
    passages = choose_passages(organization.corpus, organization.packed, spec.bos_id, extraction, split_seed)
    model = organization.scoring_model(spec, weights, threads)
    with oom_hint("measure.memorization.extraction.batch_size"), torch.inference_mode():
        return _prompt_stats("extraction", recite(model, passages, spec.bos_id, extraction, settings.scheme))


def expose_at(
    organization: Organization,
    weights: Flat,
    spec: ModelSpec,
    planted: CanarySettings,
    settings: ExposureSettings,
    split_seed: int,
    threads: int,
) -> TaskOutput:
    """Ranks an organization's canaries; neither they nor any candidate leaves."""
    with oom_hint("measure.exposure.batch_size"):
        return _prompt_stats("canaries", exposures(organization, weights, spec, planted, settings, split_seed, threads))


def infer_at(
    organization: Organization,
    weights: Flat,
    spec: ModelSpec,
    settings: MembershipSettings,
    sequence_length: int,
    split_seed: int,
    threads: int,
) -> TaskOutput:
    """Scores an organization's members and non-members."""
    with oom_hint("measure.membership.batch_size"):
        scores = membership_scores(organization, weights, spec, settings, sequence_length, split_seed, threads)
    return _prompt_stats("membership", scores)


def guess_at(
    organization: Organization, settings: MembershipSettings, sequence_length: int, split_seed: int
) -> TaskOutput:
    """Guesses an organization's members without any model."""
    return _prompt_stats("blind", blind_scores(organization, settings, sequence_length, split_seed))


def _prompt_stats(name: str, table: pa.Table) -> TaskOutput:
    return TaskOutput(tables={name: table})
