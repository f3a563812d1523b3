"""The study's counts of what models of a run wrote: by kind and owner, a fragment once, under either rules."""

from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from measured_models import MeasuredModels

from raysim.measures.memorization.client_functions import index_at
from raysim.measures.memorization.settings import MemorizationSettings, PromptCounts, StudyCountSettings
from raysim.measures.memorization.study import StudyCounts
from raysim.store.entries import Entry

TEXTS = {
    name: {f"{i}.py": "".join(f"{name}_{i}_{j} = {{{j}}}\n" for j in range(9)) for i in range(3)}
    for name in ("alpha", "beta")
}


@pytest.fixture
def models(tmp_path: Path) -> MeasuredModels:
    return MeasuredModels(tmp_path, TEXTS)


def counted(models: MeasuredModels, written: dict[str, list[tuple[str, str]]], simian: bool) -> list[dict[str, Any]]:
    """Counts of a model that wrote, in answer to the prompts of each organization, some (prompt, text)."""
    settings = MemorizationSettings(
        prompts=PromptCounts(prefix=1), min_lines=3, study_counts=StudyCountSettings(simian=simian)
    )
    model, asked = models.model(), []
    kinds = {prompt: prompt.rstrip("0123456789") for answers in written.values() for prompt, _ in answers}

    async def indexes() -> Any:
        asked.append(1)
        return {
            name: index_at(one, 3, b"secret", settings.study_counts.rules) for name, one in models.organizations.items()
        }

    def entry(name: str, answers: list[tuple[str, str]]) -> Entry:
        rows = [{"prompt": prompt, "sample": i, "text": text} for i, (prompt, text) in enumerate(answers)]
        recipe = {"kind": "generate", "version": 1, "of": name, "answers": answers}
        return models.executor.store.put(recipe, {}, None, {"generations": pa.Table.from_pylist(rows)})

    async def work() -> Any:
        study = StudyCounts(models.executor, models.context.run, settings, kinds)
        generated = {(model.checkpoint.model, name): entry(name, answers) for name, answers in written.items()}
        first, again = [
            await study.tables({model.checkpoint.model: model}, generated, indexes, b"secret") for _ in range(2)
        ]
        assert [t.to_pylist() for t in first] == [t.to_pylist() for t in again]
        return [row for table in first for row in table.to_pylist()]

    found = models.run(work)
    assert asked == [1]
    assert {row["model"] for row in found} == {model.checkpoint.model}
    return found


def test_counts_by_kind_and_owner(models: MeasuredModels) -> None:
    own = models.organizations["alpha"].corpus.train[0].text.splitlines()
    other = models.organizations["beta"].corpus.train[0].text.splitlines()
    written = {
        "alpha": [("function1", "\n".join(own[:4])), ("function1", "x\n" + "\n".join(own[:4])), ("prefix1", "nothing")],
        "beta": [("function2", "\n".join(other[2:5])), ("function3", "\n".join(own[:4]).upper())],
    }
    exact = {(r["kind"], r["owner"]): r for r in counted(models, written, False)}
    assert set(exact) == {(kind, owner) for kind in ("function", "prefix") for owner in ("", "alpha", "beta")}
    assert {row["simian"] for row in exact.values()} == {False}
    every = exact["function", ""]
    assert (every["prompts"], every["samples"], every["fragments"], every["lines"]) == (3, 4, 2, 4 + 3)
    assert (every["fragments_per_prompt"], every["lines_per_prompt"]) == (2 / 3, 7 / 3)
    assert (exact["function", "alpha"]["fragments"], exact["function", "beta"]["lines"]) == (1, 3)
    assert (exact["prefix", ""]["prompts"], exact["prefix", ""]["fragments"]) == (1, 0)


def test_counts_under_the_rules_of_simian(models: MeasuredModels) -> None:
    """In capitals and without braces it is another text, and the same fragment."""
    own = models.organizations["alpha"].corpus.train[0].text
    written = {"alpha": [("function1", own.upper()), ("function2", own.replace("{", "").replace("}", "\n}"))]}
    exact, simian = ({r["owner"]: r for r in counted(models, written, rules)} for rules in (False, True))
    assert (exact["alpha"]["fragments"], exact["alpha"]["lines"]) == (0, 0)
    assert (simian["alpha"]["fragments"], simian["alpha"]["lines"]) == (1, 9)
    assert simian["alpha"]["simian"]
