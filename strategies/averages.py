"""What a server makes of its clients' flat buffers, chunk by chunk: no second copy of the models is ever there."""

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

from raysim.training.weights import Flat

_CHUNK = 1 << 18
"""Elements at a time: 1 MB of float32 stays in the cache, and no second model is allocated."""


def weighted_average(weights: Sequence[Flat], num_examples: Sequence[int]) -> Flat:
    """Sum of ``n_i / n * w_i`` in the given order, float32 ``[num_parameters]``."""
    total = sum(num_examples)
    average = np.empty_like(weights[0])
    scratch = np.empty(min(_CHUNK, average.size), np.float32)
    for start in range(0, average.size, _CHUNK):
        part = average[start : start + _CHUNK]
        np.multiply(weights[0][start : start + _CHUNK], np.float32(num_examples[0] / total), out=part)
        for client, count in zip(weights[1:], num_examples[1:], strict=True):
            term = scratch[: part.size]
            np.multiply(client[start : start + _CHUNK], np.float32(count / total), out=term)
            part += term
    return average


def coordinate_wise(weights: Sequence[Flat], reduce: Callable[[npt.NDArray[np.float32]], Flat]) -> Flat:
    """`reduce` of every coordinate over the clients: it gets a chunk, float32 ``[num_clients, num_coordinates]``."""
    combined = np.empty_like(weights[0])
    for start in range(0, combined.size, _CHUNK):
        combined[start : start + _CHUNK] = reduce(np.stack([w[start : start + _CHUNK] for w in weights]))
    return combined


def scaled(values: Flat, factor: float) -> Flat:
    """`values` times a factor that is rounded to float32 first, as a server does all in float32."""
    return np.multiply(values, np.float32(factor), dtype=np.float32)
