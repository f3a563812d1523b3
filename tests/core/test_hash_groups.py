from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from raysim.core import hash_groups, spool
from raysim.core.hash_groups import HashGroups


@pytest.mark.parametrize(("at_a_time", "held_bytes"), [(10**6, 10**6), (50, 10**6), (7, 0), (300, 1000)])
def test_rows_come_together_by_their_hash(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at_a_time: int, held_bytes: int
) -> None:
    monkeypatch.setattr(hash_groups, "ROWS_AT_A_TIME", at_a_time)
    monkeypatch.setattr(spool, "HELD_BYTES", held_bytes)
    generator = np.random.default_rng(1)
    # Few first halves, so that rows that share it have to be told apart by the second.
    some = generator.integers(2**63, size=20, dtype=np.uint64) * np.uint64(2)
    hashes = np.stack(
        [some[generator.integers(20, size=600)], generator.integers(3, size=600, dtype=np.uint64)], axis=1
    )
    groups = HashGroups(600, tmp_path)
    for begin in range(0, 600, 90):
        numbers = np.arange(begin, min(600, begin + 90), dtype=np.int64)
        groups.add(hashes[numbers], numbers)
    groups.add(np.empty((0, 2), np.uint64), np.empty(0, np.int64))
    found: dict[tuple[int, int], list[int]] = {}
    order: list[tuple[int, int]] = []
    for rows, numbers, begins in groups.parts():
        for begin, end in pairwise(begins):
            assert len({tuple(row) for row in rows[begin:end].tolist()}) == 1
            order.append(tuple(rows[begin].tolist()))
            found[order[-1]] = numbers[begin:end].tolist()
    assert order == sorted(order)
    expected: dict[tuple[int, int], list[int]] = {}
    for number, row in enumerate(hashes.tolist()):
        expected.setdefault(tuple(row), []).append(number)
    assert found == expected
    assert list(tmp_path.iterdir()) == []


def test_without_rows_there_is_no_part() -> None:
    assert list(HashGroups(0).parts()) == []
