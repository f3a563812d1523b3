"""Kinds of work, and what a token of each costs: said once, for progress, time left and estimates."""

from dataclasses import dataclass


@dataclass(frozen=True)
class WorkKind:
    """A kind of keyed work.

    Attributes:
        name: as recipes and the task log have it, for example ``train``.
        verb: what is done to tokens, for plans: "to score".
        doing: the same while it is done, for progress: "scoring".
        passes: forward passes that a token costs; 0 for work that is not counted in tokens. A training step is about
            three (Kaplan et al. 2020, arXiv 2001.08361); a generated token costs one, at about half the speed of a
            batch, since it comes in steps of one token a row.
        flop_per_parameter: FLOP a token and parameter (Kaplan et al. 2020).
    """

    name: str
    verb: str = ""
    doing: str = ""
    passes: float = 0.0
    flop_per_parameter: float = 0.0


TRAIN = WorkKind("train", "train on", "training", passes=3.0, flop_per_parameter=4)
"""Two more FLOP are added for each parameter that is trained, for its gradient."""

INITIAL = WorkKind("initial")
AGGREGATE = WorkKind("aggregate", doing="aggregating")
SNAPSHOT = WorkKind("snapshot")
"""The weights after an epoch of a stage, which come with the stage."""

TRAINING_KINDS: tuple[WorkKind, ...] = (INITIAL, TRAIN, AGGREGATE, SNAPSHOT)
"""What every run does, whatever it measures."""
