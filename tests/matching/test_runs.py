"""The suffix array against a search by hand over all pairs of places."""

import numpy as np
import numpy.typing as npt
from examples import scaled
from hypothesis import given, settings
from hypothesis import strategies as st

from raysim.matching.runs import Runs, SuffixArray, maximal_runs

SEGMENTS = st.lists(st.lists(st.integers(0, 2), max_size=12), max_size=5)


def lay_out(segments: list[list[int]]) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.int64]]:
    starts = np.cumsum([0, *map(len, segments)])
    return np.array([value for segment in segments for value in segment], dtype=np.int32), starts


def common(left: list[int], right: list[int]) -> int:
    length = 0
    while length < min(len(left), len(right)) and left[length] == right[length]:
        length += 1
    return length


def runs_of(suffixes: SuffixArray, num_asked: int, min_length: int) -> Runs:
    """Those of the first units that stand among the others."""
    queries, part = np.arange(num_asked), np.arange(suffixes.length) >= num_asked
    return maximal_runs(suffixes, queries, suffixes.longest(queries, part), part, min_length)


@settings(max_examples=scaled(400))
@given(asked=SEGMENTS, part=SEGMENTS, min_length=st.integers(1, 4))
def test_runs_are_those_that_a_search_over_all_pairs_finds(
    asked: list[list[int]], part: list[list[int]], min_length: int
) -> None:
    ids, starts = lay_out([*asked, *part])
    num_asked = sum(map(len, asked))
    found = runs_of(SuffixArray(ids, starts), num_asked, min_length)

    suffixes = [segment[i:] for segment in part for i in range(len(segment))]
    expected = []
    position = 0
    for segment in asked:
        before = 0
        for i in range(len(segment)):
            shared = [common(segment[i:], suffix) for suffix in suffixes]
            longest = max(shared, default=0)
            if longest >= min_length and before != longest + 1:
                places = [num_asked + at for at, length in enumerate(shared) if length >= longest]
                expected.append((position, longest, places[0], len(places)))
            before = longest
            position += 1
    assert (
        list(zip(*(getattr(found, n).tolist() for n in ("at", "lengths", "first", "counts")), strict=True)) == expected
    )


def test_many_equal_units() -> None:
    """A run of n equal units begins at each place that leaves room for no less than the part has."""
    ids, starts = lay_out([[7] * 100_000, [7] * 60_000])
    runs = runs_of(SuffixArray(ids, starts), 100_000, 6)
    assert runs.at.tolist() == list(range(40_001))
    assert set(runs.lengths.tolist()) == {60_000}
    assert set(runs.first.tolist()) == {100_000}
    assert set(runs.counts.tolist()) == {1}
