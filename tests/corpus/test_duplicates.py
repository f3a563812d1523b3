from collections import Counter

import pytest
from examples import scaled
from hypothesis import given, settings
from hypothesis import strategies as st

from raysim.corpus.duplicates import duplicate_lines
from raysim.corpus.files import SourceFile
from raysim.corpus.lines import significant_lines


def files(*texts: str) -> list[SourceFile]:
    return [SourceFile(f"{i}.py", text, "r") for i, text in enumerate(texts)]


def brute_force(corpus: list[SourceFile], min_lines: int) -> tuple[int, int]:
    all_lines = [significant_lines(f.text)[0] for f in corpus]
    windows = [
        (number, start, tuple(lines[start : start + min_lines]))
        for number, lines in enumerate(all_lines)
        for start in range(len(lines) - min_lines + 1)
    ]
    counts = Counter(window for _, _, window in windows)
    covered = {(n, start + i) for n, start, window in windows if counts[window] > 1 for i in range(min_lines)}
    return len(covered), sum(map(len, all_lines))


def test_copied_lines_count_in_both_places() -> None:
    # b c d is in both files; e in the first and a are in one place only.
    assert duplicate_lines(files("a\nb\n\nc\n d\ne", "b\nc\nd"), 3) == (6, 8)


def test_a_window_does_not_reach_across_files() -> None:
    assert duplicate_lines(files("a\nb", "c", "a\nb", "c"), 3) == (0, 6)


def test_overlapping_repetitions_count() -> None:
    assert duplicate_lines(files("x\n" * 4), 3) == (4, 4)
    assert duplicate_lines(files("x\n" * 3), 3) == (0, 3)


def test_no_files_have_no_lines() -> None:
    assert duplicate_lines([], 6) == (0, 0)


def test_a_window_has_a_line() -> None:
    with pytest.raises(ValueError, match="min_lines is 0"):
        duplicate_lines([], 0)


@settings(max_examples=scaled(200), deadline=None)
@given(st.lists(st.lists(st.sampled_from("ab "), max_size=14).map("\n".join), max_size=4), st.integers(1, 7))
def test_equals_brute_force(texts: list[str], min_lines: int) -> None:
    assert duplicate_lines(files(*texts), min_lines) == brute_force(files(*texts), min_lines)
