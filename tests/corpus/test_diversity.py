import itertools
import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from raysim.corpus.diversity import diversities, line_entropy, line_spectrum, num_lines, smallest
from raysim.corpus.files import SourceFile
from raysim.corpus.lines import significant_lines


def files(*texts: str) -> list[SourceFile]:
    return [SourceFile(f"{i}.py", text, "r") for i, text in enumerate(texts)]


def brute_force(lines: list[str], size: int) -> float:
    """Mean number of distinct lines over all draws of `size` of `lines`."""
    draws = list(itertools.combinations(range(len(lines)), size))
    return sum(len({lines[i] for i in draw}) for draw in draws) / len(draws)


def test_the_spectrum_counts_significant_lines_of_all_files() -> None:
    # b stands three times, a and c twice, d once.
    assert line_spectrum(files("a\nb\n\nc\n d", "b \nc\r\n", "a\nb")) == ((1, 1), (2, 2), (3, 1))
    assert line_spectrum(files("\n  \n")) == ()


@given(st.lists(st.lists(st.sampled_from(["a", " a", "b", "", "c"]), max_size=8).map("\n".join), max_size=4))
def test_the_spectrum_has_every_line(texts: list[str]) -> None:
    lines = [line for text in texts for line in significant_lines(text)[0]]
    spectrum = line_spectrum(files(*texts))
    assert num_lines(spectrum) == len(lines)
    assert sum(distinct for _, distinct in spectrum) == len(set(lines))
    assert list(spectrum) == sorted(spectrum)


corpora = st.lists(st.lists(st.sampled_from("abcd"), min_size=1, max_size=8), min_size=1, max_size=3)


@settings(deadline=None)
@given(corpora)
def test_equals_all_draws_at_the_size_of_the_smallest(corpora: list[list[str]]) -> None:
    spectra = {str(i): line_spectrum(files("\n".join(lines))) for i, lines in enumerate(corpora)}
    size = min(map(len, corpora))
    assert smallest(spectra) == size
    expected = {str(i): brute_force(lines, size) / size for i, lines in enumerate(corpora)}
    assert diversities(spectra) == pytest.approx(expected, rel=1e-12)


def test_closed_forms() -> None:
    """Nothing twice: 1. One line only: 1 / m. All twice, m = 2: 1 + the chance of another line, halved."""
    found = diversities({"distinct": ((1, 1000),), "one": ((50, 1),), "pairs": ((2, 30),), "small": ((1, 2),)})
    assert found == pytest.approx({"distinct": 1.0, "one": 0.5, "pairs": (1 + 58 / 59) / 2, "small": 1.0}, rel=1e-12)


def test_more_of_the_same_is_not_more_diverse() -> None:
    """Means over all corpora of n lines, drawn from three of which one is twice as likely as the others.

    The diversity at m lines is expected to be sum 1 - (1 - p)^m over m, whatever n; the entropy grows with n.
    """
    entropies = []
    for n in (3, 4, 6, 8):
        spectra = [line_spectrum(files("\n".join(corpus))) for corpus in itertools.product("abcc", repeat=n)]
        found = [diversities({"o": spectrum, "smallest": ((1, 3),)})["o"] for spectrum in spectra]
        assert math.fsum(found) / len(found) == pytest.approx((2 * (1 - 0.75**3) + 1 - 0.5**3) / 3, rel=1e-12)
        entropies.append(math.fsum(map(line_entropy, spectra)) / len(spectra))
    assert all(larger > smaller + 0.04 for smaller, larger in itertools.pairwise(entropies))


def test_repetition_makes_a_corpus_less_diverse() -> None:
    found = diversities({"a": ((1, 90), (10, 1)), "b": ((1, 50), (10, 5)), "c": ((100, 1),)})
    assert found["a"] > found["b"] > found["c"] == pytest.approx(0.01)


def test_entropy_by_hand() -> None:
    # One line of 4, two of 2, over 8: 0.5 * 1 + 2 * 0.25 * 2.
    assert line_entropy(((2, 2), (4, 1))) == 1.5
    assert line_entropy(((1, 1024),)) == 10
    assert line_entropy(((7, 1),)) == 0
    assert line_entropy(()) == 0


def test_nothing_to_compare() -> None:
    with pytest.raises(ValueError, match="b has no line"):
        diversities({"a": ((1, 1),), "b": ()})
