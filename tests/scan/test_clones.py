"""`clones` against brute force."""

from collections.abc import Mapping

import brute
import pytest
from code_files import FILES, REAL, Files, corpus, real_files
from examples import scaled
from hypothesis import given, settings
from hypothesis import strategies as st

from raysim.scan.clones import find_clones
from raysim.scan.reading import Reader

reader = Reader()


@settings(max_examples=scaled(50), deadline=None)
@given(owners=st.dictionaries(st.sampled_from("xyz"), FILES, min_size=1), min_lines=st.integers(1, 6))
def test_clones_equal_brute_force(owners: Mapping[str, Files], min_lines: int) -> None:
    compare_clones(owners, min_lines)


def compare_clones(owners: Mapping[str, Files], min_lines: int) -> None:
    found = find_clones([corpus(n, f) for n, f in owners.items()], min_lines, reader).to_json(reader.unit)
    pairs = {(pair["org"], pair["other"]): pair for pair in found["pairs"]}
    assert pairs.keys() == {(org, other) for org in owners for other in owners}
    shared = 0
    for org, files in owners.items():
        covered = {n: brute.covered(files, others, min_lines, own=n == org) for n, others in owners.items()}
        assert {n: pairs[org, n]["covered"] for n in owners} == {n: len(lines) for n, lines in covered.items()}
        assert {pairs[org, n]["lines"] for n in owners} == {len(brute.places(files))}
        shared += len(set().union(*(lines for n, lines in covered.items() if n != org)))
        for n, lines in covered.items():
            assert pairs[org, n]["fragments"] == stretches(files, lines)
    assert found["totals"]["shared_lines"] == shared
    names = list(owners)
    expected = [
        {"org": org, **row}
        for at, org in enumerate(names)
        for row in brute.matches(owners[org], {n: owners[n] for n in names[at + 1 :]}, min_lines)
    ]
    assert found["matches"] == expected


def stretches(files: Files, covered: set[tuple[str, int]]) -> int:
    """Distinct longest stretches of covered lines of one file."""
    found: set[tuple[str, ...]] = set()
    for path, text in files.items():
        stretch: list[str] = []
        for line, number in [*zip(*brute.significant_lines(text), strict=True), ("", 0)]:
            if (path, number) in covered:
                stretch.append(line)
            elif stretch:
                found.add(tuple(stretch))
                stretch = []
    return len(found)


@pytest.mark.parametrize("min_lines", [2, 6])
def test_real_code_of_three_owners_equals_brute_force(min_lines: int) -> None:
    compare_clones({name: real_files(*folders) for name, folders in REAL.items()}, min_lines)
