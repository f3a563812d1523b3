"""Fewer epochs, rounds and passes, wherever an experiment says how many there are."""

import pytest
from loaded_experiments import loaded
from under_mitigations import strategies, under

from raysim.core.errors import InputError
from raysim.mitigations.registry import resolve


def test_fewer_epochs_and_rounds() -> None:
    """Rounds that nobody set are fewer, too, and what strategies say of epochs and passes themselves."""
    entries = ["centralized", "fedavg", {"fedyogi": {"rounds": 8, "local_epochs": 2}}, {"cyclic": {"passes": 5}}]
    entries.append({"incremental": {"epochs": 4}})
    before, found = strategies(loaded(strategies=entries)), under({"fewer_epochs": {"share": 0.25}}, strategies=entries)
    assert found.experiment.trainer.epochs == 2
    after = strategies(found)
    assert list(after) == list(before)
    assert after["fedavg"][1].rounds == max(1, round(before["fedavg"][1].rounds / 4))
    assert (after["fedyogi"][1].rounds, after["fedyogi"][1].local_epochs) == (2, 2)
    assert (after["cyclic"][1].passes, after["incremental"][1].epochs) == (2, 1)


def test_where_nothing_is_trained_twice_nothing_can_be_fewer() -> None:
    base = loaded(trainer={"epochs": 1}, strategies=["centralized", {"fedavg": {"rounds": 1}}])
    with pytest.raises(InputError, match=r"fewer_epochs: trainer\.epochs: 1 cannot be fewer; leave it out"):
        resolve(["fewer_epochs"], base.experiment.model_dump(mode="json"), "mitigations")
