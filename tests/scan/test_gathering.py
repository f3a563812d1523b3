"""Units that share a hash, and are different all the same."""

from typing import Any

import pytest
from code_files import corpus

from raysim.scan.reading import Reader
from raysim.scan.scan import scan

reader = Reader()


def test_hashes_that_collide_are_told_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    """Under the first seed all units have one hash; what is found is what stands there all the same."""
    from raysim.scan import chunks

    hash_units = chunks.hash_units
    seeds = []

    def hash_badly(units: Any, seed: int) -> Any:
        seeds.append(seed)
        return hash_units(units, seed) * (seed > 0)

    monkeypatch.setattr(chunks, "hash_units", hash_badly)
    found = scan(
        corpus("g", {"g.py": "".join(f"g{i}\n" for i in range(9))}),
        [corpus("a", {"a.py": "".join(f"a{i}\n" for i in range(9))})],
        None,
        6,
        reader,
    )
    assert found.matches == []
    assert set(seeds) == {0, 1}
