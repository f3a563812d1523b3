"""Files dealt to parts: hand numbers, the numbers of flwr-datasets, and laws that hold for every division."""

import random
from collections import Counter
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from raysim.core.errors import InputError
from raysim.core.settings import validate
from raysim.corpus.files import SourceFile
from raysim.corpus.partition import NO_VALUE, ColumnSettings, PartitionSettings, dirichlet_counts, divide, part_sizes

LABELS = "a" * 30 + "b" * 20 + "c" * 10
FILES = [SourceFile(f"{label}/{i:02}.py", f"x = {i}\n", label, "MIT" if label == "a" else None)
         for i, label in enumerate(LABELS)]  # fmt: skip


def settings(by: Any, **others: Any) -> PartitionSettings:
    return validate(PartitionSettings, {"by": by, **others}, "x.yaml")


def sizes(by: Any, files: list[SourceFile] = FILES, **others: Any) -> list[int]:
    return [len(part) for part in divide(files, settings(by, **others)).values()]


def label_counts(by: Any, **others: Any) -> list[list[int]]:
    """For each part how many of its files are in a, in b, in c."""
    parts = divide(FILES, settings(by, **others))
    return [[Counter(f.repository for f in files)[label] for label in "abc"] for files in parts.values()]


def dirichlet(alpha: float, balance: bool = False) -> Any:
    return {"dirichlet": {"column": "repository", "alpha": alpha, "balance": balance}}


# Numbers of flwr-datasets 0.6.1  for a table of the same labels and the same seeds.


@pytest.mark.parametrize(
    ("alpha", "balance", "seed", "min_files", "counts"),
    [
        (0.1, False, 1, 1, [[0, 1, 9], [29, 0, 0], [1, 19, 1]]),
        (0.1, False, 7, 1, [[3, 0, 0], [26, 19, 1], [1, 1, 9]]),
        (0.1, True, 7, 1, [[3, 0, 10], [26, 0, 0], [1, 20, 0]]),
        (0.5, False, 1, 1, [[12, 0, 5], [9, 5, 2], [9, 15, 3]]),
        (0.5, True, 1, 1, [[12, 0, 7], [9, 5, 3], [9, 15, 0]]),
        (0.5, True, 7, 1, [[9, 0, 7], [18, 18, 0], [3, 2, 3]]),
        (100.0, False, 1, 1, [[9, 6, 3], [10, 7, 3], [11, 7, 4]]),
        # Drawn more than once.
        (0.3, False, 3, 12, [[10, 1, 5], [17, 2, 0], [3, 17, 5]]),
        (0.3, True, 3, 12, [[0, 4, 10], [6, 16, 0], [24, 0, 0]]),
        (0.2, False, 5, 10, [[24, 0, 0], [0, 19, 0], [6, 1, 10]]),
    ],
)
def test_label_skew_is_that_of_flwr_datasets(
    alpha: float, balance: bool, seed: int, min_files: int, counts: list[list[int]]
) -> None:
    assert label_counts(dirichlet(alpha, balance), parts=3, seed=seed, min_files=min_files) == counts


@pytest.mark.parametrize(
    ("balance", "counts"),
    [
        (False, [213, 98, 15, 227, 15, 27, 63, 86, 188, 68]),
        (True, [158, 98, 17, 246, 19, 28, 68, 94, 202, 70]),
    ],
)
def test_label_skew_of_ten_parts_is_that_of_flwr_datasets(balance: bool, counts: list[int]) -> None:
    table = dirichlet_counts([300, 200, 77, 423], 10, 0.5, balance, np.random.default_rng(42))
    assert table.sum(axis=0).tolist() == counts


@pytest.mark.parametrize(
    ("by", "parts", "counts"),
    [
        ("equal", 4, [15, 15, 15, 15]),
        ("equal", 7, [9, 9, 9, 9, 8, 8, 8]),
        ("linear", 4, [6, 12, 18, 24]),
        ("linear", 7, [2, 4, 6, 8, 10, 12, 18]),
        ("square", 3, [4, 17, 39]),
        ("exponential", 4, [1, 5, 14, 40]),
    ],
)
def test_sizes_are_those_of_flwr_datasets(by: str, parts: int, counts: list[int]) -> None:
    assert sizes({"sizes": by}, parts=parts) == counts
    if by == "equal":
        assert sizes("iid", parts=parts) == counts


# By hand.


def test_given_shares() -> None:
    assert sizes({"sizes": [0.6, 0.3, 0.1]}) == [36, 18, 6]
    assert sizes({"sizes": [0.5, 0.5]}, FILES[:7]) == [3, 4]


