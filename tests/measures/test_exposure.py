"""Exposures against ranks by brute force over a slow reading of the model, one token at a time."""

from itertools import product
from math import log, log2
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from audited import organization_of, slow_log_probs, spec_of
from scipy.stats import skewnorm

from raysim.corpus.canaries import CanarySettings
from raysim.measures.exposure import ExposureSettings, SkewNormal, candidates_of, exposures, num_scored
from raysim.organizations.organization import Organization
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
