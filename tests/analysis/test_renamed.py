"""Lines under other names a prompt, and what chance gives, against sums by hand."""

from types import SimpleNamespace
from typing import Any

import pyarrow as pa
import pytest

from raysim.analysis.renamed import RenamedLines, chance_rates, exclusive_under_any_names, renamed_lines
from raysim.tables.io import schema

PROMPTS = {"p": "function", "q": "function", "r": "prefix"}


def of_tables(**tables: list[dict[str, Any]]) -> Any:
    return SimpleNamespace(table=lambda name: pa.Table.from_pylist(tables.get(name, []), schema(name)))


def counted(prompt: str, owner: str, lines: int, exclusive: int, hidden: int, sample: int = 0) -> dict[str, Any]:
    place = {"model": "m", "prompt": prompt, "sample": sample, "owner": owner}
    return {**place, "lines": lines, "covered": exclusive, "exclusive": exclusive, "hidden": hidden}


def chance(organization: str, owner: str, lines: int, covered: int, exclusive: int, hidden: int) -> dict[str, Any]:
    counts = {"lines": lines, "covered": covered, "exclusive": exclusive, "hidden": hidden}
    return {"organization": organization, "owner": owner, "files": 1, **counts}


RENAMED = [
    counted("p", "X", 10, 4, 1),
    counted("p", "Y", 10, 2, 2),
    counted("p", "X", 20, 0, 0, sample=1),
    counted("p", "Y", 20, 0, 0, sample=1),
    counted("q", "X", 10, 3, 0),
    counted("q", "Y", 10, 0, 0),
    counted("r", "X", 8, 8, 8),
    counted("r", "Y", 8, 0, 0),
]
CHANCE = [
    chance("X", "X", 100, 90, 80, 70),
    chance("Y", "X", 60, 6, 3, 3),
    chance("Z", "X", 40, 0, 0, 0),
    chance("X", "Y", 100, 30, 20, 10),
    chance("Z", "Y", 100, 10, 10, 10),
    chance("X", "Z", 0, 0, 0, 0),
]


def run(renamed: list[dict[str, Any]], control: list[dict[str, Any]]) -> Any:
    samples = [
        {"model": "m", "prompt": row["prompt"], "sample": row["sample"], "owner": row["owner"], "exclusive": 1}
        for row in renamed
    ]
    prompts = [{"prompt": prompt, "kind": kind} for prompt, kind in PROMPTS.items()]
    return of_tables(renamed=renamed, samples=samples, prompts=prompts, renamed_chance=control)


def test_a_model_has_one_number_over_the_prompts_that_count() -> None:
    assert exclusive_under_any_names(run(RENAMED, []), ["p", "q"]) == {"m": (4 + 2 + 3) / 2}
    assert exclusive_under_any_names(run(RENAMED, []), ["r", "other"]) == {"m": 8}
    assert exclusive_under_any_names(run([], []), ["p"]) == {}


def test_rates_are_of_other_organizations_held_out_lines() -> None:
    rates = chance_rates(run(RENAMED, CHANCE))
    assert rates == {
        "X": {"covered": 0.06, "exclusive": 0.03, "hidden": 0.03},
        "Y": {"covered": 0.2, "exclusive": 0.15, "hidden": 0.1},
    }


def test_lines_a_prompt_beside_chance() -> None:
    found = renamed_lines(run(RENAMED, CHANCE))
    functions, prefixes = found["m", "function"], found["m", "prefix"]
    assert (functions.verbatim, functions.renamed, functions.hidden) == (6 / 2, 9 / 2, 3 / 2)
    assert functions.chance == pytest.approx((40 * 0.03 + 40 * 0.1) / 2)
    assert (prefixes.verbatim, prefixes.renamed, prefixes.hidden) == (2, 8, 8)
    assert prefixes.chance == pytest.approx(8 * 0.03 + 8 * 0.1)


def test_without_others_there_is_no_chance() -> None:
    alone = [row for row in RENAMED if row["owner"] == "X"]
    assert renamed_lines(run(alone, CHANCE[:1]))["m", "prefix"] == RenamedLines(1, 8, 8, None)
    assert renamed_lines(of_tables()) == {}
