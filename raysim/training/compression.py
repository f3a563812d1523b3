"""Compression of updates: a client sends its largest changes alone, or eight bits of each.

With error feedback, what was cut is kept by the client and added to its next update: Stich, Cordonnier & Jaggi:
Sparsified SGD with Memory, NeurIPS 2018, arXiv 1809.07599, algorithm 1; Karimireddy, Rebjock, Stich & Jaggi: Error
Feedback Fixes SignSGD and other Gradient Compression Schemes, ICML 2019, arXiv 1901.09847, algorithm 2. Here the
compressed step is what a client's weights changed by in a round.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar, Literal, Self

import numpy as np
import pydantic

from raysim.core.settings import Settings, Share
from raysim.training.upload_form import Sent, UploadForm
from raysim.training.weights import Flat

RESIDUAL = "residual"
"""What was cut of a client's updates so far: the buffer that stays with it."""


class Compressor(Settings, ABC):
    """A lossy form of updates: base of `TopK` and `Int8`, each its own settings."""

    name: ClassVar[str]

    error_feedback: bool = pydantic.Field(
        default=True, description="whether what was cut is kept by the organization and added to its next update"
    )

    @property
    def kind(self) -> str:
        return "compressed update"

    @property
    def shows_weights(self) -> bool:
        return True

    @property
    def client_buffers(self) -> tuple[str, ...]:
        return (RESIDUAL,) if self.error_feedback else ()

    def recipe(self) -> dict[str, Any]:
        return {"name": self.name, "version": 1, **self.model_dump(mode="json")}

    def send(self, start: Flat, end: Flat, kept: Mapping[str, Flat], seed: int) -> Sent:
        """The weights as the server rebuilds them, and the residual; see `UploadForm.send`."""
        update = end - start
        if RESIDUAL in kept:
            update += kept[RESIDUAL]
        content = self.encode(update, seed)
        received = self.decode(content, update.size)
        update -= received
        norm = math.sqrt(float(np.square(update, dtype=np.float64).sum()))
        return Sent(start + received, content, dict.fromkeys(self.client_buffers, update), {"cut_norm": norm})

    @abstractmethod
    def encode(self, update: Flat, seed: int) -> bytes:
        """What crosses the boundary of an update, float32 ``[num_parameters]``."""

    @abstractmethod
    def decode(self, content: bytes, size: int) -> Flat:
        """The update of `size` elements that the server has of `content`."""


class TopK(Compressor):
    """The elements of largest magnitude, exact; of equal ones the first. All others count as zero.

    Positions are sent as numbers of 32 bits, or as a bit for each element where that is less.
    """

    name = "top_k"

    share: Share = pydantic.Field(default=0.01, description="of the elements that are sent, at least one")

    def encode(self, update: Flat, seed: int) -> bytes:
        chosen = np.zeros(update.size, bool)
        chosen[largest(update, self._count(update.size))] = True
        values = update[chosen].tobytes()
        positions = np.packbits(chosen) if self._by_bits(update.size) else np.flatnonzero(chosen).astype("<u4")
        return positions.tobytes() + values

    def decode(self, content: bytes, size: int) -> Flat:
        count, update = self._count(size), np.zeros(size, np.float32)
        head = len(content) - 4 * count
        if self._by_bits(size):
            positions = np.flatnonzero(np.unpackbits(np.frombuffer(content[:head], np.uint8), count=size))
        else:
            positions = np.frombuffer(content[:head], "<u4")
        update[positions] = np.frombuffer(content[head:], np.float32)
        return update

    def _count(self, size: int) -> int:
        # Rounded to nine places first: in binary, 0.07 * 100 is a little over 7.
        return min(size, max(1, math.ceil(round(self.share * size, 9))))

    def _by_bits(self, size: int) -> bool:
        return math.ceil(size / 8) < 4 * self._count(size)


class Int8(Compressor):
    """A whole number from -127 to 127 for each element, and a scale for each block: its largest magnitude over 127.

    Stochastic rounding goes up with the probability of the fraction, so its mean is the element itself (Alistarh,
    Grubic, Li, Tomioka & Vojnovic: QSGD, NeurIPS 2017, arXiv 1610.02132).
    """

    name = "int8"

    error_feedback: bool = pydantic.Field(
        default=False, description="whether what was cut is kept by the organization and added to its next update"
    )
    rounding: Literal["stochastic", "nearest"] = pydantic.Field(
        default="stochastic", description="stochastic: right on average; nearest: half the largest error"
    )
    block: int = pydantic.Field(default=1024, ge=1, description="elements that share a scale of 32 bits")

    def encode(self, update: Flat, seed: int) -> bytes:
        starts = np.arange(0, update.size, self.block)
        scales = np.divide(np.maximum.reduceat(np.abs(update), starts), 127, dtype=np.float32)
        spread = self._spread(scales, update.size)
        levels = np.divide(update, spread, out=np.zeros_like(update), where=spread > 0)
        if self.rounding == "stochastic":
            levels += np.random.Generator(np.random.Philox(seed)).random(update.size, np.float32)
            np.floor(levels, out=levels)
        else:
            np.rint(levels, out=levels)
        return scales.tobytes() + levels.clip(-127, 127).astype(np.int8).tobytes()

    def decode(self, content: bytes, size: int) -> Flat:
        scales = np.frombuffer(content[:-size], np.float32)
        return np.frombuffer(content[-size:], np.int8) * self._spread(scales, size)

    def _spread(self, scales: Flat, size: int) -> Flat:
        """The scale of each element; 0 in a block of zeros, and of numbers whose scale is too small for float32."""
        return np.repeat(scales, self.block)[:size]


class CompressionSettings(Settings):
    """What clients send of their updates: exactly one of these."""

    top_k: TopK | None = pydantic.Field(default=None, description="the elements of largest magnitude alone")
    int8: Int8 | None = pydantic.Field(default=None, description="eight bits of each element")

    @pydantic.model_validator(mode="after")
    def _exactly_one(self) -> Self:
        if (self.top_k is None) == (self.int8 is None):
            raise ValueError("compression is exactly one of top_k and int8, such as {top_k: {share: 0.01}}")
        return self

    @property
    def form(self) -> UploadForm:
        """The one that is asked for."""
        form = self.top_k or self.int8
        assert form is not None, "validated"
        return form


def largest(values: Flat, count: int) -> np.ndarray:
    """Positions of the `count` elements of largest magnitude in ascending order; of equal ones the first are taken."""
    magnitudes = np.abs(values)
    least = np.partition(magnitudes, values.size - count)[values.size - count]
    above, equal = np.flatnonzero(magnitudes > least), np.flatnonzero(magnitudes == least)
    return np.sort(np.concatenate([above, equal[: count - above.size]]))
