import pytest

from raysim.config import validate
from raysim.errors import InputError
from raysim.memorization.settings import MemorizationSettings
from raysim.recipe import key_of


def keys(**changes: object) -> tuple[str, str, str]:
    settings = validate(MemorizationSettings, {"prompts": {"function": 3}, **changes}, "test")
    return (
        key_of(settings.prompt_recipe()),
        key_of(settings.generation_recipe("bf16")),
        key_of(settings.matching_recipe()),
    )


@pytest.mark.parametrize(
    ("change", "changed"),
    [
        ({"prompts": {"function": 4}}, (True, False, False)),
        ({"prompts": {"function": 3, "held_out": 1}}, (True, False, False)),
        ({"prefix_tokens": 32}, (True, False, False)),
        ({"function_tokens": 32}, (True, False, False)),
        ({"new_tokens": 64}, (True, True, False)),
        ({"samples": 1}, (False, True, False)),
        ({"temperature": 0}, (False, True, False)),
        ({"top_p": 1.0}, (False, True, False)),
        ({"repetition_penalty": 1.0}, (False, True, False)),
        ({"stop": ["\nwith"]}, (False, True, False)),
        ({"precision": "fp32"}, (False, True, False)),
        ({"precision": "bf16"}, (False, False, False)),  # what the trainer has
        ({"batch_size": 5}, (False, True, False)),
        ({"min_lines": 4}, (False, False, True)),
        ({"when": "every_stage"}, (False, False, False)),
    ],
)
def test_each_setting_is_in_the_recipes_it_belongs_to(change: dict[str, object], changed: tuple[bool, ...]) -> None:
    assert tuple(a != b for a, b in zip(keys(), keys(**change), strict=True)) == changed


def test_when_is_one_or_several() -> None:
    base = {"prompts": {"prefix": 1}}
    assert validate(MemorizationSettings, {**base, "when": "every_round"}, "test").when == ("every_round",)
    assert validate(MemorizationSettings, {**base, "when": ["final", "every_stage"]}, "test").when == (
        "final",
        "every_stage",
    )


@pytest.mark.parametrize(
    ("given", "field"),
    [
        ({"prompts": {}}, "prompts"),
        ({"prompts": {"function": -1}}, "prompts.function"),
        ({"prompts": {"neutral": 1}}, "prompts.neutral"),
        ({"prompts": {"prefix": 1}, "top_p": 0}, "top_p"),
        ({"prompts": {"prefix": 1}, "temperature": -0.1}, "temperature"),
        ({"prompts": {"prefix": 1}, "when": "sometimes"}, "when"),
        ({"prompts": {"prefix": 1}, "when": []}, "when"),
        ({"prompts": {"prefix": 1}, "stop": [""]}, "stop"),
    ],
)
def test_mistakes_are_named(given: dict[str, object], field: str) -> None:
    with pytest.raises(InputError, match=f"test: {field}"):
        validate(MemorizationSettings, given, "test")
