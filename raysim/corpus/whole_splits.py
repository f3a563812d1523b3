"""Looks for a split in which nobody is left without files of one kind, where code is little."""

from collections.abc import Iterable, Mapping

from raysim.core.errors import InputError
from raysim.corpus.preparation import prepare
from raysim.corpus.preparation_settings import PreparationSettings
from raysim.corpus.reading import SourceReading


def whole_split_seed(
    readings: Mapping[str, tuple[SourceReading, int | None]], settings: PreparationSettings, seeds: Iterable[int]
) -> int | None:
    """The first of `seeds` under which every organization has training and validation files; None: no one does.

    Args:
        readings: what the source of each organization gave, and its limit in bytes.
        settings: of preparation; tokens, of which there are none yet, are taken to be few.
        seeds: to try.
    """
    for seed in seeds:
        try:
            for name, (reading, limit) in readings.items():
                prepare(name, reading, settings, limit=limit, split_seed=seed, count_tokens=lambda text: 0)
        except InputError:
            continue
        return seed
    return None
