"""Which models a measure is taken of, by the moment at which they exist."""

from dataclasses import dataclass

import pytest

from raysim.core.errors import InputError
from raysim.core.keys import Key
from raysim.core.settings import Settings, validate
from raysim.measures.perplexity import Perplexity, PerplexitySettings
from raysim.measures.when import CheckpointKinds, EveryRounds, When, named, wanted
from raysim.simulation.strategy import CheckpointKind, ModelCheckpoint


@dataclass(frozen=True)
class Asked:
    when: CheckpointKinds


class Written(Settings):
    when: CheckpointKinds = ("final",)


def of_round(index: int, final: bool = False, kind: CheckpointKind = "round") -> ModelCheckpoint:
    return ModelCheckpoint(Key("m"), kind, index, final)


@pytest.mark.parametrize("given", [{"every_rounds": 3}, [{"every_rounds": 3}], ["final", {"every_rounds": 3}]], ids=str)
def test_every_so_many_rounds_the_first_model_and_the_last(given: object) -> None:
    settings = validate(Written, {"when": given}, "test")
    assert [n for n in range(1, 11) if wanted(of_round(n, n == 10), settings)] == [3, 6, 9, 10]
    assert wanted(of_round(0, kind="initial"), settings)
    assert not wanted(of_round(3, kind="stage"), settings)
    both = validate(Written, {"when": [{"every_rounds": 4}, "every_stage", {"every_rounds": 3}]}, "test")
    assert [n for n in range(1, 10) if wanted(of_round(n), both)] == [3, 4, 6, 8, 9]
    assert wanted(of_round(1, kind="stage"), both)
    assert validate(Written, settings.model_dump(mode="json"), "test") == settings


@pytest.mark.parametrize(
    ("given", "problem"),
    [
        ({"every_rounds": 0}, r"when\.0\.mapping\.every_rounds: input should be greater than or equal to 1"),
        ({"every_round": 2}, r"when\.0\.mapping\.every_round: unknown key; known here: every_rounds"),
        ("sometimes", "input should be 'final', 'every_stage'"),
    ],
    ids=str,
)
def test_what_is_no_kind_of_models(given: object, problem: str) -> None:
    with pytest.raises(InputError, match=problem):
        validate(Written, {"when": given}, "test")


def test_kinds_as_they_are_written() -> None:
    assert [named("final"), named(EveryRounds(every_rounds=5))] == ["final", "{every_rounds: 5}"]


def test_losses_are_measured_of_all_models_or_of_those_that_are_asked_for() -> None:
    every, some = (Perplexity(validate(PerplexitySettings, one, "t")) for one in ({}, {"when": {"every_rounds": 2}}))
    assert [every.wants(of_round(n)) for n in (1, 2)] == [True, True]
    assert [some.wants(of_round(n)) for n in (1, 2)] == [False, True]
    assert [one.after_epochs(["a"]) for one in (every, some)] == [False, False]


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
