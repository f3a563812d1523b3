"""A split seed under which small corpora have training and validation files: where few files fall is chance."""

from collections.abc import Mapping
from functools import cache
from pathlib import Path

from raysim.core.errors import InputError
from raysim.corpus.preparation import prepare
from raysim.corpus.preparation_settings import PreparationSettings
from raysim.corpus.sources import SourceSettings, read_source

KEEP = PreparationSettings(
    min_assignments=0, min_characters_per_token=0, config_or_test_drop_probability=0, no_keyword_drop_probability=0
)
"""As in the tiny experiment."""


def splitting_seed(folders: Mapping[str, Path], twice: str = "") -> int:
    """The first seed that leaves no split of a folder empty, with every file and with those that `KEEP` keeps.

    Args:
        folders: by organization.
        twice: an organization of which each split shall have two files or more.
    """
    return _splitting_seed(tuple(folders.values()), tuple(1 + (name == twice) for name in folders))


@cache
def _splitting_seed(folders: tuple[Path, ...], least: tuple[int, ...]) -> int:
    readings = [read_source(SourceSettings(path=str(folder)), Path()) for folder in folders]
    for seed in range(1, 1000):
        try:
            for reading, few in zip(readings, least, strict=True):
                for settings in (KEEP, PreparationSettings.off()):
                    chosen = settings.model_copy(update={"split": settings.split.model_validate({"valid": 0.3})})
                    corpus = prepare("any", reading, chosen, limit=None, split_seed=seed, count_tokens=len)
                    if min(len(corpus.train), len(corpus.valid)) < few:
                        raise InputError("too few")
        except InputError:
            continue
        return seed
    raise AssertionError("some folder has too few files")
