"""What is known of a model before the tables are: scores of it, for whoever watches a run."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from raysim.core.keys import Key

LINES = ("exclusive_lines", "covered_lines", "shared_lines")
"""Scores of memorization: lines of an organization in a model's answers to that organization's own prompts from
training, over all samples, a prompt."""

EXPOSURE = "exposure"
"""Mean exposure of an organization's planted canaries, in bits."""

LOSS = "log_perplexity"
"""Mean loss of a token of an organization's validation files, in nats."""


@dataclass(frozen=True)
class ModelScores:
    """Scores of one model at one organization.

    Attributes:
        model: its key.
        name: of the model, for people.
        run: the setting, and its order where there is more than one.
        seed: of training.
        moment: what had just ended: stage, round, epoch, initial or upload.
        index: which stage, round or epoch, from 1.
        organization: whose prompts, canaries or files were used.
        values: the scores by name, such as `LINES`.
    """

    model: Key
    name: str
    run: str
    seed: int
    moment: str
    index: int
    organization: str
    values: Mapping[str, float]

    def row(self) -> dict[str, Any]:
        """As JSON."""
        return asdict(self)
