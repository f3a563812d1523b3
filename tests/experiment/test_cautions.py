"""What a person should know before training: small validation splits, epochs that do not come out even."""

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from raysim.experiment.cautions import cautions, copy_cautions
from raysim.experiment.config import load_experiment

DEBUG = Path(__file__).parents[2] / "experiments" / "debug.yaml"


def found(files: int, num_bytes: int, *overrides: str) -> list[str]:
    stats: Any = SimpleNamespace(splits={"valid": {"files": files, "bytes": num_bytes}})
    return cautions(load_experiment(DEBUG, overrides), {"acme": stats})


@pytest.mark.parametrize(
    ("files", "num_bytes", "said"),
    [(1, 50_000, "1 file of 50,000 bytes"), (3, 900, "3 files of 900 bytes"), (0, 0, "0 files of 0 bytes")],
)
def test_a_validation_split_that_says_little_is_named(files: int, num_bytes: int, said: str) -> None:
    (caution,) = found(files, num_bytes)
    assert caution.startswith(f"organizations.acme: its validation split is {said}")
    assert found(2, 2_000) == []


@pytest.mark.parametrize(
    ("rounds", "epochs", "said"),
    [
        (3, 10, "rounds: 3 of trainer.epochs: 10 trains 9 epochs, 3 a round"),
        (4, 2, "rounds: 4 of trainer.epochs: 2 trains 4 epochs, 1 a round"),
        (7, 20, "rounds: 7 of trainer.epochs: 20 trains 14 epochs, 2 a round"),
    ],
)
def test_epochs_that_do_not_divide_are_counted(rounds: int, epochs: int, said: str) -> None:
    def strategies(**more: int) -> str:
        settings = {"rounds": rounds, **more}
        return f"strategies={json.dumps(['single', {'fedavg': settings}, {'fedyogi': {**settings, 'label': 'mine'}}])}"

    told = found(9, 90_000, strategies(), f"trainer.epochs={epochs}")
    assert [line.partition(";")[0] for line in told] == [f"strategies: fedavg: {said}", f"strategies: mine: {said}"]
    assert found(9, 90_000, strategies(), f"trainer.epochs={2 * rounds}") == []
    assert found(9, 90_000, strategies(local_epochs=1), f"trainer.epochs={epochs}") == []


def test_factors_that_are_averaged_apart_are_named() -> None:
    strategies = ["single", {"fedavg": {"adapters": "refactored"}}, {"fedyogi": {"label": "mine"}}, "scaffold"]
    for lora, apart in (({}, ["mine, scaffold"]), ({"train": "b"}, []), (None, [])):
        model = {"pretrained": "checkpoint", "lora": lora}
        told = found(9, 90_000, f"strategies={json.dumps(strategies)}", f"model={json.dumps(model)}")
        assert [line.split(": ")[1] for line in told if line.startswith("model.lora: ")] == apart


def test_copies_of_what_is_held_out_are_named_and_none_are_not() -> None:
    row = {
        "organization": "acme",
        "files": 8,
        "num_bytes": 1000,
        "copies": 1,
        "near": 2,
        "others": 2,
        "copied_bytes": 250,
    }
    (caution,) = copy_cautions([row, row | {"organization": "beta", "copies": 0, "near": 0}])
    assert caution.startswith(
        "organizations.acme: 3 of its 8 held-out files (25% of the bytes) are copies or near-copies"
    )
    assert "2 of them by others" in caution


def test_of_very_many_organizations_the_first_are_named_and_that_they_share_processes_is_said() -> None:
    stats: Any = SimpleNamespace(splits={"valid": {"files": 1, "bytes": 100}})
    loaded = load_experiment(DEBUG, ["execution.share_actors=true"])
    told = cautions(loaded, {f"org{number}": stats for number in range(1000)})
    assert [line.partition(":")[0] for line in told[:3]] == [f"organizations.org{number}" for number in range(3)]
    assert told[3] == "organizations: the same, with other numbers, holds for 997 more"
    assert told[4].startswith("execution.share_actors: 1,000 organizations live together in few processes")
    assert len(told) == 5
