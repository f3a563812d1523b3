"""LiRA and RMIA against the papers' formulas written out, and against the best attack there is on simulated losses."""

import math

import numpy as np
import pytest
from scipy.stats import norm

from raysim.analysis.auc import area
from raysim.analysis.reference_attacks import lira, logit_confidence, rmia


@pytest.fixture(scope="module")
def losses() -> tuple[np.ndarray, np.ndarray]:
    """Of a model and five references, on forty files."""
    rng = np.random.default_rng(1)
    files = rng.uniform(0.5, 3.0, 40)
    return np.abs(files + rng.normal(0, 0.2, 40)), np.abs(files + rng.normal(0, 0.2, (5, 40)))


def test_the_confidence_is_the_logit_of_the_mean_probability() -> None:
    probability = 0.2
    assert logit_confidence(np.array([-math.log(probability)]))[0] == pytest.approx(math.log(0.2 / 0.8))
    assert np.isfinite(logit_confidence(np.array([0.0]))[0])


def lira_written_out(loss: float, references: list[float], deviation: float) -> float:
    """1 - Pr[Z > phi] of a normal Z with the mean of the references' logits."""

    def logit(nats: float) -> float:
        p = math.exp(-nats)
        return math.log(p / (1 - p))

    mean = sum(logit(nats) for nats in references) / len(references)
    return 1 - norm(mean, deviation).sf(logit(loss))


def test_lira_is_the_papers_with_one_variance_of_all_files(losses: tuple[np.ndarray, np.ndarray]) -> None:
    own, references = losses
    variances = []
    for of_file in references.T:
        values = [math.log(math.exp(-nats) / (1 - math.exp(-nats))) for nats in of_file]
        mean = sum(values) / len(values)
        variances.append(sum((value - mean) ** 2 for value in values) / (len(values) - 1))
    deviation = math.sqrt(sum(variances) / len(variances))
    expected = [lira_written_out(nats, list(rest), deviation) for nats, rest in zip(own, references.T, strict=True)]
    assert norm.cdf(lira(own, references)) == pytest.approx(expected)


def test_many_references_give_each_file_a_variance_of_its_own() -> None:
    rng = np.random.default_rng(2)
    references = np.abs(rng.normal([[1.0, 2.0]], [[0.05, 0.5]], (80, 2)))
    own = np.array([0.9, 1.9])
    logits = -np.log(np.expm1(references))
    expected = [
        lira_written_out(nats, list(rest), float(np.std(of_file, ddof=1)))
        for nats, rest, of_file in zip(own, references.T, logits.T, strict=True)
    ]
    assert norm.cdf(lira(own, references)) == pytest.approx(expected)


def test_one_reference_is_a_difference(losses: tuple[np.ndarray, np.ndarray]) -> None:
    own, references = losses
    assert lira(own, references[:1]) == pytest.approx(logit_confidence(own) - logit_confidence(references[0]))


def rmia_written_out(
    own: list[float], references: list[list[float]], population: list[bool], gamma: float, a: float
) -> list[float]:
    """Loops over pairs; ``references[file]`` has a loss of each reference."""

    def ratio(file: int) -> float:
        out = sum(math.exp(-nats) for nats in references[file]) / len(references[file])
        return math.exp(-own[file]) / (0.5 * ((1 + a) * out + (1 - a)))

    found = []
    for x in range(len(own)):
        others = [z for z in range(len(own)) if population[z] and z != x]
        found.append(sum(ratio(x) / ratio(z) >= gamma for z in others) / len(others))
    return found


@pytest.mark.parametrize(("gamma", "a"), [(1.0, 1.0), (1.0, 0.3), (1.2, 1.0), (0.8, 0.6)])
def test_rmia_is_the_papers_pair_by_pair(losses: tuple[np.ndarray, np.ndarray], gamma: float, a: float) -> None:
    own, references = losses
    population = np.arange(40) % 3 == 0
    expected = rmia_written_out(own.tolist(), references.T.tolist(), population.tolist(), gamma, a)
    assert rmia(own, references, population, gamma, a) == pytest.approx(expected)


def test_both_come_near_the_best_attack_where_it_is_known() -> None:
    """Logits of a file are normal around its own mean; members have a higher one. The best attack knows those means.

    A mean of R references has an R-th of the variance of one, so the score's is 1 + 1/R times the model's own.
    """
    rng = np.random.default_rng(3)
    number, shift, deviation, num_references = 6000, 0.5, 0.4, 8
    means = rng.normal(-1.0, 1.5, number)
    member = np.arange(number) % 2 == 0
    own = means + shift * member + rng.normal(0, deviation, number)
    references = means + rng.normal(0, deviation, (num_references, number))

    def nats(logits: np.ndarray) -> np.ndarray:
        return np.log1p(np.exp(-logits))

    def auc(scores: np.ndarray) -> float:
        found = area(scores, member)
        assert found is not None
        return found.value

    best = norm.cdf(shift / (math.sqrt(2) * deviation))
    expected = norm.cdf(shift / (math.sqrt(2 * (1 + 1 / num_references)) * deviation))
    assert auc(own - means) == pytest.approx(best, abs=0.01)
    assert auc(lira(nats(own), nats(references))) == pytest.approx(expected, abs=0.01)
    # Without references files that are easy hide members.
    assert auc(-nats(own)) < 0.6 < 0.75 < auc(rmia(nats(own), nats(references), ~member)) <= best + 0.01


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("huge", [math.inf, 1e38, 5_000.0])
def test_a_loss_beyond_all_bounds_is_scored_as_the_least_likely(huge: float) -> None:
    own, references = np.array([1.0, huge, 2.0]), np.array([[2.0, 2.0, huge]])
    others = np.array([True, True, False])
    for scores in (lira(own, references), rmia(own, references, others)):
        assert np.isfinite(scores).all()
        assert scores.argmin() == 1
        assert scores[2] == scores.max()
    both = np.full(3, huge)
    assert not lira(both, both[None]).any()
    assert np.isfinite(rmia(both, both[None], others)).all()


@pytest.mark.filterwarnings("error")
def test_a_loss_that_is_no_number_gives_a_score_that_is_none() -> None:
    own = np.array([1.0, math.nan])
    assert np.isnan(lira(own, own[None])[1])
