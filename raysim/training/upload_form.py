"""The form in which an update leaves its client: whole weights unless a strategy's instruction names another one.

A form is a frozen value, so that instructions compare: settings of a strategy are one
(`raysim.training.compression`), and so is any frozen dataclass with these methods.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy.typing as npt

from raysim.training.weights import Flat

WEIGHTS = "weights"
"""Name of the array of a stage that others read as a model."""


@dataclass(frozen=True)
class Sent:
    """What leaves a client in place of its weights, and what stays.

    Attributes:
        array: what the server has of it: the weights as it rebuilds them, or what a form hides them in.
        content: bytes that cross the boundary.
        kept: flat buffers that stay with the client, by the form's `client_buffers`.
        facts: of the table ``update_sizes``: ``cut_norm`` and ``clipped``.
        agreed: bytes that crossed the boundary before, out and in, so that the client could make `array`.
        name: of `array` in the store; other than `WEIGHTS` if it is no model.
    """

    array: npt.NDArray[Any]
    content: bytes
    kept: Mapping[str, Flat] = field(default_factory=dict)
    facts: Mapping[str, Any] = field(default_factory=dict)
    name: str = WEIGHTS
    agreed: tuple[bytes, bytes] | None = None


class UploadForm(Protocol):
    """What is done to an update at the client, after training and before anything leaves it."""

    @property
    def kind(self) -> str:
        """Names what crosses, in the ledger."""
        ...

    @property
    def shows_weights(self) -> bool:
        """Whether the server rebuilds weights of what is sent; else what it has is no model."""
        ...

    @property
    def client_buffers(self) -> tuple[str, ...]:
        """Names of what a client keeps for the stage that names this one as `upload_state`; zeros at first."""
        ...

    def recipe(self) -> dict[str, Any]:
        """Settings that decide numbers, with a ``name`` and a numerics ``version``; part of the stage's key."""
        ...

    def send(self, start: Flat, end: Flat, kept: Mapping[str, Flat], seed: int) -> Sent:
        """The upload of a stage whose weights moved from `start` to `end`, both finite.

        Args:
            start: weights that the client received, float32 ``[num_parameters]``.
            end: weights that it trained.
            kept: its buffers, as far as there are any yet.
            seed: of what the form draws.
        """
        ...


def shows_weights(form: UploadForm | None) -> bool:
    """Whether a server has the weights of a client that sends its update in `form`; None: whole weights."""
    return form is None or form.shows_weights
