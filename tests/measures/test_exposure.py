"""Exposures against ranks by brute force over a slow reading of the model, one token at a time."""

from itertools import product
from math import log, log2
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from audited import organization_of, slow_log_probs, spec_of
from keyed_work import BASE, keys_of, replaced
from scipy.stats import skewnorm

from raysim.core.keys import key_of
from raysim.corpus.canaries import CanarySettings
from raysim.measures.base import ClientTask
from raysim.measures.exposure import (
    Exposure,
    ExposureSettings,
    SkewNormal,
    _windows,
    candidates_of,
    exposure_recipe,
    exposures,
    num_scored,
)
from raysim.organizations.organization import Organization
from raysim.tasks.task import TaskOutput
from raysim.training.models import build_model
from raysim.training.weights import flatten

PLANTED = CanarySettings(repeats=(0, 2), count=2, format='key = "{secret}"', alphabet="0123", length=3)
TEXTS = {f"{i}.py": f"value_{i} = {i * 37}\nkey = {i}\n" * 4 for i in range(6)}


@pytest.fixture
def organization(tmp_path: Path) -> Organization:
    return organization_of(tmp_path, TEXTS, PLANTED)


def rows_of(organization: Organization, settings: ExposureSettings, weights: Any = None) -> list[dict[str, Any]]:
    spec = spec_of(organization)
    if weights is None:
        weights = flatten(build_model(spec.settings, spec.vocab_size, 0, spec.context, seed=3))
    return exposures(organization, weights, spec, PLANTED, settings, 1, 1).to_pylist()


def slow_bits(organization: Organization, secret: str) -> float:
    spec = spec_of(organization)
    model = build_model(spec.settings, spec.vocab_size, 0, spec.context, seed=3)
    window = [0, *organization.tokenizer.encode(f'key = "{secret}"\n')]
    return -sum(row[token] for row, token in zip(slow_log_probs(model, window), window[1:], strict=True)) / log(2)


def test_ranks_among_all_secrets_are_those_of_brute_force(organization: Organization) -> None:
    """64 secrets, of which four are canaries: each is ranked with the 60 others."""
    rows = rows_of(organization, ExposureSettings(candidates=61, batch_size=7))
    bits = {"".join(letters): slow_bits(organization, "".join(letters)) for letters in product("0123", repeat=3)}
    taken = {canary.secret for canary in organization.corpus.canaries}
    assert [row["canary"] for row in rows] == ["0x0", "0x1", "2x0", "2x1"]
    for row, canary in zip(rows, organization.corpus.canaries, strict=True):
        rank = 1 + sum(value <= bits[canary.secret] for secret, value in bits.items() if secret not in taken)
        assert row["log_perplexity"] == pytest.approx(bits[canary.secret], rel=1e-5)
        assert (row["rank"], row["candidates"], row["enumerated"]) == (rank, 61, True)
        assert row["exposure"] == pytest.approx(log2(61 / rank))
        assert row["exposure_extrapolated"] is row["fit_p"] is None
    assert len({row["rank"] for row in rows}) > 1


@pytest.fixture
def with_lines(tmp_path: Path) -> Organization:
    return organization_of(tmp_path, TEXTS, PLANTED.model_copy(update={"place": "lines"}))


def test_a_line_is_scored_behind_a_line_end_as_it_was_planted(with_lines: Organization) -> None:
    """Not behind a BOS: there begins a file, and the line stands in the middle of one."""
    planted, spec, tokenizer = PLANTED.model_copy(update={"place": "lines"}), spec_of(with_lines), with_lines.tokenizer
    model = build_model(spec.settings, spec.vocab_size, 0, spec.context, seed=3)
    rows = exposures(with_lines, flatten(model), spec, planted, ExposureSettings(candidates=61), 1, 1).to_pylist()
    (feed,) = tokenizer.encode("\n")
    for row, canary in zip(rows, with_lines.corpus.canaries, strict=True):
        line = tokenizer.encode(f'key = "{canary.secret}"\n')
        window = [feed, *line]
        steps = zip(slow_log_probs(model, window), line, strict=True)
        assert row["log_perplexity"] == pytest.approx(-sum(step[token] for step, token in steps) / log(2), rel=1e-5)
        # What is scored is what was trained on, wherever a planted line is not cut by the end of a sequence.
        planted_in = [f.text for f in with_lines.corpus.train if canary.secret in f.text]
        assert len(planted_in) > 0 or not canary.repeats
        for text in planted_in:
            whole = " ".join(map(str, tokenizer.encode(text)))
            assert " ".join(map(str, window)) in whole


def test_a_line_end_that_is_joined_to_what_follows(with_lines: Organization) -> None:
    """A tokenizer may do so; the line is then taken for itself, and every character of it is scored."""

    class Joining:
        bos_id = 0

        def encode(self, text: str) -> list[int]:
            return [99, *map(ord, text[2:])] if text[:1] == "\n" and len(text) > 1 else list(map(ord, text))

    windows, skipped = _windows(Joining(), ["ab\n"], "lines")  # type: ignore[arg-type]
    assert ([window.tolist() for window in windows], skipped) == ([[10, 97, 98, 10]], 0)
    assert [w.tolist() for w in _windows(Joining(), ["ab\n"], "files")[0]] == [[0, 97, 98, 10]]  # type: ignore[arg-type]


