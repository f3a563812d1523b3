from pathlib import Path

import numpy as np
import pytest

from raysim.core import long_arrays
from raysim.core.long_arrays import LongArray


@pytest.mark.parametrize("held_bytes", [0, 10, 30, 1000])
def test_parts_become_one_array_wherever_it_lies(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, held_bytes: int
) -> None:
    monkeypatch.setattr(long_arrays, "HELD_BYTES", held_bytes)
    array = LongArray(np.int32, tmp_path)
    for part in ([1, 2, 3], [], [4], [5, 6, 7, 8]):
        array.append(np.array(part, dtype=np.int64))
    found = array.whole()
    del array
    assert (found.tolist(), found.dtype) == ([1, 2, 3, 4, 5, 6, 7, 8], np.int32)
    assert isinstance(found.base, np.memmap) == (held_bytes < 32)
    assert type(found) is np.ndarray
    assert not found.flags.writeable
    assert list(tmp_path.iterdir()) == []


def test_without_a_part_it_is_empty() -> None:
    array = LongArray(np.int32)
    assert (len(array), array.whole().shape) == (0, (0,))
