"""Membership: which text is told apart, and its scores against a slow reference."""

import zlib
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from audited import LENGTH, organization_of, slow_log_probs, slow_normalised, spec_of

from raysim.core.settings import Settings, Share
from raysim.corpus.canaries import CANARIES, CanarySettings
from raysim.measures.membership.scores import MembershipSettings, mean_of_lowest, membership_scores, units_of
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


def test_what_is_truncated_of_a_file_makes_no_member(tmp_path: Path) -> None:
    organization = organization_of(tmp_path, TEXTS, truncate_files=20)
    units = units_of(organization, CHUNKS, LENGTH, 1)
    spans = {path: end - start for path, start, end in organization.packed.file_spans}
    assert max(spans.values()) == 20
    assert {unit.chunk for unit in units if unit.member} == {0, 1}, "two chunks of 8 lie in 20 tokens"
    assert max(unit.chunk for unit in units if not unit.member) > 1, "held-out files stay whole"
    assert not [u for u in units_of(organization, FILES, LENGTH, 1) if u.member and spans[u.file] == 20]


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
