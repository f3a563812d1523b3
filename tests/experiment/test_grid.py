"""The grid of a sweep: its order, its names, and what is refused."""

import itertools
import json
import re
from typing import Any

import hypothesis
import hypothesis.strategies as st
import pytest

from raysim.experiment.grid import check_sweep, grid, short_names


def test_the_last_setting_is_the_fastest() -> None:
    points = grid({"trainer.learning_rate": [1e-3, 3e-3], "strategies.fedyogi.eta": [0.01, 0.03]})
    assert [point.name for point in points] == [
        "learning_rate=0.001,eta=0.01",
        "learning_rate=0.001,eta=0.03",
        "learning_rate=0.003,eta=0.01",
        "learning_rate=0.003,eta=0.03",
    ]
    assert [point.number for point in points] == [1, 2, 3, 4]
    assert points[1].overrides == ("sweep={}", "trainer.learning_rate=0.001", "strategies.fedyogi.eta=0.03")


@pytest.mark.parametrize(
    ("paths", "names"),
    [
        (["trainer.epochs", "model.dropout"], ["epochs", "dropout"]),
        (["strategies.fedyogi.eta", "strategies.fedadam.eta"], ["fedyogi.eta", "fedadam.eta"]),
        (["organizations.a.limit", "organizations.b.limit", "seed"], ["a.limit", "b.limit", "seed"]),
        (["eta", "strategies.fedyogi.eta"], ["eta", "fedyogi.eta"]),
        (["x.b.c", "y.b.c", "y.c"], ["x.b.c", "y.b.c", "y.c"]),
    ],
)
def test_names_take_as_much_of_a_path_as_they_need(paths: list[str], names: list[str]) -> None:
    assert list(short_names(paths).values()) == names


def test_values_are_made_fit_for_a_folder() -> None:
    points = grid({"organizations.a.limit": ["24 KB", "../x"], "strategies": [["single"], [{"fedavg": {"rounds": 2}}]]})
    assert [point.name for point in points] == [
        "limit=24-KB,strategies=single",
        "limit=24-KB,strategies=fedavg-rounds-2",
        "limit=x,strategies=single",
        "limit=x,strategies=fedavg-rounds-2",
    ]


@pytest.mark.parametrize("values", [["a/b", "a b"], ["A", "a"], ["x" * 200, "y"]])
def test_names_that_would_be_long_or_alike_are_numbers(values: list[str]) -> None:
    assert [point.name for point in grid({"tokenizer.pretrained": values})] == ["point-1", "point-2"]


sweeps = st.dictionaries(
    st.lists(st.sampled_from(["a", "b", "c"]), min_size=1, max_size=3).map(".".join),
    st.lists(
        st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=9),
        min_size=1,
        max_size=3,
        unique_by=json.dumps,
    ),
    min_size=1,
    max_size=3,
)


@hypothesis.given(sweep=sweeps)
def test_a_grid_is_the_product_under_unique_plain_names(sweep: dict[str, list[Any]]) -> None:
    points = grid(sweep)
    held = [tuple(json.loads(point.values[path]) for path in sweep) for point in points]
    assert held == list(itertools.product(*sweep.values()))
    names = [point.name for point in points]
    assert len(set(names)) == len(points)
    assert all(re.fullmatch(r"[A-Za-z0-9_.+=,-]{1,120}", name) for name in names)
    assert not {".", ".."} & set(names)


@pytest.mark.parametrize(
    ("sweep", "words"),
    [
        ({"trainer.epochs": []}, "trainer.epochs has no values"),
        ({"trainer..epochs": [1]}, "no path of a setting"),
        ({"": [1]}, "no path of a setting"),
        ({"a=b": [1]}, "no path of a setting"),
        ({"name": ["x"]}, "name cannot be swept"),
        ({"sweep.seed": [1]}, "sweep cannot be swept"),
        ({"trainer.epochs": [1, 2, 1]}, "trainer.epochs holds 1 twice"),
        ({"trainer": [{}], "trainer.epochs": [1]}, "lies within trainer"),
        ({"trainer.epochs": [float("nan")]}, "trainer.epochs has a value"),
        ({"seed": [{1, 2}]}, "seed has a value"),
    ],
)
def test_what_is_no_grid_is_refused(sweep: dict[str, list[Any]], words: str) -> None:
    with pytest.raises(ValueError, match=re.escape(words)):
        check_sweep(sweep)


def test_one_and_one_point_zero_are_two_values() -> None:
    check_sweep({"trainer.weight_decay": [1, 1.0, "1"]})
