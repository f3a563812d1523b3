"""What leaves an organization of its prompts: facts and keyed hashes, no code."""

from dataclasses import dataclass

import pyarrow as pa

from raysim.corpus.licence_headers import begins_with_notice
from raysim.corpus.lines import significant_lines
from raysim.inference.prompts import open_line, split_batches
from raysim.matching.truths import lines_to_come, truth_windows
from raysim.measures.memorization.settings import MemorizationSettings

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
