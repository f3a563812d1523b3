import os
import signal
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from raysim.core.errors import InputError
from raysim.tasks.ray_data import fetch, map_tables


class Refuse:
    """A step that raises an error of ours."""

    def __init__(self, word: str) -> None:
        self.word = word

    def __call__(self, table: pa.Table) -> pa.Table:
        raise InputError(f"{self.word}: {len(table)} rows")


class OddError(InputError):
    """Cannot be unpickled: it takes two arguments, and pickle knows one."""

    def __init__(self, where: str, what: str) -> None:
        super().__init__(f"{where}: {what}")


class RefuseOddly:
    """A step that raises an error of somebody else, which is one of ours."""

    def __call__(self, table: pa.Table) -> pa.Table:
        raise OddError("prompts", "bad")


class Count:
    """A step that says how many tables its object has seen, and answers nothing to tables of one row."""

    def __init__(self) -> None:
        self.calls = 0

    def __call__(self, table: pa.Table) -> pa.Table:
        self.calls += 1
        return pa.table({"calls": [self.calls] * len(table)}).slice(1)


class Scale:
    """A step that multiplies by a factor which may be a reference, and says which rows it was given together."""

    def __init__(self, factors: dict[str, Any]) -> None:
        self.factors = factors

    def __call__(self, table: pa.Table) -> pa.Table:
        x = table["x"].to_numpy() * fetch(self.factors["f"])
        return pa.table({"x": x, "first": [table["x"][0].as_py()] * len(table)})


class Mortal:
    """A step that writes down what it begins, and whose process dies `deaths` times at the table that begins with 3."""

    def __init__(self, diary: Path, deaths: int) -> None:
        self.diary = diary
        self.deaths = deaths

    def __call__(self, table: pa.Table) -> pa.Table:
        first = table["x"][0].as_py()
        with self.diary.open("a") as file:
            file.write(f"{first}\n")
        if first == 3 and Counter(self.diary.read_text().split())["3"] <= self.deaths:
            os.kill(os.getpid(), signal.SIGKILL)
        return table


def test_inline_constructs_once_and_leaves_empty_answers_out() -> None:
    tables = [pa.table({"x": list(range(n))}) for n in (2, 1, 3)]
    assert [t["calls"].to_pylist() for t in map_tables(Count, {}, tables, 1, "inline")] == [[1], [3, 3]]


def test_ray_gives_the_same_rows_from_whole_tables(ray_session: None) -> None:
    import ray

    tables = [pa.table({"x": np.arange(start, start + 5)}) for start in range(0, 50, 5)]
    inline = pa.concat_tables(map_tables(Scale, {"factors": {"f": 3}}, tables, 1, "inline"))
    on_ray = pa.concat_tables(map_tables(Scale, {"factors": {"f": ray.put(3)}}, tables, 2, "ray"))
    assert on_ray.sort_by("x").equals(inline.sort_by("x"))


def test_our_errors_come_out_of_ray_as_they_are(ray_session: None) -> None:
    with pytest.raises(InputError, match=r"^prompts: 3 rows$"):
        list(map_tables(Refuse, {"word": "prompts"}, [pa.table({"x": np.arange(3)})], 1, "ray"))


def test_an_error_of_another_package_comes_out_as_the_nearest_of_ours(ray_session: None) -> None:
    """It need not survive pickling, and nothing that a worker sends is unpickled."""
    with pytest.raises(InputError, match=r"^prompts: bad$") as raised:
        list(map_tables(RefuseOddly, {}, [pa.table({"x": np.arange(3)})], 1, "ray"))
    assert type(raised.value) is InputError


def test_a_lost_worker_costs_what_it_had_begun_and_nothing_else(ray_session: None, tmp_path: Path) -> None:
    tables = [pa.table({"x": [number]}) for number in range(12)]
    arguments = {"diary": tmp_path / "diary", "deaths": 2}
    answers = list(map_tables(Mortal, arguments, tables, 2, "ray", retries=2))
    assert sorted(answer["x"][0].as_py() for answer in answers) == list(range(12))
    begun = Counter(map(int, (tmp_path / "diary").read_text().split()))
    assert begun == dict.fromkeys(range(12), 1) | {3: 3}


def test_a_table_that_ends_its_worker_every_time_is_tried_as_often_as_was_said(
    ray_session: None, tmp_path: Path
) -> None:
    from ray.exceptions import RayActorError

    diary = tmp_path / "diary"
    with pytest.raises(RayActorError):
        list(map_tables(Mortal, {"diary": diary, "deaths": 9}, [pa.table({"x": [3]})], 1, "ray", retries=1))
    assert diary.read_text().split() == ["3", "3"]


def test_nothing_to_map_starts_nothing() -> None:
    assert list(map_tables(Refuse, {"word": ""}, [], 2, "ray")) == []
