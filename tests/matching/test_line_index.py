import pickle
from pathlib import Path
from unittest import mock

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from raysim.core import hash_groups, long_arrays
from raysim.core.errors import InputError
from raysim.corpus import files as corpus_files
from raysim.corpus.files import SourceFile
from raysim.corpus.line_digests import digest_lines, digest_windows
from raysim.matching import line_index as lineindex
from raysim.matching.line_index import build_index, extended

SECRET = b"secret"

# Few distinct lines, so that windows repeat, and everything that could be mistaken for a line end.
PIECES = st.lists(
    st.sampled_from(["a", "b", " a ", "\n", "\n", "\n\n", "\r\n", "\r", "\x0c", "\u2028", "\t"]), max_size=30
)
TEXTS = PIECES.map("".join)


def as_files(texts: list[str]) -> list[SourceFile]:
    return [SourceFile(f"f{i}.py", text, "repo") for i, text in enumerate(texts)]


def brute_significant(text: str) -> list[tuple[int, str]]:
    return [(n, line.strip()) for n, line in enumerate(text.split("\n"), 1) if line.strip()]


def brute_windows(texts: list[str], m: int) -> dict[tuple[str, ...], list[tuple[str, int]]]:
    places: dict[tuple[str, ...], list[tuple[str, int]]] = {}
    for i, text in enumerate(texts):
        lines = brute_significant(text)
        for at in range(len(lines) - m + 1):
            window = tuple(line for _, line in lines[at : at + m])
            places.setdefault(window, []).append((f"f{i}.py", lines[at][0]))
    return places


@given(st.lists(TEXTS, max_size=4), TEXTS, st.integers(1, 4))
def test_index_finds_what_brute_force_finds(texts: list[str], query: str, m: int) -> None:
    index = build_index(as_files(texts), m, SECRET)
    expected = brute_windows(texts, m)
    assert len(index.windows) == len(expected)
    lines = [line for _, line in brute_significant(query)]
    digests = digest_lines(lines, SECRET)
    positions, counts = index.places(digest_windows(digests, m))
    covered = [False] * len(lines)
    for at in range(len(lines) - m + 1):
        places = expected.get(tuple(lines[at : at + m]), [])
        assert counts[at] == len(places)
        assert (positions[at] >= 0) == bool(places)
        if places:
            assert index.locate(int(positions[at])) == places[0]
            covered[at : at + m] = [True] * m
    assert index.covered(digests).tolist() == covered


@given(st.lists(TEXTS, max_size=4), TEXTS, st.integers(1, 4), st.integers(0, 2))
def test_windows_that_share_the_half_for_look_up_are_told_apart(
    texts: list[str], query: str, m: int, bits: int
) -> None:
    def few(digests: lineindex.Digests, length: int) -> lineindex.Digests:
        windows = digest_windows(digests, length)
        windows[:, 0] &= np.uint64((1 << bits) - 1)
        return windows

    with mock.patch.object(lineindex, "digest_windows", few):
        index = build_index(as_files(texts), m, SECRET)
        lines = [line for _, line in brute_significant(query)]
        _, counts = index.places(few(digest_lines(lines, SECRET), m))
    expected = brute_windows(texts, m)
    assert len(index.windows) == len(expected)
    assert counts.tolist() == [len(expected.get(tuple(lines[i : i + m]), [])) for i in range(len(lines) - m + 1)]


def test_windows_do_not_reach_across_files() -> None:
    index = build_index(as_files(["a\nb", "c\nd"]), 2, SECRET)
    assert index.covered(digest_lines(["a", "b", "c", "d"], SECRET)).tolist() == [True] * 4
    assert index.covered(digest_lines(["b", "c"], SECRET)).tolist() == [False, False]


def test_locate_names_line_and_skips_empty_files() -> None:
    index = build_index(as_files(["", "\n\n x\n\n\ny\n", "z"]), 1, SECRET)
    assert [index.locate(i) for i in range(3)] == [("f1.py", 3), ("f1.py", 6), ("f2.py", 1)]


def test_order_of_lines_in_a_window_counts() -> None:
    windows = digest_windows(digest_lines(["a", "b", "a", "a", "b"], SECRET), 2)
    assert len(set(map(tuple, windows.tolist()))) == 3  # ab, ba, aa
    assert np.array_equal(windows[0], windows[3])


def test_hashes_depend_on_the_secret() -> None:
    assert not np.isin(digest_lines(["a", "b"], b"one"), digest_lines(["a", "b"], b"two")).any()


def test_long_secret_is_refused() -> None:
    with pytest.raises(InputError, match="65 bytes"):
        digest_lines(["a"], b"x" * 65)


def test_lone_surrogates_are_lines_like_others() -> None:
    one, other = digest_lines(["\ud800", "\ud801"], SECRET)
    assert (one != other).all()


def test_an_index_on_disk_is_the_one_in_memory(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    files = as_files(["\n".join(f"line {i * k % 97}" for k in range(60)) for i in range(40)])
    held = build_index(files, 6, SECRET)
    monkeypatch.setattr(long_arrays, "HELD_BYTES", 100)
    monkeypatch.setattr(hash_groups, "ROWS_AT_A_TIME", 300)
    monkeypatch.setattr(corpus_files, "BATCH_SIZE", 5_000)
    on_disk = build_index(files, 6, SECRET, folder=tmp_path)
    travelled = pickle.loads(pickle.dumps(on_disk))
    for index in (on_disk, travelled):
        assert index.paths == held.paths
        for name in ("windows", "counts", "first", "numbers", "starts"):
            found, expected = getattr(index, name), getattr(held, name)
            assert found.dtype == expected.dtype, name
            assert np.array_equal(found, expected), name
    assert on_disk.windows.flags.f_contiguous
    assert list(tmp_path.iterdir()) == []


@given(st.lists(TEXTS, max_size=3), st.lists(TEXTS, max_size=3), st.integers(1, 3))
def test_an_index_is_extended_by_what_it_has_not(texts: list[str], others: list[str], m: int) -> None:
    """Windows of both are counted where the first has them, and lie where brute force finds them."""
    renamed = [SourceFile(f"g{i}.py", text, "repo") for i, text in enumerate(others)]
    index = extended(build_index(as_files(texts), m, SECRET), build_index(renamed, m, SECRET))
    places = {
        window: [(path.replace("f", "g"), line) for path, line in found]
        for window, found in brute_windows(others, m).items()
    }
    expected = places | brute_windows(texts, m)
    assert len(index.windows) == len(expected)
    for window, found in expected.items():
        positions, counts = index.places(digest_windows(digest_lines(window, SECRET), m))
        assert counts.tolist() == [len(found)]
        assert index.locate(int(positions[0])) == found[0]
    for window, found in expected.items():
        counts = index.trained_counts(digest_windows(digest_lines(window, SECRET), m))
        assert counts.tolist() == [len(found) if window in brute_windows(texts, m) else 0]
