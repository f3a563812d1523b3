"""Client functions of memorization: they run at an organization, and only what they return leaves it.

Prompts are made and answered at their organization, line hashes are made where the lines lie.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import pyarrow as pa

from raysim.corpus.licence_headers import begins_with_notice
from raysim.corpus.lines import LineRules, significant_lines
from raysim.inference.prompts import open_line, split_batches
from raysim.matching.clones import clone_rows
from raysim.matching.held_out import held_out_rows
from raysim.matching.line_index import LineIndex, build_index
from raysim.matching.matches import prompt_context
from raysim.matching.truths import lines_to_come, truth_windows
from raysim.measures.memorization.prompts import extract_prompts, mark_eligible
from raysim.measures.memorization.settings import MemorizationSettings
from raysim.organizations.organization import Organization

_FACTS = ["prompt", "kind", "organization", "file", "repository", "licence", "lines_to_come", "eligible"]


@dataclass(frozen=True)
class PromptStats:
    """What leaves an organization of its prompts: facts and keyed hashes; the prompts themselves stay.

    Attributes:
        facts: the columns of the ``prompts`` table that need no other organization; no code.
        windows: see `raysim.matching.truths.truth_windows`; keyed hashes.
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
    return stats_of(prompts_at(organization, settings, split_seed), settings, secret)


def stats_of(prompts: pa.Table, settings: MemorizationSettings, secret: bytes) -> PromptStats:
    """What may be known of prompts."""
    return PromptStats(
        facts=prompts.select(_FACTS).append_column("licence_header", licence_headers(prompts, settings.min_lines)),
        windows=truth_windows(prompts, settings.min_lines, secret),
        num_batches=len(split_batches(prompts, settings)),
    )


def licence_headers(prompts: pa.Table, min_lines: int) -> pa.BooleanArray:
    """For each prompt whether its first `min_lines` lines to come are a licence or copyright notice."""
    found = []
    for text, truth in zip(prompts["text"].to_pylist(), prompts["truth"].to_pylist(), strict=True):
        before = significant_lines(text[: text.rfind("\n") + 1])[0]
        found.append(begins_with_notice(before, lines_to_come(open_line(text)[0], truth)[:min_lines]))
    return pa.array(found, pa.bool_())


def index_at(organization: Organization, min_lines: int, secret: bytes, rules: LineRules = "exact") -> LineIndex:
    """Indexes an organization's training split; the hashes are keyed with the run's secret."""
    return build_index(organization.corpus.train, min_lines, secret, rules)


def clones_at(
    organization: Organization,
    min_lines: int,
    indexes: Mapping[str, LineIndex],
    reference: LineIndex | None,
    secret: bytes,
) -> pa.Table:
    """Compares an organization's training split with the line hashes of all."""
    return clone_rows(organization.name, organization.corpus.train, min_lines, indexes, reference, secret)


def held_out_copies_at(
    organization: Organization,
    min_lines: int,
    indexes: Mapping[str, LineIndex],
    reference: LineIndex | None,
    secret: bytes,
) -> pa.Table:
    """Compares an organization's held-out files with the line hashes of all training splits."""
    splits = {"valid": organization.corpus.valid, "test": organization.corpus.test}
    return held_out_rows(organization.name, splits, min_lines, indexes, reference, secret)
