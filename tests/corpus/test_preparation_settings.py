"""Defaults, former names, and what is asked of another domain."""

from typing import Any

import pytest

from raysim.core.errors import RenamedSetting
from raysim.corpus.preparation_settings import PreparationSettings
from raysim.corpus.split import SplitSettings


def test_defaults_are_the_studys() -> None:
    assert PreparationSettings().model_dump() == {
        "domain": "code",
        "min_sentences": 3,
        "exact_dedup": True,
        "drop_generated": True,
        "max_line_characters": 1000,
        "max_mean_line_characters": 100,
        "min_alphanumeric_share": 0.25,
        "min_characters_per_token": 1.5,
        "min_assignments": 5,
        "config_or_test_drop_probability": 0.7,
        "no_keyword_drop_probability": 0.7,
        "near_dedup": False,
        "near_dedup_jaccard": 0.85,
        "near_dedup_min_words": 10,
        "near_dedup_permutations": 256,
        "largest_file": 0.25,
        "split": {"train": 0.8, "valid": 0.2, "test": 0.0},
        "split_by": "file",
        "find_licences": "stated",
        "redact": {"secrets": "off", "personal": "off"},
        "truncate_files": None,
        "obfuscate": {"rename": False, "reorder": False, "comments": "keep", "reformat": False, "copies": 1},
    }


def test_the_former_share_of_validation_is_still_read() -> None:
    with pytest.warns(RenamedSetting, match="preparation.split"):
        old = PreparationSettings.model_validate({"validation_share": 0.3})
    assert old == PreparationSettings(split=SplitSettings(train=0.7, valid=0.3))
    with pytest.raises(ValueError, match="give split alone"):
        PreparationSettings.model_validate({"validation_share": 0.3, "split": {"valid": 0.3}})


@pytest.mark.parametrize(
    ("given", "named"),
    [
        ({"domain": "text", "min_assignments": 3}, "min_assignments: 3 is not asked of domain text"),
        ({"min_sentences": 4}, "min_sentences: 4 is not asked of domain code"),
        ({"domain": "text", "obfuscate": {"rename": True}}, "obfuscate: rewrites code, and this is prose"),
    ],
)
def test_a_setting_of_another_domain_is_refused(given: dict[str, Any], named: str) -> None:
    with pytest.raises(ValueError, match=named):
        PreparationSettings.model_validate(given)
    assert PreparationSettings.model_validate({**PreparationSettings.off().model_dump(), "domain": "text"})
