"""Hashes of units against the units themselves, and of windows."""

import sysconfig
from pathlib import Path

import numpy as np
from unit_texts import texts_of

from raysim.matching.hashing import hash_units
from raysim.matching.units import join, lines_in


def test_hashes_of_the_standard_library_tell_its_lines_apart() -> None:
    """Across buffers: each file is hashed by itself and with all others."""
    paths = sorted(Path(sysconfig.get_path("stdlib")).glob("*.py"))
    contents = [path.read_bytes() for path in paths] + [b"v" * 3000 + b"\n" + b"v" * 3001]
    units = lines_in(*join(contents))
    lines = [line for of_file in texts_of(units) for line in of_file]
    hashes = hash_units(units, 1)
    assert len(set(lines)) > 50_000
    assert len({*zip(lines, hashes.tolist(), strict=True)}) == len(set(lines)) == len(set(hashes.tolist()))
    by_file = [hash_units(lines_in(*join([content])), 1) for content in contents]
    assert np.concatenate(by_file).tolist() == hashes.tolist()
    assert not set(hashes.tolist()) & set(hash_units(units, 2).tolist())
