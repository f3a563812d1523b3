"""Which models a measure is taken of, by the moment at which they exist."""

from dataclasses import dataclass

import pytest

from raysim.core.keys import Key
from raysim.measures.when import CheckpointKinds, When, wanted
from raysim.simulation.strategy import CheckpointKind, ModelCheckpoint


@dataclass(frozen=True)
class Asked:
    when: CheckpointKinds


@pytest.mark.parametrize(
    ("when", "moments"),
    [
        ("final", set()),
        ("every_stage", {"initial", "stage"}),
        ("every_round", {"initial", "round"}),
        ("every_epoch", {"initial", "epoch of one", "epoch of all"}),
        ("every_pooled_epoch", {"initial", "epoch of all"}),
    ],
)
def test_moments(when: When, moments: set[str]) -> None:
    kinds: dict[str, tuple[CheckpointKind, str]] = {
        "initial": ("initial", ""),
        "stage": ("stage", "alpha"),
        "round": ("round", ""),
        "epoch of one": ("epoch", "alpha"),
        "epoch of all": ("epoch", ""),
    }
    settings = Asked((when,))
    checkpoints = {name: ModelCheckpoint(Key("m"), kind, 1, False, last) for name, (kind, last) in kinds.items()}
    assert {name for name, checkpoint in checkpoints.items() if wanted(checkpoint, settings)} == moments
    assert wanted(ModelCheckpoint(Key("m"), "stage", 1, True, "alpha"), settings), "final models always are"