def test_large_numbers_of_parts_grow_without_overflow() -> None:
    found = part_sizes("exponential", 1000, 10**6)
    assert sum(found) == 10**6
    assert found[-2] / found[-3] == pytest.approx(np.e, rel=1e-4)


@pytest.mark.parametrize("name", ["repository", "folder"])
def test_each_value_of_a_column_is_a_part(name: str) -> None:
    files = [SourceFile(f"repo/{f.repository}/{f.path}", f.text, "repo") for f in FILES] if name == "folder" else FILES
    parts = divide(files, settings({"column": name}))
    assert {part: len(found) for part, found in parts.items()} == {"a": 30, "b": 20, "c": 10}


def test_values_with_few_files_are_in_no_part() -> None:
    parts = divide(FILES, settings({"column": "repository"}, min_files=20))
    assert {part: len(found) for part, found in parts.items()} == {"a": 30, "b": 20}


def test_several_values_of_a_column_make_a_part() -> None:
    files = [SourceFile(f"{i}.py", "x", f"repo{i % 7}") for i in range(70)]
    parts = divide(files, settings({"column": "repository"}, parts=3, seed=4))
    held = [{f.repository for f in found} for found in parts.values()]
    assert [len(found) for found in held] == [3, 2, 2]
    assert set.union(*held) == {f"repo{i}" for i in range(7)}
    assert [len(found) for found in parts.values()] == [30, 20, 20]
    other = divide(files, settings({"column": "repository"}, parts=3, seed=5))
    assert [{f.repository for f in found} for found in other.values()] != held


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("repository", "acme/web"),
        ("folder", "src"),
        ({"name": "folder", "depth": 2}, "src/lib"),
        ({"name": "folder", "depth": 9}, "src/lib"),
        ("licence", "MIT"),
        ("ending", "py"),
        ("author", "ada"),
        ("team", NO_VALUE),
    ],
)
def test_values_of_a_file(column: Any, value: str) -> None:
    source = SourceFile("acme/web/src/lib/a.b.py", "x", "acme/web", "MIT", (("author", "ada"),))
    assert validate(ColumnSettings, column, "").of(source) == value


@pytest.mark.parametrize("column", ["folder", "licence", "ending", "author"])
def test_files_without_a_value_have_one(column: str) -> None:
    for path in ("Makefile", ".gitignore"):
        assert ColumnSettings(name=column).of(SourceFile(path, "x", "acme")) == NO_VALUE


# Laws.


@st.composite
def divisions(draw: st.DrawFn) -> tuple[list[SourceFile], PartitionSettings]:
    count = draw(st.integers(1, 4))
    ways = ["iid", {"sizes": "linear"}, {"column": "repository"}, dirichlet(0.5), dirichlet(5, True)]
    by = draw(st.sampled_from(ways))
    repositories = draw(st.lists(st.sampled_from("abcdef"), min_size=20, max_size=60))
    files = [SourceFile(f"{i}.py", draw(st.sampled_from(["x", " x", "y"])), r) for i, r in enumerate(repositories)]
    raw = {"by": by, "parts": count, "seed": draw(st.integers(0, 99))}
    if by != {"column": "repository"}:
        raw["copies"] = draw(st.sampled_from(["apart", "together"]))
    return files, validate(PartitionSettings, raw, "")


@given(divisions(), st.randoms())
def test_every_file_is_in_one_part_whatever_the_order(
    drawn: tuple[list[SourceFile], PartitionSettings], chance: random.Random
) -> None:
    files, chosen = drawn
    try:
        parts = divide(files, chosen)
    except InputError:
        return
    assert list(parts) == list(range(chosen.parts or 0))
    assert all(parts.values())
    assert sorted(f.path for found in parts.values() for f in found) == sorted(f.path for f in files)
    shuffled = chance.sample(files, len(files))
    again = divide(shuffled, chosen)
    assert {part: set(found) for part, found in parts.items()} == {part: set(found) for part, found in again.items()}
    if chosen.copies == "together":
        places = {(f.text.strip(), part) for part, found in parts.items() for f in found}
        assert len(places) == len({f.text.strip() for f in files})


def test_seeds_deal_otherwise_and_the_same_seed_alike() -> None:
    for by in ("iid", dirichlet(0.5)):
        one, same, other = (divide(FILES, settings(by, parts=3, seed=seed)) for seed in (1, 1, 2))
        assert one == same != other


def test_a_file_more_moves_few_others() -> None:
    """Files are in an order of hashes, so that one more shifts cuts by one."""
    before = divide(FILES, settings("iid", parts=3))
    after = divide([*FILES, SourceFile("z.py", "new", "z")], settings("iid", parts=3))
    moved = sum(f not in after[part] for part, found in before.items() for f in found)
    assert moved <= 2


