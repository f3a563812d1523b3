"""Client functions of memorization: they run at an organization, and only what they return leaves it.

Prompts are made and answered at their organization, line hashes are made where the lines lie.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import pyarrow as pa

from raysim.inference.prompts import split_batches
from raysim.matching.clones import clone_rows
from raysim.matching.line_index import LineIndex, build_index
from raysim.matching.matches import prompt_context, truth_windows
from raysim.measures.memorization.prompts import extract_prompts, mark_eligible
from raysim.measures.memorization.settings import MemorizationSettings
from raysim.organizations.organization import Organization

_FACTS = ["prompt", "kind", "organization", "file", "repository", "licence", "lines_to_come", "eligible"]


@dataclass(frozen=True)
class PromptStats:
    """What leaves an organization of its prompts: facts and keyed hashes; the prompts themselves stay.

    Attributes:
        facts: the columns of the ``prompts`` table that need no other organization; no code.
        windows: see `raysim.matching.matches.truth_windows`; keyed hashes.
        num_batches: of prompts that are generated together.
    """

    facts: pa.Table
    windows: pa.Table
    num_batches: int


def prompts_at(organization: Organization, settings: MemorizationSettings, split_seed: int) -> pa.Table:
    """Makes an organization's prompts. They hold code, so they do not leave."""
    prompts = extract_prompts(organization.corpus, organization.packed, organization.tokenizer, settings, split_seed)
    return mark_eligible(prompts, settings.min_lines)


def prompt_batches(organization: Organization, settings: MemorizationSettings, split_seed: int) -> list[pa.Table]:
    """Makes the batches in which an organization's prompts are answered, by workers that act for it."""
    return split_batches(prompts_at(organization, settings, split_seed), settings)


def contexts_at(organization: Organization, settings: MemorizationSettings, split_seed: int, secret: bytes) -> pa.Table:
    """Makes what comes before the continuations, for workers that act for the organization; see `prompt_context`."""
    return prompt_context(prompts_at(organization, settings, split_seed), settings.min_lines, secret)


def describe_prompts(
    organization: Organization, settings: MemorizationSettings, split_seed: int, secret: bytes
) -> PromptStats:
    """Describes an organization's prompts by what may leave it."""
    prompts = prompts_at(organization, settings, split_seed)
    return PromptStats(
        facts=prompts.select(_FACTS),
        windows=truth_windows(prompts, settings.min_lines, secret),
        num_batches=len(split_batches(prompts, settings)),
    )


def index_at(organization: Organization, min_lines: int, secret: bytes) -> LineIndex:
    """Indexes an organization's training split; the hashes are keyed with the run's secret."""
    return build_index(organization.corpus.train, min_lines, secret)


def clones_at(
    organization: Organization,
    min_lines: int,
    indexes: Mapping[str, LineIndex],
    reference: LineIndex | None,
    secret: bytes,
) -> pa.Table:
    """Compares an organization's training split with the line hashes of all."""
    return clone_rows(organization.name, organization.corpus.train, min_lines, indexes, reference, secret)
