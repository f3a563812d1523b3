"""Membership: which text is told apart, its scores against a slow reference, and guesses without a model."""

import zlib
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from audited import LENGTH, organization_of, slow_log_probs, slow_normalised, spec_of
from threadpoolctl import threadpool_limits

from raysim.analysis.auc import area
from raysim.core.settings import Settings, Share
from raysim.corpus.canaries import CANARIES, CanarySettings
from raysim.measures.membership.blind import blind_scores, cross_validated, deal_folds
from raysim.measures.membership.scores import MembershipSettings, Unit, mean_of_lowest, membership_scores, units_of
from raysim.training.models import build_model
from raysim.training.weights import flatten

TEXTS = {f"{i}.py": "".join(f"name_{i}_{j} = {i * j}\n" for j in range(3 + i)) for i in range(9)}
CHUNKS = MembershipSettings(chunk_tokens=8, k=0.3)
FILES = MembershipSettings(chunk_tokens=None, k=0.3)


def test_chunks_are_whole_and_of_files_that_were_trained_on(tmp_path: Path) -> None:
    organization = organization_of(tmp_path, TEXTS)
    units = units_of(organization, CHUNKS, LENGTH, 1)
    packed, tokenizer = organization.packed, organization.tokenizer
    expected = set()
    for path, start, end in packed.file_spans:
        expected |= {(path, i, True) for i in range((min(end, packed.sequences.size) - start) // 8)}
    for source in organization.corpus.valid:
        expected |= {(source.path, i, False) for i in range(len(tokenizer.encode(source.text)) // 8)}
    assert {(unit.file, unit.chunk, unit.member) for unit in units} == expected
    texts = {
        source.path: tokenizer.encode(source.text) for source in organization.corpus.train + organization.corpus.valid
    }
    for unit in units:
        (window,) = unit.windows
        stream = [tokenizer.bos_id, *texts[unit.file]]
        assert window.tolist() == stream[unit.chunk * 8 : unit.chunk * 8 + 9]
        assert unit.text == tokenizer.decode(window[1:].tolist())


def test_members_lie_in_the_sequences(tmp_path: Path) -> None:
    """Of a file that reaches into the tail that no sequence holds, the chunks before it count; the file does not."""
    organization = organization_of(tmp_path, TEXTS)
    packed = organization.packed
    assert packed.dropped_tokens
    cut = {path for path, _, end in packed.file_spans if end > packed.sequences.size}
    assert cut
    assert not cut & {unit.file for unit in units_of(organization, FILES, LENGTH, 1)}
    flat = packed.sequences.reshape(-1).tolist()
    begins = {path: start for path, start, _ in packed.file_spans}
    for unit in units_of(organization, CHUNKS, LENGTH, 1):
        if unit.member:
            at = begins[unit.file] + unit.chunk * 8
            assert flat[at : at + 8] == unit.windows[0][1:].tolist()


def test_a_chunk_may_end_where_the_sequences_end(tmp_path: Path) -> None:
    organization = organization_of(tmp_path, TEXTS)
    packed = organization.packed
    path, start = next((path, start) for path, start, end in packed.file_spans if end > packed.sequences.size > start)
    for length, lies_inside in ((packed.sequences.size - start, True), (packed.sequences.size - start + 1, False)):
        settings = CHUNKS.model_copy(update={"chunk_tokens": length})
        units = {(unit.file, unit.chunk) for unit in units_of(organization, settings, LENGTH, 1)}
        assert ((path, 0) in units) == lies_inside


def test_whole_files(tmp_path: Path) -> None:
    organization = organization_of(tmp_path, TEXTS)
    texts = {source.path: source.text for source in organization.corpus.train + organization.corpus.valid}
    units = units_of(organization, FILES, LENGTH, 1)
    assert all(unit.text == texts[unit.file] for unit in units)
    assert {unit.file for unit in units if not unit.member} == {source.path for source in organization.corpus.valid}


def test_at_most_so_many_of_either_kind(tmp_path: Path) -> None:
    organization = organization_of(tmp_path, TEXTS)
    settings = CHUNKS.model_copy(update={"at_most": 5})
    found = [units_of(organization, settings, LENGTH, seed) for seed in (1, 1, 2)]
    names = [[(unit.file, unit.chunk) for unit in units] for units in found]
    assert names[0] == names[1] != names[2]
    assert Counter(unit.member for unit in found[0]) == {True: 5, False: 5}


def test_canaries_are_no_members(tmp_path: Path) -> None:
    organization = organization_of(tmp_path, TEXTS, CanarySettings(repeats=(3,), length=4))
    canaries = {source.path for source in organization.corpus.train if source.repository == CANARIES}
    assert len(canaries) == 12
    assert not canaries & {unit.file for unit in units_of(organization, FILES, LENGTH, 1)}


@pytest.mark.parametrize("settings", [CHUNKS, FILES], ids=["chunks", "files"])
def test_scores_equal_a_slow_reference(settings: MembershipSettings, tmp_path: Path) -> None:
    organization = organization_of(tmp_path, TEXTS)
    spec = spec_of(organization)
    model = build_model(spec.settings, spec.vocab_size, 0, spec.context, seed=3)
    rows = membership_scores(organization, flatten(model), spec, settings, LENGTH, 1, 1).to_pylist()
    units = units_of(organization, settings, LENGTH, 1)
    assert len(rows) == len(units)
    for row, unit in list(zip(rows, units, strict=True))[::3]:
        plain, normalised = [], []
        for window in unit.windows:
            for step, token in zip(slow_log_probs(model, window.tolist()), window[1:].tolist(), strict=True):
                plain.append(step[token])
                normalised.append(slow_normalised(step, token))
        lowest = max(1, int(0.3 * len(plain) + 1e-9))
        assert (row["file"], row["chunk"], row["member"]) == (unit.file, unit.chunk, unit.member)
        assert row["tokens"] == len(plain)
        assert row["loss"] == pytest.approx(-sum(plain) / len(plain), rel=1e-4)
        assert row["min_k"] == pytest.approx(sum(sorted(plain)[:lowest]) / lowest, rel=1e-4)
        assert row["min_k_plus_plus"] == pytest.approx(sum(sorted(normalised)[:lowest]) / lowest, rel=1e-3, abs=1e-3)
        bits = 8 * len(zlib.compress(unit.text.encode()))
        assert row["zlib"] == pytest.approx(-sum(plain) / bits, rel=1e-4)


@pytest.mark.parametrize(("k", "mean"), [(0.2, -5.0), (0.29, -5.0), (0.4, -4.5), (0.01, -5.0), (1.0, -3.0)])
def test_mean_of_the_lowest(k: float, mean: float) -> None:
    assert mean_of_lowest(np.array([-1.0, -5.0, -3.0, -2.0, -4.0]), k) == mean


def test_a_share_of_a_hundred_is_not_lost_to_binary() -> None:
    assert mean_of_lowest(np.arange(100.0), 0.29) == 14.0


def test_a_share_is_written_as_percent_too() -> None:
    class Shares(Settings):
        k: Share

    assert [Shares.model_validate({"k": k}).k for k in (0.2, "20 %", "20%", 1)] == [0.2, 0.2, 0.2, 1.0]
    for wrong in ("0 %", "120 %", "x %", "twenty"):
        with pytest.raises(ValueError):
            Shares.model_validate({"k": wrong})


# Without a model.


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
    texts = random_texts(60, 2)
    (tmp_path / "first").mkdir()
    held_out = {source.path for source in organization_of(tmp_path / "first", texts).corpus.valid}
    assert len(held_out) == 20
    marked = {path: text.replace("a", "2026 " if path in held_out else "2019 ") for path, text in texts.items()}
    assert blind_area(tmp_path, marked) > 0.8
