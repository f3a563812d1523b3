"""Extraction at an organization: a model recites passages of its training sequences. Only numbers leave."""

from raysim.measures.memorization.passages import choose_passages
from raysim.measures.memorization.settings import MemorizationSettings
from raysim.organizations.organization import ModelSpec, Organization
from raysim.tasks.task import TaskOutput
from raysim.training.process_memory import oom_hint
from raysim.training.weights import Flat


def extract_at(
    organization: Organization,
    weights: Flat,
    spec: ModelSpec,
    settings: MemorizationSettings,
    split_seed: int,
    threads: int,
) -> TaskOutput:
    """Has a model recite an organization's passages, in float32 on the CPU; runs there."""
    import torch

    from raysim.measures.memorization.reciting import recite

    extraction = settings.extraction
    assert extraction, "it is asked for"
    passages = choose_passages(organization.corpus, organization.packed, spec.bos_id, extraction, split_seed)
    model = organization.scoring_model(spec, weights, threads)
    with oom_hint("measure.memorization.extraction.batch_size"), torch.inference_mode():
        recited = recite(model, passages, spec.bos_id, extraction, settings.extraction_scheme)
    return TaskOutput(tables={"extraction": recited})