def test_small_concentrations_are_skewed_and_large_ones_are_not() -> None:
    """Of Dir(alpha) over k parts a share has the variance (1/k)(1 - 1/k) / (k alpha + 1)."""
    for alpha in (0.05, 0.5, 5.0, 500.0):
        generator = np.random.default_rng(3)
        shares = np.concatenate([dirichlet_counts([10**6] * 40, 5, alpha, False, generator) for _ in range(25)]) / 10**6
        assert shares.mean() == pytest.approx(0.2)
        assert shares.var() == pytest.approx(0.2 * 0.8 / (5 * alpha + 1), rel=0.1)


def test_balance_keeps_parts_from_growing_beyond_the_average() -> None:
    """A part is closed once it is over the average, so it exceeds it by one value at most."""
    num_files = [50] * 40
    for seed in range(5):
        table = dirichlet_counts(num_files, 8, 0.1, True, np.random.default_rng(seed))
        assert table.sum(axis=1).tolist() == num_files
        assert table.sum(axis=0).max() <= sum(num_files) / 8 + 50
        free = dirichlet_counts(num_files, 8, 0.1, False, np.random.default_rng(seed))
        assert table.sum(axis=0).std() < free.sum(axis=0).std()


# Errors.


@pytest.mark.parametrize(
    ("raw", "words"),
    [
        ({"by": dirichlet(0), "parts": 3}, r"by\.dirichlet\.alpha: input should be greater than 0"),
        ({"by": dirichlet(1)}, "parts: missing"),
        ({"by": dirichlet(1), "parts": 0}, "parts: input should be greater than or equal to 1"),
        ({"by": {"sizes": "linear"}}, "parts: missing"),
        ({"by": {"sizes": [0.5, 0.4]}}, r"by: sizes add up to 0\.9, not to 1"),
        ({"by": {"sizes": [0.5, 0.5]}, "parts": 3}, r"parts: there are 3, but by\.sizes has 2"),
        ({"by": {}, "parts": 3}, "by: give exactly one of sizes, column, dirichlet; there is none"),
        ({"by": {"sizes": "equal", "column": "folder"}, "parts": 3}, "there is sizes and column"),
        ({"by": {"column": {"name": "licence", "depth": 2}}}, "depth goes with the column folder"),
        ({"by": {"column": "folder"}, "copies": "together"}, "copies: with by.column, the column alone decides"),
        ({"by": "iid", "parts": 3, "part": 3}, "part: 3 is no part; they are numbered from 0 to 2"),
        ({"by": "iid", "parts": 3, "part": "a"}, "part: 'a' is no part"),
        ({"by": {"column": "folder"}, "part": 0}, "part: 0 is no text"),
    ],
    ids=lambda value: "" if isinstance(value, dict) else None,
)
def test_settings_that_make_no_sense(raw: dict[str, Any], words: str) -> None:
    with pytest.raises(InputError, match=words):
        validate(PartitionSettings, raw, "x.yaml")


@pytest.mark.parametrize(
    ("by", "others", "words"),
    [
        (
            {"column": "repository"},
            {"parts": 4},
            r"^partition\.parts: 4 parts, but repository has 3 values \(a, b, c\)",
        ),
        ({"column": "author"}, {}, r"^partition\.by\.column: no file has the column author"),
        ({"column": "repository"}, {"min_files": 31}, r"^partition\.min_files: is 31, but no value has more than 30"),
        ("iid", {"parts": 61}, r"^partition\.parts: part 60 of 61 would have 0 of 60 files, fewer than min_files: 1"),
        ({"sizes": "square"}, {"parts": 7}, r"^partition\.parts: part 0 of 7 would have 0 of 60"),
        ({"sizes": [0.95, 0.05]}, {"min_files": 4}, r"^partition\.parts: part 1 of 2 would have 3 of 60"),
        (
            dirichlet(0.01),
            {"parts": 30},
            r"^partition\.by\.dirichlet: of 60 files in 30 parts, .*11 draws.* raise alpha",
        ),
        (
            {"dirichlet": {"column": "ending", "alpha": 1}},
            {"parts": 3},
            r"^partition\.by\.dirichlet\.column: all files have the ending py; choose another",
        ),
    ],
    ids=["values", "column", "few", "files", "growth", "share", "draws", "one value"],
)
def test_parts_that_do_not_fit_the_files(by: Any, others: dict[str, Any], words: str) -> None:
    with pytest.raises(InputError, match=words) as raised:
        divide(FILES, settings(by, **others))
    assert "\n" not in str(raised.value)
