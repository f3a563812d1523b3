"""What is known before any model: asked of each organization once, and by which rules lines are indexed."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from measured_models import MeasuredModels

from raysim.corpus.files import SourceFile
from raysim.corpus.lines import LineRules
from raysim.matching.line_index import build_index
from raysim.measures.memorization.comparisons import Comparisons
from raysim.measures.memorization.settings import MemorizationSettings, PromptCounts

TEXTS = {
    name: {f"{i}.py": "".join(f"{name}_{i}_{j} = {{{j}}}\n" for j in range(30)) for i in range(3)}
    for name in ("alpha", "beta")
}
SETTINGS = MemorizationSettings(prompts=PromptCounts(prefix=2), prefix_tokens=8, min_lines=2)


@pytest.fixture
def models(tmp_path: Path) -> MeasuredModels:
    models = MeasuredModels(tmp_path, TEXTS)
    models.context = replace(models.context, references=(SourceFile("x.py", "x = 1\ny = 2\nz = 3\n", "r"),))
    return models


def test_indexes_are_those_of_the_training_splits_under_either_rules(models: MeasuredModels) -> None:
    async def work() -> Any:
        found = Comparisons(models.context, models.executor, SETTINGS, b"secret")
        simian = await found.indexes_by("simian")
        exact, reference = await found.indexes()
        assert (await found.indexes()) == (exact, reference)
        assert (await found.indexes_by("exact")) is exact
        return exact, reference, simian

    exact, reference, simian = models.run(work)
    for name, organization in models.organizations.items():
        indexes: tuple[tuple[LineRules, Any], ...] = (("exact", exact), ("simian", simian))
        for rules, found in indexes:
            expected = build_index(organization.corpus.train, 2, b"secret", rules)
            assert (found[name].windows == expected.windows).all()
        assert not (exact[name].windows == simian[name].windows).all()
    assert (reference.windows == build_index(models.context.references, 2, b"secret").windows).all()


def test_prompts_are_asked_for_once_and_leave_facts_alone(models: MeasuredModels) -> None:
    async def work() -> Any:
        found = Comparisons(models.context, models.executor, SETTINGS, b"secret")
        first = await found.prompt_stats()
        assert await found.prompt_stats() is first
        return first, await found.tables()

    stats, tables = models.run(work)
    assert list(stats) == ["alpha", "beta"]
    for one in stats.values():
        assert not {"text", "truth", "tokens"} & set(one.facts.column_names)
        assert one.facts["licence_header"].to_pylist() == [False, False]
    assert [table.num_rows for table in tables["prompts"]] == [2, 2]
    assert {row["other"] for table in tables["clones"] for row in table.to_pylist()} == {"alpha", "beta", "(public)"}
