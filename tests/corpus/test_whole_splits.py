"""A seed under which everybody has files of both splits, beside each organization's own preparation."""

import pytest

from raysim.core.errors import InputError
from raysim.corpus.files import SourceFile
from raysim.corpus.preparation import prepare
from raysim.corpus.preparation_settings import PreparationSettings
from raysim.corpus.reading import SourceReading
from raysim.corpus.whole_splits import whole_split_seed

SETTINGS = PreparationSettings.off()


def reading(name: str, count: int) -> SourceReading:
    files = tuple(SourceFile(f"{n}.py", f"{name}_{n} = {n}\n" * 9, name) for n in range(count))
    return SourceReading(files, ())


def falls_apart(name: str, one: SourceReading, limit: int | None, seed: int) -> bool:
    try:
        prepare(name, one, SETTINGS, limit=limit, split_seed=seed, count_tokens=len)
    except InputError:
        return False
    return True


@pytest.mark.parametrize("limit", [None, 500])
def test_the_first_seed_that_leaves_nobody_empty(limit: int | None) -> None:
    readings = {name: (reading(name, count), limit) for name, count in {"a": 3, "b": 4, "c": 5}.items()}
    seeds = [n for n in range(1, 200) if all(falls_apart(name, *one, n) for name, one in readings.items())]
    assert seeds[0] > 1
    assert whole_split_seed(readings, SETTINGS, range(1, 200)) == seeds[0]
    assert whole_split_seed(readings, SETTINGS, range(1, seeds[0])) is None


def test_one_file_never_falls_apart() -> None:
    assert whole_split_seed({"a": (reading("a", 1), None)}, SETTINGS, range(20)) is None
