"""Kinds of work, with what progress and estimates need to know of each; a measure declares its own."""

from dataclasses import dataclass


@dataclass(frozen=True)
class WorkKind:
    """One kind of keyed work.

    Attributes:
        name: as in recipes, logs and tables.
        verb: what progress says that a client is doing.
        passes: forward passes that a token costs, for time left; 0 for work that takes no time worth telling.
        flop_per_parameter: FLOP that a token costs for each parameter of the model, for estimates.
    """

    name: str
    verb: str
    passes: float = 0.0
    flop_per_parameter: float = 0.0


TRAIN = WorkKind("train", "training", passes=3.0, flop_per_parameter=4)
"""A step is about three forward passes (Kaplan et al. 2020, arXiv 2001.08361). The FLOP are those of any parameter; one
that is trained costs two more, for its gradient."""

INITIAL = WorkKind("initial", "initializing")
AGGREGATE = WorkKind("aggregate", "aggregating")
SNAPSHOT = WorkKind("snapshot", "checkpointing")
"""The weights after an epoch of a stage, which come with the stage."""

TRAINING_KINDS: tuple[WorkKind, ...] = (TRAIN, INITIAL, AGGREGATE, SNAPSHOT)
