import numpy as np

from raysim.core.windows import inside_one, spread, window_hashes


def test_windows_depend_on_order_and_content() -> None:
    hashes = np.array([1, 2, 3, 1, 2, 3, 3, 2, 1], dtype=np.uint64)
    windows = window_hashes(hashes, 3).tolist()
    assert windows[0] == windows[3]
    assert len(set(windows)) == 6
    assert len(window_hashes(hashes, 10)) == 0


def test_windows_inside_a_part_cover_its_units() -> None:
    starts = np.array([0, 3, 3, 4, 8])
    assert inside_one(starts, 3).tolist() == [True, False, False, False, True, True]
    assert inside_one(starts, 9).tolist() == []
    matched = np.array([True, False, False, False, False, True])
    assert spread(matched, 8, 3).tolist() == [True, True, True, False, False, True, True, True]
