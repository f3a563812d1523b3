"""The split by content: shares, equal files, and what must not decide."""

import random
from collections.abc import Sequence

import pytest

from raysim.corpus.files import SourceFile
from raysim.corpus.preparation import prepare
from raysim.corpus.preparation_settings import PreparationSettings
from raysim.corpus.sources import SourceReading
from raysim.corpus.split import SplitSettings, split_files, split_of

HALVES = SplitSettings(valid=0.5)


def source(number: int, repository: str = "r", folder: str = "") -> SourceFile:
    return SourceFile(f"{repository}/{folder}{number:04}.py", f"value = {number}\n" * (1 + number % 5), repository)


def crossing(one: Sequence[SourceFile], other: Sequence[SourceFile]) -> set[str]:
    return {f.text for f in one} & {f.text for f in other}


@pytest.mark.parametrize("split_seed", [1, 2, 3, 4, 5])
def test_files_that_two_organizations_hold_fall_alike(split_seed: int) -> None:
    """Paths, own files, limits and line ends differ; nothing is exchanged."""
    shared = [source(i) for i in range(30)]
    alpha = [*shared, *(source(1000 + i) for i in range(20))]
    beta = [SourceFile(f"vendored/{f.path}", f.text, "other") for f in shared] + [source(2000 + i) for i in range(35)]
    corpora = [
        prepare(
            name,
            SourceReading(tuple(files), ()),
            PreparationSettings.off().model_copy(update={"split": SplitSettings(train=0.5, valid=0.25, test=0.25)}),
            limit=None,
            split_seed=split_seed,
            count_tokens=len,
        )
        for name, files in (("alpha", alpha), ("beta", beta))
    ]
    one, other = corpora
    held = {f.text for f in shared}
    assert all(held & {f.text for f in part} for part in (one.train, one.valid)), "both sides hold some of them"
    for mine, theirs in ((one, other), (other, one)):
        assert not crossing(mine.train, theirs.valid + theirs.test)
        assert not crossing(mine.valid, theirs.train + theirs.test)


def test_only_content_and_seed_decide() -> None:
    text = "def f(x):\n    return x\n"
    assert split_of(text, HALVES, 7) == split_of(text.replace("\n", "\r\n").replace("    ", "\t"), HALVES, 7)
    seeds = range(200)
    drawn = [split_of(text, HALVES, seed) for seed in seeds]
    # Binomial with a deviation of 7.1.
    assert abs(drawn.count("valid") - 100) < 30


def test_shares_hold_in_expectation_and_a_test_split_moves_no_validation_file() -> None:
    files = [source(i) for i in range(2000)]
    without = split_files(files, SplitSettings(valid=0.2), False, 1)
    split = split_files(files, SplitSettings(train=0.7, valid=0.2, test=0.1), False, 1)
    assert split["valid"] == without["valid"]
    # Deviations of the counts: 18 and 13.
    assert abs(len(split["valid"]) - 400) < 75
    assert abs(len(split["test"]) - 200) < 55
    assert sorted(f.path for part in split.values() for f in part) == [f.path for f in files]
    shuffled = random.Random(0).sample(files, len(files))
    assert {f.path for f in split_files(shuffled, SplitSettings(valid=0.2), False, 1)["valid"]} == {
        f.path for f in without["valid"]
    }


def test_repositories_stay_whole_in_three_splits() -> None:
    files = [source(i, f"repo{i % 20}") for i in range(400)]
    split = split_files(files, SplitSettings(train=0.6, valid=0.2, test=0.2), True, 1)
    sides = [{f.repository for f in part} for part in split.values()]
    assert [len(side) for side in sides] == [12, 4, 4]
    assert len(set.union(*sides)) == 20


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"train": 0.8, "valid": 0.3}, "add up to 1.1"),
        ({"valid": 0.7, "test": 0.5}, "greater than 0"),
        ({"valid": "x"}, "valid"),
    ],
)
def test_shares_that_are_none_are_refused(given: dict[str, object], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        SplitSettings.model_validate(given)


def test_what_is_unset_is_trained_on() -> None:
    assert SplitSettings.model_validate({"valid": 0.1, "test": 0.1}).train == 0.8
    assert SplitSettings() == SplitSettings.model_validate({}) == SplitSettings(train=0.8, valid=0.2, test=0)
