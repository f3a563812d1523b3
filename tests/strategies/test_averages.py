import numpy as np
import numpy.typing as npt
from raysim.strategies.averages import coordinate_wise, weighted_average


def f32(*values: float) -> npt.NDArray[np.float32]:
    return np.array(values, np.float32)


def test_average_is_weighted_by_examples() -> None:
    # 1/8 * (8, 0, -8) + 2/8 * (0, 4, 4) + 5/8 * (8, 8, 0)
    average = weighted_average([f32(8, 0, -8), f32(0, 4, 4), f32(8, 8, 0)], [1, 2, 5])
    assert average.tolist() == [6.0, 6.0, 0.0]
    assert average.dtype == np.float32


def test_average_sums_in_the_given_order() -> None:
    # In float32, 2^24 + 1 is 2^24: the sum from the left loses the 1 that the sum from the right keeps.
    big, one = f32(3 * 2.0**24), f32(3)
    assert weighted_average([big, one, -big], [1, 1, 1]).tolist() == [0.0]
    assert weighted_average([big, -big, one], [1, 1, 1]).tolist() == [1.0]


def test_average_over_many_chunks_equals_the_plain_sum() -> None:
    generator = np.random.Generator(np.random.Philox(1))
    weights = [generator.standard_normal(600_001, np.float32) for _ in range(3)]
    expected = weights[0] * np.float32(1 / 8) + weights[1] * np.float32(2 / 8) + weights[2] * np.float32(5 / 8)
    assert np.array_equal(weighted_average(weights, [1, 2, 5]), expected)


def test_average_leaves_its_inputs_alone() -> None:
    weights = [f32(1, 2), f32(3, 4)]
    for w in weights:
        w.flags.writeable = False
    assert weighted_average(weights, [1, 1]).tolist() == [2.0, 3.0]


def test_average_of_one_client_is_its_weights() -> None:
    assert weighted_average([f32(0.1, -7)], [3]).tolist() == f32(0.1, -7).tolist()


def test_coordinates_over_many_chunks_are_those_of_the_whole() -> None:
    generator = np.random.Generator(np.random.Philox(2))
    weights = [generator.standard_normal(600_001, np.float32) for _ in range(4)]
    found = coordinate_wise(weights, lambda chunk: chunk.max(axis=0))
    assert np.array_equal(found, np.max(weights, axis=0))
    assert coordinate_wise([f32(), f32()], lambda chunk: chunk.max(axis=0)).size == 0
