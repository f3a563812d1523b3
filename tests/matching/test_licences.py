"""Licences of what generated code repeats, against counts by hand and against brute force over lines."""

from examples import scaled
from hypothesis import given, settings
from hypothesis import strategies as st

from raysim.corpus.files import SourceFile
from raysim.corpus.lines import significant_lines
from raysim.matching.licences import licence_rows

FILES = [
    SourceFile("a.py", "one\ntwo\nthree\nfour\n", "r", "MIT"),
    SourceFile("b.py", "zero\none\n\n  two\nfive\n", "r", "MIT"),
    SourceFile("c.py", "two\nthree\n", "r", "GPL-3.0"),
    SourceFile("d.py", "six\nseven\n", "r", None),
    SourceFile("e.py", "eight\nnine\n", "r", "Apache-2.0"),
]


def rows(texts: list[str], files: list[SourceFile], min_lines: int) -> dict[str, tuple[int, int, int]]:
    table = licence_rows(texts, files, min_lines)
    return {row["licence"]: (row["samples"], row["lines"], row["files"]) for row in table.to_pylist()}


def test_samples_lines_and_files_by_licence() -> None:
    texts = ["one\ntwo\nthree\nother", "two\n\nthree", "six\nseven", "nine\neight", ""]
    assert rows(texts, FILES, 2) == {"MIT": (2, 5, 2), "GPL-3.0": (2, 4, 1), "not stated": (1, 2, 1)}
    assert rows(texts, FILES, 3) == {"MIT": (1, 3, 1)}
    assert rows([], FILES, 2) == rows(texts, [], 2) == {}


def test_a_run_does_not_reach_across_files() -> None:
    assert rows(["four\nzero"], FILES[:2], 2) == {}


LINES = st.lists(st.sampled_from("abc"), max_size=6).map("\n".join)


@settings(max_examples=scaled(200), deadline=None)
@given(
    st.lists(LINES, max_size=4),
    st.lists(st.tuples(LINES, st.sampled_from(["MIT", "GPL-3.0", None])), max_size=4),
    st.integers(1, 3),
)
def test_against_brute_force(texts: list[str], files: list[tuple[str, str | None]], min_lines: int) -> None:
    sources = [SourceFile(f"{i}.py", text, "r", licence) for i, (text, licence) in enumerate(files)]

    def windows(text: str) -> list[tuple[str, ...]]:
        lines = significant_lines(text)[0]
        return [tuple(lines[i : i + min_lines]) for i in range(len(lines) - min_lines + 1)]

    generated = {window for text in texts for window in windows(text)}
    expected = {}
    for licence in {source.licence for source in sources}:
        held = {window for s in sources if s.licence == licence for window in windows(s.text)}
        covered = [
            {i + j for i, window in enumerate(windows(text)) if window in held for j in range(min_lines)}
            for text in texts
        ]
        used = sum(bool(generated & set(windows(s.text))) for s in sources if s.licence == licence)
        if used:
            counts = sum(map(bool, covered)), sum(map(len, covered)), used
            expected[licence or "not stated"] = counts
    assert rows(texts, sources, min_lines) == expected
