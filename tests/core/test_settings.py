"""Overrides: paths through mappings, and through the strategies by their labels."""

from typing import Any

import pytest

from raysim.core.errors import InputError
from raysim.core.settings import apply_overrides

RAW: dict[str, Any] = {
    "trainer": {"epochs": 2},
    "references": ["stdlib"],
    "strategies": [
        "single",
        {"fedavg": {"rounds": 2}},
        {"fedyogi": None},
        {"fedavg": {"rounds": 4, "label": "long"}},
    ],
    "measure": {"memorization": None},
}


def strategies(*overrides: str) -> list[Any]:
    return apply_overrides(RAW, list(overrides))["strategies"]


def test_mappings_are_made_on_the_way() -> None:
    result = apply_overrides(RAW, ["trainer.epochs=5", "model.config.n_layer=3", "measure.memorization.samples=1"])
    assert result["trainer"] == {"epochs": 5}
    assert result["model"] == {"config": {"n_layer": 3}}
    assert result["measure"] == {"memorization": {"samples": 1}}


@pytest.mark.parametrize(
    ("override", "place", "entry"),
    [
        ("strategies.single.label=alone", 0, {"single": {"label": "alone"}}),
        ("strategies.fedyogi.eta=0.03", 2, {"fedyogi": {"eta": 0.03}}),
        ("strategies.long.rounds=8", 3, {"fedavg": {"rounds": 8, "label": "long"}}),
        ("strategies.fedavg.rounds=3", 1, {"fedavg": {"rounds": 3}}),
        ("strategies.fedavg={rounds: 9}", 1, {"fedavg": {"rounds": 9}}),
    ],
)
def test_a_strategy_is_found_by_its_label(override: str, place: int, entry: dict[str, Any]) -> None:
    changed = strategies(override)
    assert changed[place] == entry
    assert changed[:place] + changed[place + 1 :] == RAW["strategies"][:place] + RAW["strategies"][place + 1 :]


def test_a_name_finds_an_entry_that_has_another_label() -> None:
    raw = {"strategies": [{"fedavg": {"label": "long"}}]}
    assert apply_overrides(raw, ["strategies.fedavg.rounds=3"]) == {
        "strategies": [{"fedavg": {"label": "long", "rounds": 3}}]
    }


def test_the_original_is_left_as_it_was() -> None:
    before = repr(RAW)
    strategies("strategies.single.label=alone", "raysim.strategies.fedavg.rounds=3", "trainer.epochs=9")
    assert repr(RAW) == before


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("trainer.epochs", ["expected name=value"]),
        ("trainer.epochs.more=1", ["'epochs' is not a mapping"]),
        ("references.stdlib.include=x", ["'references' is a list", "set the whole list"]),
        ("strategies.fedprox.mu=1", ["'fedprox'", "there are: single, fedavg, fedyogi, long"]),
        ("measure.strategies.x.y=1", ["no such"]),
    ],
)
def test_what_cannot_be_set_is_named(override: str, words: list[str]) -> None:
    raw = {**RAW, "measure": {"strategies": ["no such"]}} if "measure" in override else RAW
    words = ["'strategies' is a list"] if "measure" in override else words
    with pytest.raises(InputError) as raised:
        apply_overrides(raw, [override])
    assert all(word in str(raised.value) for word in [f"--set {override}", *words])


def test_two_entries_of_one_name_need_labels() -> None:
    raw = {"strategies": [{"fedavg": {"label": "a"}}, {"fedavg": {"label": "b"}}]}
    with pytest.raises(InputError, match="2 entries of strategies are called 'fedavg'"):
        apply_overrides(raw, ["strategies.fedavg.rounds=3"])
