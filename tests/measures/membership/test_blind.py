"""Guesses of membership without a model."""

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from audited import LENGTH, organization_of
from threadpoolctl import threadpool_limits

from raysim.analysis.auc import area
from raysim.corpus.split import SplitSettings, split_of
from raysim.measures.membership.blind import blind_scores, cross_validated, deal_folds
from raysim.measures.membership.scores import MembershipSettings, Unit


def units_from(members: dict[str, int], others: dict[str, int]) -> list[Unit]:
    return [
        Unit(file, chunk, member, (), "")
        for member, files in ((True, members), (False, others))
        for file, count in files.items()
        for chunk in range(count)
    ]


def test_folds_hold_whole_files_of_both_kinds() -> None:
    units = units_from({f"m{i}": 3 + i for i in range(11)}, {f"n{i}": 2 for i in range(4)})
    folds = deal_folds(units, 7)
    assert folds is not None
    of_file: dict[tuple[str, bool], set[int]] = {}
    for unit, fold in zip(units, folds.tolist(), strict=True):
        of_file.setdefault((unit.file, unit.member), set()).add(fold)
    assert all(len(found) == 1 for found in of_file.values())
    for member, sizes in ((True, [2, 3, 3, 3]), (False, [1, 1, 1, 1])):
        dealt = Counter(next(iter(found)) for (_, one), found in of_file.items() if one == member)
        assert sorted(dealt.values()) == sizes


def test_no_folds_without_two_files_of_either_kind() -> None:
    assert deal_folds(units_from({"a": 9, "b": 9}, {"c": 9}), 7) is None


def test_every_text_is_guessed_by_one_that_has_not_seen_its_fold() -> None:
    """A word that tells, but in one fold alone, tells nothing there."""
    rng = np.random.default_rng(3)
    members, folds = np.arange(60) % 2 == 0, np.arange(60) // 2 % 3
    texts = [
        " ".join(rng.choice(["a", "b", "c"], 8)) + (" secret" if member and fold == 0 else "")
        for member, fold in zip(members, folds, strict=True)
    ]
    scores = cross_validated(texts, members, folds)
    plain = cross_validated([text.replace(" secret", "") for text in texts], members, folds)
    assert scores[folds == 0] == pytest.approx(plain[folds == 0], abs=0.5)
    assert not np.allclose(scores[folds == 1], plain[folds == 1], atol=1e-6)


def test_guesses_do_not_depend_on_the_number_of_threads() -> None:
    """From ten thousand words on OpenBLAS shares the sums of a vector among its threads."""
    rng = np.random.default_rng(4)
    texts = [" ".join(f"w{word}" for word in rng.integers(40_000, size=400)) for _ in range(100)]
    members, folds = np.arange(100) % 2 == 0, np.arange(100) // 2 % 2
    found = []
    for threads in (1, 2):
        with threadpool_limits(threads):
            found.append(cross_validated(texts, members, folds).tobytes())
    assert found[0] == found[1]


def blind_area(tmp_path: Path, texts: dict[str, str]) -> float:
    rows = blind_scores(organization_of(tmp_path, texts), MembershipSettings(chunk_tokens=8), LENGTH, 1)
    found = area(
        rows["score"].to_numpy(), np.array(rows["member"].to_pylist()), [int(fold) for fold in rows["fold"].to_pylist()]
    )
    assert found is not None
    return found.value


def random_texts(number: int, seed: int) -> dict[str, str]:
    rng = np.random.default_rng(seed)
    words = [f"{a}{b}" for a in "abcdefg" for b in "vwxyz"]
    return {f"{i:03}.py": " ".join(rng.choice(words, 60)) + "\n" for i in range(number)}


def test_a_random_split_cannot_be_guessed(tmp_path: Path) -> None:
    assert 0.42 < blind_area(tmp_path, random_texts(90, 1)) < 0.58


def test_splits_that_differ_by_themselves_are_guessed(tmp_path: Path) -> None:
    """As if the validation files were younger, and named another year wherever they name one."""
    marked: dict[str, str] = {}
    for path, text in random_texts(120, 2).items():
        for split, year in (("valid", "2026 "), ("train", "2019 ")):
            dated = text.replace("a", year)  # which file a year makes of it decides where it falls
            if path not in marked and split_of(dated, SplitSettings(valid=0.34), 1) == split:
                marked[path] = dated
    assert len(marked) > 60
    assert blind_area(tmp_path, marked) > 0.8
