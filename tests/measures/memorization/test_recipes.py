"""What options of memorization add to recipes where they are on, and that they add nothing where they are off."""

import dataclasses
from typing import Any

import pytest
from keyed_work import BASE, stats

from raysim.core.keys import key_of
from raysim.measures.memorization import settings as settings_module
from raysim.measures.memorization.recipes import (
    copies_recipe,
    generation_recipe,
    neutral_generation_recipe,
    prompts_recipe,
    renamed_chance_recipe,
    renamed_recipe,
)
from raysim.measures.memorization.settings import MemorizationSettings, PromptCounts
from raysim.simulation.run_context import RunContext

OF_FUNCTIONS = MemorizationSettings(prompts=PromptCounts(function=3))
OF_PREFIXES = MemorizationSettings(prompts=PromptCounts(prefix=3))


def settings(**output_filter: Any) -> MemorizationSettings:
    return MemorizationSettings.model_validate({"prompts": {"prefix": 1}, "output_filter": output_filter})


def keys(chosen: MemorizationSettings, **names: str) -> tuple[str, str]:
    context = dataclasses.replace(
        BASE.context,
        client_stats={
            name: dataclasses.replace(stats(name), train_fingerprint=names.get(name, f"train {name}")) for name in "ab"
        },
    )
    recipes = (
        generation_recipe(context, "model", "a", chosen),
        neutral_generation_recipe(context, "model", "neutral", chosen),
    )
    return key_of(recipes[0]), key_of(recipes[1])


def test_without_a_filter_recipes_do_not_name_it() -> None:
    plain = MemorizationSettings.model_validate({"prompts": {"prefix": 1}})
    assert "output_filter" not in generation_recipe(BASE.context, "model", "a", plain)
    assert all(one != other for one, other in zip(keys(plain), keys(settings()), strict=True))
    # Then another organization's training split says nothing about the answers.
    assert keys(plain) == keys(plain, b="other")


def test_with_one_every_training_split_decides() -> None:
    assert all(one != other for one, other in zip(keys(settings()), keys(settings(), b="other"), strict=True))


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ({}, {"lines": 6}, True),
        ({}, {"lines": 5}, False),
        ({}, {"action": "resample"}, False),
        ({}, {"attempts": 5}, True),  # of another action
        ({"action": "resample"}, {"action": "resample", "attempts": 5}, False),
        ({}, {"false_positive_rate": 1e-5}, False),
        ({}, {"window_in_prompt": True}, False),
    ],
)
def test_each_setting_decides_where_it_acts(one: dict[str, Any], other: dict[str, Any], same: bool) -> None:
    assert (keys(settings(**one)) == keys(settings(**other))) == same


def test_its_version_decides(monkeypatch: pytest.MonkeyPatch) -> None:
    before = keys(settings())
    monkeypatch.setattr(settings_module, "OUTPUT_FILTER_VERSION", 1000)
    assert keys(settings()) != before


def context_of(*languages: Any) -> RunContext:
    stats = dataclasses.replace(BASE.context.client_stats["a"], languages=languages)
    return dataclasses.replace(BASE.context, client_stats={**BASE.context.client_stats, "a": stats})


def recipes(context: RunContext, settings: MemorizationSettings) -> list[dict[str, Any]]:
    return [
        generation_recipe(context, "model", "a", settings),
        prompts_recipe(context, "a", settings, "references"),
        copies_recipe(context, "a", settings),
    ]


def test_grammars_are_in_the_recipes_of_functions_of_other_languages_alone() -> None:
    """Python parses itself, and prefixes are no functions: their keys are what they were."""
    for recipe in recipes(context_of("go", "python"), OF_FUNCTIONS):
        assert recipe["prompts"]["grammars"].startswith("tree-sitter 0.")
        assert "tree-sitter-go 0." in recipe["prompts"]["grammars"]
    for context, settings in ((context_of("python"), OF_FUNCTIONS), (context_of("go"), OF_PREFIXES)):
        for recipe, plain in zip(recipes(context, settings), recipes(BASE.context, settings), strict=True):
            assert "grammars" not in recipe["prompts"]
            assert key_of(recipe) == key_of(plain)


def test_copies_under_other_names_are_in_no_recipe_but_their_own() -> None:
    off = BASE.memorization.model_copy(update={"renamed": None})
    for on, without in zip(recipes(BASE.context, BASE.memorization), recipes(BASE.context, off), strict=True):
        assert key_of(on) == key_of(without)
    for recipe in (renamed_recipe, renamed_chance_recipe):
        assert key_of(recipe(BASE.context, "a", BASE.memorization, ""))
        with pytest.raises(ValueError, match=r"memorization\.renamed is not set"):
            recipe(BASE.context, "a", off, "")