def test_where_canaries_stand_is_in_the_key_where_it_decides_the_context() -> None:
    keys = {
        place: key_of(
            exposure_recipe(BASE.context, "model", "a", replaced(BASE.canaries, "place", place), BASE.exposure)
        )
        for place in ("files", "lines")
    }
    assert keys["files"] == keys_of(BASE)["exposure"] != keys["lines"]


def test_ranks_among_a_sample(organization: Organization) -> None:
    settings = ExposureSettings(candidates=21)
    rows = rows_of(organization, settings)
    candidates = candidates_of(organization.corpus.canaries, PLANTED, settings, 5)
    assert len(set(candidates.secrets)) == 20
    assert not {canary.secret for canary in organization.corpus.canaries} & set(candidates.secrets)
    assert num_scored(PLANTED, settings) == 24
    for row in rows:
        assert (row["candidates"], row["enumerated"]) == (21, False)
        assert row["exposure"] == pytest.approx(log2(21 / row["rank"]))
        assert 0 <= row["exposure_extrapolated"] <= log2(64)


def test_one_candidate_less_than_all_is_a_sample() -> None:
    canaries = ()
    both = [candidates_of(canaries, PLANTED, ExposureSettings(candidates=n), 1) for n in (64, 65)]
    assert [(len(one.secrets), one.enumerated) for one in both] == [(63, False), (64, True)]


def test_a_model_that_predicts_nothing_exposes_nothing(organization: Organization) -> None:
    """All secrets of as many tokens are as likely, and a rank among equals is the worst."""
    spec = spec_of(organization)
    zeros = np.zeros_like(flatten(build_model(spec.settings, spec.vocab_size, 0, spec.context)))
    lengths = [len(organization.tokenizer.encode(f'key = "{"".join(s)}"\n')) for s in product("0123", repeat=3)]
    for row in rows_of(organization, ExposureSettings(candidates=100), zeros):
        own = round(row["log_perplexity"] / log2(spec.vocab_size))
        taken = [len(organization.tokenizer.encode(PLANTED.text(c.secret))) for c in organization.corpus.canaries]
        assert row["rank"] == 1 + sum(n <= own for n in lengths) - sum(n <= own for n in taken)


def test_only_numbers_and_names_leave(organization: Organization) -> None:
    prompt_stats = repr(rows_of(organization, ExposureSettings(candidates=9)))
    assert not any(f"'{canary.secret}'" in prompt_stats for canary in organization.corpus.canaries)
    assert "key" not in prompt_stats


def test_the_fit_finds_a_skew_normal_again() -> None:
    """A sample of 4000: the chance of a value three deviations below, to a tenth of a bit in eight."""
    sample = np.asarray(skewnorm.rvs(2.0, 60, 5, size=4000, random_state=np.random.default_rng(1)))
    fit = SkewNormal.fit(sample)
    assert fit is not None
    assert fit.p > 0.1
    assert fit.bits_below(59.0) == pytest.approx(-log2(float(skewnorm.cdf(59.0, 2.0, 60, 5))), rel=0.1)
    # Of the same distribution the median has one bit, and the exposure of a rank is nearly the same number.
    median = float(np.median(sample))
    assert fit.bits_below(median) == pytest.approx(1.0, abs=0.05)
    assert SkewNormal.fit(np.random.default_rng(2).exponential(5, 4000)).p < 0.01  # type: ignore[union-attr]


def test_no_fit_where_all_are_equal() -> None:
    assert SkewNormal.fit(np.full(100, 57.0)) is None
    assert SkewNormal((0.0, 0.0, 1.0), 1.0).bits_below(-60.0) == float("inf")


def test_a_model_that_has_diverged_exposes_nothing(organization: Organization) -> None:
    """Its bits are no number, which no candidate's are below: counted so, every canary would be the first."""
    spec = spec_of(organization)
    weights = np.full_like(flatten(build_model(spec.settings, spec.vocab_size, 0, spec.context)), 1e15)
    for settings in (ExposureSettings(candidates=21), ExposureSettings(candidates=100)):
        for row in rows_of(organization, settings, weights):
            assert np.isnan(row["log_perplexity"])
            assert row["rank"] == row["candidates"]
            assert row["exposure"] == 0
            assert row["exposure_extrapolated"] is None
    assert SkewNormal((2.0, 60.0, 5.0), 0.5).bits_below(float("nan")) == 0


@pytest.mark.parametrize(("repeats", "score"), [((0, 1, 4), {"exposure": 4.0}), ((0, 0, 0), {})])
def test_observers_receive_the_mean_of_what_is_planted(repeats: tuple[int, ...], score: dict[str, float]) -> None:
    ranked = pa.table({"repeats": repeats, "exposure": [1.0, 2.0, 6.0]})
    task = ClientTask("canaries", "a", "canaries", {"weights": "m"}, TaskOutput)
    assert Exposure(ExposureSettings()).scores(task, ranked) == score
