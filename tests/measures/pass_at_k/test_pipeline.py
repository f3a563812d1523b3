"""Problems in this process: which are asked, and what becomes of solutions."""

from pathlib import Path
from typing import Any

import pytest
from measured_models import MeasuredModels
from sandboxed import needs_isolation

from raysim.measures.pass_at_k.pipeline import PassAtKMeasure, licences_at
from raysim.measures.pass_at_k.problems import Problem
from raysim.measures.pass_at_k.settings import PassAtKSettings
from raysim.organizations.data_policy import DataPolicy
from raysim.store.transfers import SERVER

TEXTS = {
    name: {f"{i}.py": "".join(f"{name}_{i}_{j} = {j}\n" for j in range(9)) for i in range(3)}
    for name in ("alpha", "beta")
}
EASY = Problem("easy", "def f(x):\n    return x\n\n\ny = ", "import builtins", "0")
AGAIN = Problem("again", EASY.prompt, "assert False", "0")
LONG = Problem("long", "# a long prompt\n" * 40, "pass", "")
SETTINGS = PassAtKSettings(samples=3, k=(1,), new_tokens=5, min_lines=2)


@pytest.fixture
def models(tmp_path: Path) -> MeasuredModels:
    return MeasuredModels(tmp_path, TEXTS, DataPolicy(licences=("MIT",)))


def perform(models: MeasuredModels, step: str, *problems: Problem) -> Any:
    reached = models.model()

    async def work() -> Any:
        measure = PassAtKMeasure(models.context, problems, models.executor, SETTINGS, 1)
        return await getattr(measure, step)({reached.checkpoint.model: reached})

    return models.run(work)


def test_problems_with_the_same_prompt_are_asked_once_and_long_ones_never(models: MeasuredModels) -> None:
    (probe, task), *others = perform(models, "look_up", EASY, AGAIN, LONG).items()
    assert not others
    assert probe == (models.context.run.initial_key(), SERVER)
    assert (task.tokens, task.entry) == (1 * 3 * 5, None)


def test_where_no_prompt_fits_nothing_is_asked(models: MeasuredModels) -> None:
    assert perform(models, "look_up", LONG) == {}
    tables = perform(models, "tables", LONG)
    (row,) = tables["executions"][0].to_pylist()
    assert (row["problem"], row["samples"], row["too_long"], row["passed"]) == ("long", 3, 3, 0)
    assert tables["licences"] == tables["patterns"] == []
    assert models.done() == []


def test_solutions_are_held_against_the_training_split(models: MeasuredModels) -> None:
    alpha = models.organizations["alpha"]
    first, second = ("".join(f.text.splitlines(keepends=True)[:3]) for f in alpha.corpus.train[:2])
    table = licences_at(alpha, [first, "nothing = 1\n", second, first], 2).tables["licences"]
    assert table.to_pylist() == [{"licence": "not stated", "samples": 3, "lines": 9, "files": 2}]
    assert licences_at(alpha, [first], 4).tables["licences"].num_rows == 0


@needs_isolation
def test_solutions_are_executed_checked_and_held_against_every_corpus(models: MeasuredModels) -> None:
    tables = perform(models, "tables", EASY, AGAIN)
    counts = {row["problem"]: row for row in tables["executions"][0].to_pylist()}
    assert counts["again"]["passed"] == 0
    for row in counts.values():
        outcomes = ("passed", "wrong", "error", "timeout", "memory", "ended")
        assert sum(row[name] for name in outcomes) == row["samples"] == 3
    assert sorted(models.done()) == ["execute", "licences", "licences", "lint", "solve"]
    assert len(tables["licences"]) == 2
