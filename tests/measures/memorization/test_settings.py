import pytest

from raysim.core.errors import InputError
from raysim.core.settings import validate
from raysim.inference.settings import Scheme
from raysim.measures.memorization.settings import MemorizationSettings


def test_when_is_one_or_several() -> None:
    base = {"prompts": {"prefix": 1}}
    assert validate(MemorizationSettings, {**base, "when": "every_round"}, "test").when == ("every_round",)
    with pytest.raises(InputError, match=r"when: every_round in place of \{every_rounds: 2\}"):
        validate(MemorizationSettings, {**base, "when": {"every_rounds": 2}, "uploads": "every_round"}, "test")
    assert validate(MemorizationSettings, {**base, "when": ["final", "every_stage"]}, "test").when == (
        "final",
        "every_stage",
    )


@pytest.mark.parametrize(
    ("given", "field"),
    [
        ({"prompts": {}}, "prompts"),
        ({"prompts": {"function": -1}}, "prompts.function"),
        ({"prompts": {"natural": 1}}, "prompts.natural"),
        ({"prompts": {"prefix": 1}, "top_p": 0}, "top_p"),
        ({"prompts": {"prefix": 1}, "temperature": -0.1}, "temperature"),
        ({"prompts": {"prefix": 1}, "when": "sometimes"}, "when"),
        ({"prompts": {"prefix": 1}, "when": []}, "when"),
        ({"prompts": {"prefix": 1}, "stop": [""]}, "stop"),
        ({"prompts": {"prefix": 1}, "uploads": "every_stage"}, "uploads"),
        (
            {"prompts": {"prefix": 1}, "uploads": "every_round"},
            r"\(top level\): uploads: every_round needs the averages",
        ),
    ],
)
def test_mistakes_are_named(given: dict[str, object], field: str) -> None:
    with pytest.raises(InputError, match=f"test: {field}"):
        validate(MemorizationSettings, given, "test")


def test_extraction_has_no_repetition_penalty() -> None:
    """It would make the very tokens unlikely that a passage repeats."""
    given = {"prompts": {"prefix": 1}, "extraction": {}, "temperature": 0.7, "top_p": 0.9, "repetition_penalty": 1.3}
    settings = validate(MemorizationSettings, given, "test")
    assert settings.extraction_scheme == Scheme(0.7, 0.9, 1.0)
    assert settings.scheme == Scheme(0.7, 0.9, 1.3)
    assert settings.extraction_recipe()["scheme"]["repetition_penalty"] == 1.0


def test_neutral_prompts_are_in_no_key_of_an_organization() -> None:
    without = validate(MemorizationSettings, {"prompts": {"prefix": 1}}, "test")
    beside = validate(MemorizationSettings, {"prompts": {"prefix": 1, "neutral": 4}}, "test")
    assert without.prompt_recipe() == beside.prompt_recipe()
    assert (without.owned_prompts, beside.owned_prompts) == (1, 1)
    assert beside.neutral_recipe()["counts"] == {"neutral": 4}
