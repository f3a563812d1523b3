"""What memorization asks of a run before anything is read, and what it will take."""

from pathlib import Path
from typing import Any

import pytest

from raysim.corpus.planted_functions import PlantSettings
from raysim.measures.base import EvalContext, MeasureScope
from raysim.measures.memorization.extraction import extract_at
from raysim.measures.memorization.measure import Memorization
from raysim.measures.memorization.settings import MemorizationSettings
from raysim.simulation.strategy import ModelCheckpoint
from raysim.training.request import TrainerSettings

MODEL = ModelCheckpoint("model", "stage", 1, True)


def measure(**settings: Any) -> Memorization:
    defaults = {"prompts": {"prefix": 2}, "prefix_tokens": 10, "samples": 3, "new_tokens": 7}
    return Memorization(MemorizationSettings.model_validate(defaults | settings))


@pytest.fixture
def context(make_context, tokenizer: Any) -> EvalContext:
    """Of two organizations and a model whose context is 64 tokens."""
    return EvalContext(make_context({"a": 3, "b": 3}), tokenizer, (), {}, None, Path())


def test_a_passage_must_fit_into_a_training_sequence() -> None:
    extracting = measure(extraction={"prefix_tokens": [8, 16], "suffix_tokens": 48})
    extracting.check(MeasureScope(TrainerSettings(sequence_length=64), None))
    with pytest.raises(ValueError, match=r"16 tokens and a suffix of 48 do not fit into a training sequence of 63"):
        extracting.check(MeasureScope(TrainerSettings(sequence_length=63), None))


def test_prompts_of_planted_functions_need_some() -> None:
    asking = measure(prompts={"planted": 3})
    asking.check(MeasureScope(TrainerSettings(), None, PlantSettings()))
    with pytest.raises(ValueError, match=r"prompts\.planted: there are no planted functions; add plants"):
        asking.check(MeasureScope(TrainerSettings(), None))


@pytest.mark.parametrize(("prompts", "tokens"), [({"prefix": 1}, 17), ({"function": 1}, 0)])
def test_a_context_holds_a_prefix_and_its_continuation(prompts: dict[str, int], tokens: int) -> None:
    assert measure(prompts=prompts).context_tokens == tokens


def test_generated_tokens_are_counted_for_each_organization(context: EvalContext) -> None:
    planned = list(measure(prompts={"prefix": 2, "function": 1}).generations(context, MODEL))
    assert [one.tokens for one in planned] == [3 * 3 * 7] * 2
    assert all(one.batched and one.recipe["weights"] == "model" for one in planned)
    assert planned[0].recipe["corpus"] != planned[1].recipe["corpus"]


def test_only_where_it_is_asked_for_is_there_something_to_recite(context: EvalContext) -> None:
    assert list(measure().tasks(context, MODEL)) == []
    extraction = {"passages": 5, "prefix_tokens": [8, 16], "suffix_tokens": 4}
    tasks = list(measure(extraction=extraction).tasks(context, MODEL))
    assert [task.organization for task in tasks] == ["a", "b"]
    # Each of five passages is read with prefixes of 8 and 16 tokens and gone on with: 2 * 5 * (12 + 20).
    assert {(task.tokens, task.function, task.reads_model) for task in tasks} == {(320, extract_at, True)}


@pytest.mark.parametrize(
    ("prompts", "function_tokens", "num", "longest"),
    [
        ({"prefix": 2}, 512, 2, 10),
        ({"function": 4}, 512, 4, 57),  # a context of 64 leaves room for 7 new ones
        ({"held_out": 1}, 5, 1, 5),
        ({"prefix": 2, "function": 4}, 5, 6, 10),
    ],
)
def test_the_longest_prompt_that_there_may_be(
    context: EvalContext, prompts: dict[str, int], function_tokens: int, num: int, longest: int
) -> None:
    load = measure(prompts=prompts, function_tokens=function_tokens).generation_load(context)
    assert load is not None
    assert (load.num_prompts, load.prompt_tokens) == (num, longest)


def test_a_continuation_as_long_as_the_context_leaves_no_prompt(context: EvalContext) -> None:
    assert measure(prompts={"function": 1}, new_tokens=64).generation_load(context) is None


def test_prose_has_no_functions_to_ask_for() -> None:
    prose = MeasureScope(TrainerSettings(), None, PlantSettings(), domain="text")
    prefixes = {"held_out_prompts": "prefix", "stop": []}
    measure(prompts={"prefix": 1, "held_out": 1, "neutral": 1}, **prefixes).check(prose)
    for asked in ({"function": 1}, {"planted": 1, "prefix": 1}):
        with pytest.raises(ValueError, match="has no functions; ask for prefix alone"):
            measure(prompts=asked, **prefixes).check(prose)
    with pytest.raises(ValueError, match="held_out_prompts: prefix"):
        measure(prompts={"held_out": 1}).check(prose)
    with pytest.raises(ValueError, match=r"memorization\.renamed: prose .* has no names"):
        measure(prompts={"prefix": 1}, renamed={}, **prefixes).check(prose)
