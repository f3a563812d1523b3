"""What the study counts of generated text: distinct fragments of training text, and the sum of their lines.

Chen & Jiang (ASE 2024, arXiv 2409.12020) have the clone detector Simian compare continuations with training code, at a
threshold of 6 lines, and call what it finds the memorization ratio: a number of distinct fragments and of their lines,
without a denominator. Their scripts also count sets of clones without a generated file in them, and the lines of a
fragment again where it lies within another one of the same file; neither is done here: a fragment is a maximal run of
lines that lie in windows of training text.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from raysim.core.windows import inside_one, spread
from raysim.corpus.line_digests import digest_lines, digest_windows
from raysim.corpus.lines import LineRules, significant_lines
from raysim.matching.line_index import LineIndex

STUDY_COUNTS_VERSION = 1
"""Numerics version; part of the recipe."""

ANY = ""
"""In place of an owner: training text of any of them."""


@dataclass(frozen=True)
class StudyCount:
    """Distinct fragments, and the sum of their lines."""

    fragments: int
    lines: int


def study_counts(
    texts: Sequence[str], indexes: Mapping[str, LineIndex], min_lines: int, secret: bytes, rules: LineRules
) -> dict[str, StudyCount]:
    """Counts the fragments of each owner's training text in generated `texts`, and those of all owners together.

    Args:
        texts: continuations, nothing of their prompts.
        indexes: line index of each owner's training split, by name, made under the same `rules`.
        min_lines: lines of the shortest fragment; that of the indexes.
        secret: the key of all line digests.
        rules: by which lines are compared.
    """
    lines: list[str] = []
    starts = [0]
    for text in texts:
        lines += significant_lines(text, rules)[0]
        starts.append(len(lines))
    digests = digest_lines(lines, secret)
    windows = digest_windows(digests, min_lines)
    valid = inside_one(np.array(starts, dtype=np.int64), min_lines)
    matched = {owner: (index.places(windows)[1] > 0) & valid for owner, index in indexes.items()}
    if matched:
        matched[ANY] = np.logical_or.reduce(list(matched.values()))
    first = np.zeros(len(lines) + 1, dtype=np.bool_)
    first[starts] = True
    found = {}
    for owner, hits in matched.items():
        # With an uncovered line behind, so that every run ends.
        covered = np.append(spread(hits, len(lines), min_lines), False)
        begins = np.flatnonzero(covered & (first | ~np.roll(covered, 1)))
        ends = np.flatnonzero(covered[:-1] & (first[1:] | ~covered[1:])) + 1
        fragments = {digests[a:b].tobytes(): b - a for a, b in zip(begins.tolist(), ends.tolist(), strict=True)}
        found[owner] = StudyCount(len(fragments), sum(fragments.values()))
    return found
