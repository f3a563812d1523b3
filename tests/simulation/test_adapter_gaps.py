import numpy as np
import pytest

from raysim.simulation.adapter_gaps import gaps_of
from raysim.training.adapters import Adapter, Factor

NUMBER = Adapter(Factor(0, 1, 1), Factor(1, 1, 1), 2.0)
HALVES = [0.5, 0.5]


def f32(*values: float) -> np.ndarray:
    return np.array(values, np.float32)


def test_a_gap_by_hand() -> None:
    """B A of 1 x 2 and 3 x 4: their average is 7, the product of averages 2 x 3 = 6; the scale cancels out."""
    sent = [f32(1, 2), f32(3, 4)]
    assert gaps_of([NUMBER], sent, HALVES, f32(0, 0), None) == {"factor_gap": pytest.approx(1 / 7)}
    # The server made 2 x 3.25 = 6.5 of it.
    assert gaps_of([NUMBER], sent, HALVES, f32(0, 0), f32(2, 3.25)) == {
        "factor_gap": pytest.approx(1 / 7),
        "average_gap": pytest.approx(0.5 / 7),
    }
    # Unequal shares: 0.25 x 2 + 0.75 x 12 = 9.5 beside 2.5 x 3.5 = 8.75.
    assert gaps_of([NUMBER], sent, [0.25, 0.75], f32(0, 0), None)["factor_gap"] == pytest.approx(0.75 / 9.5)


def test_what_a_matrix_took_up_counts() -> None:
    """Scale 2: the average adds 14 to the matrix, the factors 12, and the matrix rose from 5 to 7."""
    carried = Adapter(NUMBER.b, NUMBER.a, 2.0, Factor(2, 1, 1))
    sent = [f32(1, 2, 5), f32(3, 4, 5)]
    assert gaps_of([carried], sent, HALVES, f32(0, 0, 5), f32(2, 3, 7))["average_gap"] == 0.0
    assert gaps_of([carried], sent, HALVES, f32(0, 0, 5), f32(2, 3, 6))["average_gap"] == pytest.approx(1 / 14)


def test_opposite_clients_leave_nothing_of_the_average_apart() -> None:
    """B A and (-B) (-A) are equal, and both factors average to zero: all is lost."""
    assert gaps_of([NUMBER], [f32(1, 2), f32(-1, -2)], HALVES, f32(0, 0), None) == {"factor_gap": pytest.approx(1.0)}


def test_a_frozen_factor_has_no_gap_and_untrained_adapters_have_none() -> None:
    frozen = Adapter(Factor(0, 1, 1), None, 2.0)
    assert gaps_of([frozen], [f32(1), f32(3)], HALVES, f32(0), f32(2)) == {"factor_gap": 0.0, "average_gap": 0.0}
    assert gaps_of([NUMBER], [f32(0, 2), f32(0, 3)], HALVES, f32(0, 2), None) == {"factor_gap": 0.0}


def test_what_has_diverged_is_no_error_here() -> None:
    """The store refuses it, in words that have the norms."""
    with np.errstate(all="ignore"):
        found = gaps_of([NUMBER], [f32(1, np.nan), f32(np.inf, 3)], HALVES, f32(0, 0), f32(np.nan, 2))
    assert np.isnan(list(found.values())).all()


def test_all_layers_count_together_as_full_matrices_would() -> None:
    """Three clients, layers of two shapes and scales, one of them with its matrix the other way round."""
    draw = np.random.Generator(np.random.Philox(1))
    layers = [
        Adapter(Factor(0, 4, 2), Factor(8, 2, 3), 2.0),
        Adapter(Factor(14, 3, 1), Factor(17, 1, 5), 0.5, Factor(22, 5, 3), transposed=True),
    ]
    before, after, *sent = (draw.normal(size=37).astype(np.float32) for _ in range(5))
    shares = [0.2, 0.3, 0.5]

    def products(flat: np.ndarray, base: float = 0.0) -> np.ndarray:
        one = 2.0 * flat[:8].reshape(4, 2) @ flat[8:14].reshape(2, 3)
        other = 0.5 * flat[14:17].reshape(3, 1) @ flat[17:22].reshape(1, 5)
        moved = base * (flat[22:] - before[22:].astype(float)).reshape(5, 3).T
        return np.concatenate([one.ravel(), (other + moved).ravel()])

    exact = sum(share * products(one.astype(float)) for share, one in zip(shares, sent, strict=True))
    apart = products(np.average([one.astype(float) for one in sent], axis=0, weights=shares))
    norm = np.linalg.norm(exact)
    assert gaps_of(layers, sent, shares, before, after) == {
        "factor_gap": pytest.approx(np.linalg.norm(exact - apart) / norm),
        "average_gap": pytest.approx(np.linalg.norm(exact - products(after.astype(float), base=1.0)) / norm),
    }
