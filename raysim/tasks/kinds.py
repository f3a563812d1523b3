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
        token_s: seconds of a core for a token beside its FLOP: what steps of a small model cost whatever its size.
        piece_s: seconds of a core for a piece of work beside its tokens, with what follows from it, such as matching.
            Both were measured in this project on two cores of an AMD EPYC; a machine's own log corrects them.
    """

    name: str
    verb: str = ""
    doing: str = ""
    passes: float = 0.0
    flop_per_parameter: float = 0.0
    token_s: float = 0.0
    piece_s: float = 0.0


TRAIN = WorkKind("train", "train on", "training", passes=3.0, flop_per_parameter=4, token_s=1.5e-5, piece_s=0.1)
"""Two more FLOP are added for each parameter that is trained, for its gradient."""

FISHER = WorkKind(
    "fisher", "differentiate", "differentiating", passes=3.0, flop_per_parameter=6, token_s=1.5e-5, piece_s=0.05
)
"""The Fisher information of an organization's data: a gradient for each of some sequences."""

INITIAL = WorkKind("initial")
AGGREGATE = WorkKind("aggregate", doing="aggregating")
SNAPSHOT = WorkKind("snapshot")
"""The weights after an epoch of a stage, which come with the stage."""

TRAINING_KINDS: tuple[WorkKind, ...] = (INITIAL, TRAIN, FISHER, AGGREGATE, SNAPSHOT)
"""What every run does, whatever it measures."""
