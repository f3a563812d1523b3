"""Client functions of memorization: they run at an organization, and only what they return leaves it.

Prompts are made and answered at their organization, line hashes are made where the lines lie.
"""

from collections.abc import Mapping

import pyarrow as pa

from raysim.corpus.lines import LineRules
from raysim.inference.prompts import split_batches
from raysim.matching.clones import clone_rows
from raysim.matching.held_out import held_out_rows
from raysim.matching.line_index import LineIndex, build_index, extended
from raysim.matching.matches import prompt_context
from raysim.matching.renamed import chance_rows, texts_before
from raysim.matching.token_index import TokenIndex, build_token_index
from raysim.measures.memorization.prompt_stats import PromptStats, stats_of
from raysim.measures.memorization.prompts import extract_prompts, mark_eligible
from raysim.measures.memorization.settings import MemorizationSettings
from raysim.organizations.organization import Organization


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


def index_at(organization: Organization, min_lines: int, secret: bytes, rules: LineRules = "exact") -> LineIndex:
    """Indexes an organization's training split; the hashes are keyed with the run's secret.

    Where files were written differently, windows of what they were before are the organization's as well.
    """
    corpus = organization.corpus
    index = build_index(corpus.train, min_lines, secret, rules, organization.folder)
    if not corpus.originals:
        return index
    return extended(index, build_index(corpus.originals, min_lines, secret, rules, organization.folder))


def token_index_at(organization: Organization, min_tokens: int, secret: bytes) -> TokenIndex:
    """Indexes the blind tokens of what an organization owns, as `index_at` does its lines, by the same secret."""
    return build_token_index(organization.corpus.owned, min_tokens, secret, organization.folder)


def texts_before_at(organization: Organization, settings: MemorizationSettings, split_seed: int) -> pa.Table:
    """Makes what stands before the continuations, for workers that act for the organization; see `texts_before`."""
    corpus = organization.corpus
    files = {source.path: source for source in (*corpus.valid, *corpus.train)}
    return texts_before(prompts_at(organization, settings, split_seed), files)


def renamed_chance_at(
    organization: Organization,
    min_tokens: int,
    indexes: Mapping[str, TokenIndex],
    reference: TokenIndex | None,
    line_indexes: Mapping[str, LineIndex],
    secret: bytes,
) -> pa.Table:
    """Compares an organization's held-out files with the token hashes of all training splits."""
    files = (*organization.corpus.valid, *organization.corpus.test)
    return chance_rows(organization.name, files, indexes, reference, line_indexes, min_tokens, secret)


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
