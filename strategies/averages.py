"""What a server makes of its clients' flat buffers, chunk by chunk: no second copy of the models is ever there."""

from collections.abc import Callable, Iterator, Sequence

import numpy as np
import numpy.typing as npt

from raysim.training.weights import Flat

_CHUNK = 1 << 14
"""Elements at a time: 64 KB of float32 stay in the cache, and in memory that is there; more is mapped anew."""


def chunks(size: int) -> Iterator[slice]:
    """Parts of a flat buffer of `size` elements, one after the other."""
    return (slice(start, start + _CHUNK) for start in range(0, size, _CHUNK))


def weighted_average(weights: Sequence[Flat], num_examples: Sequence[int]) -> Flat:
    """Sum of ``n_i / n * w_i`` in the given order, float32 ``[num_parameters]``."""
    total = sum(num_examples)
    average = np.empty_like(weights[0])
    scratch = np.empty(min(_CHUNK, average.size), np.float32)
    for part in chunks(average.size):
        here = average[part]
        np.multiply(weights[0][part], np.float32(num_examples[0] / total), out=here)
        for client, count in zip(weights[1:], num_examples[1:], strict=True):
            term = scratch[: here.size]
            np.multiply(client[part], np.float32(count / total), out=term)
            here += term
    return average


def coordinate_wise(weights: Sequence[Flat], reduce: Callable[[npt.NDArray[np.float32]], Flat]) -> Flat:
    """`reduce` of every coordinate over the clients: it gets a chunk, float32 ``[num_clients, num_coordinates]``."""
    combined = np.empty_like(weights[0])
    for part in chunks(combined.size):
        combined[part] = reduce(np.stack([w[part] for w in weights]))
    return combined


def scaled(values: Flat, factor: float) -> Flat:
    """`values` times a factor that is rounded to float32 first, as a server does all in float32."""
    return np.multiply(values, np.float32(factor), dtype=np.float32)
