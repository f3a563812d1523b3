import pytest

from raysim.core.errors import InputError
from raysim.core.settings import validate
from raysim.measures.memorization.settings import MemorizationSettings


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
