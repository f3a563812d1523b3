"""The reference of settings: what `raysim settings` prints, and the page of the docs."""

import pytest

from raysim.core.errors import InputError
from raysim.experiment.reference import find_settings, settings_groups


def paths(key: str | None) -> list[str]:
    return [setting.path for setting in find_settings(key)]


def test_a_setting_has_type_default_and_meaning() -> None:
    (setting,) = find_settings("trainer.epochs")
    assert setting.plain() == {
        "setting": "trainer.epochs",
        "type": "integer, at least 1",
        "default": "10",
        "meaning": "passes over the data in a stage that is not federated",
    }
    required = find_settings("name")[0].plain()
    assert (required["type"], required["default"]) == ("text", "required")


def test_all_settings_are_there_once_and_say_what_they_mean() -> None:
    everything = find_settings(None)
    assert len(everything) == sum(len(group.owner.model_fields) for group in settings_groups())
    assert len({setting.path for setting in everything}) == len(everything) > 100
    assert not [setting.path for setting in everything if not (setting.type and setting.default)]


@pytest.mark.parametrize(
    ("key", "expected"),
    [
        ("organizations.acme.limit", "organizations.NAME.limit"),
        ("organizations.acme.agreement.share", "organizations.NAME.agreement.share"),
        ("references.packages", "references[].packages"),
        ("strategies.fedyogi.eta", "strategies.fedyogi.eta"),
        ("measure.memorization.prompts.prefix", "measure.memorization.prompts.prefix"),
        ("warmup_fraction", "trainer.warmup_fraction"),
    ],
)
def test_a_key_is_a_path_as_for_set_or_a_name(key: str, expected: str) -> None:
    assert paths(key) == [expected]


def test_a_group_has_all_below_it() -> None:
    assert {"tokenizer.train", "tokenizer.train.corpus", "tokenizer.pretrained"} <= set(paths("tokenizer"))
    assert all(path.startswith("tokenizer") for path in paths("tokenizer"))


@pytest.mark.parametrize(
    ("key", "advice"),
    [("trainer.epoch", "did you mean trainer.epochs"), ("learing_rate", "learning_rate"), ("§§", "lists all of them")],
)
def test_an_unknown_key_is_answered_with_those_like_it(key: str, advice: str) -> None:
    with pytest.raises(InputError, match=f"settings {key}: no such setting; .*{advice}"):
        find_settings(key)
