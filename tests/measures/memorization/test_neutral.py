"""Prompts from public code: which files they are from, what is known of them, and whose lines their answers repeat."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from keyed_work import BASE, Inputs, replaced
from measured_models import MeasuredModels

from raysim.core.errors import InputError
from raysim.core.keys import key_of
from raysim.corpus.files import SourceFile
from raysim.corpus.public_split import split_public
from raysim.corpus.split import SplitSettings
from raysim.measures.memorization.measure import Memorization
from raysim.measures.memorization.neutral import NeutralPrompts, check_neutral
from raysim.measures.memorization.pipeline import MemorizationMeasure
from raysim.measures.memorization.recipes import copies_recipe, neutral_generation_recipe, prompts_recipe
from raysim.measures.memorization.settings import MemorizationSettings, PromptCounts

BODY = "".join(f"    step_{j} = {j}\n" for j in range(6))
REFERENCES = tuple(
    SourceFile(f"lib/{i}.py", f'def public_{i}(x):\n    """Says {i}."""\n{BODY}    return {i}\n', "lib")
    for i in range(60)
)
HELD_OUT = split_public(REFERENCES, SplitSettings(), 0, 1).held_out
OWN = {f"{i}.py": "".join(f"own_{i}_{j} = {j}\n" for j in range(30)) for i in range(3)}
SETTINGS = MemorizationSettings(
    prompts=PromptCounts(prefix=2, neutral=3), prefix_tokens=8, samples=2, new_tokens=6, min_lines=2, batch_size=2
)


@pytest.fixture
def models(tmp_path: Path) -> MeasuredModels:
    copied = {**OWN, **{f"copy{i}.py": REFERENCES[i].text for i in range(4)}}
    models = MeasuredModels(tmp_path, {"alpha": OWN, "beta": copied})
    run = replace(models.context.run, trainer=models.context.run.trainer.model_copy(update={"sequence_length": 64}))
    models.context = replace(models.context, references=REFERENCES, held_out_references=HELD_OUT, run=run)
    return models


def test_they_are_functions_of_the_files_that_are_set_aside(models: MeasuredModels) -> None:
    neutral = NeutralPrompts(models.context, SETTINGS)
    paths = {source.path: source for source in HELD_OUT}
    rows = neutral.prompts.to_pylist()
    assert len(rows) == 3 < len(paths) < 30
    for row in rows:
        assert (row["kind"], row["organization"], row["eligible"]) == ("neutral", "(public)", False)
        assert row["text"] + row["truth"] == paths[row["file"]].text
    assert NeutralPrompts(models.context, SETTINGS).prompts.equals(neutral.prompts)


def rows_of(parts: list[pa.Table]) -> list[dict[str, Any]]:
    return [row for part in parts for row in part.to_pylist()]


def test_every_model_answers_them_and_everybodys_lines_are_looked_for(models: MeasuredModels) -> None:
    reached = models.model()

    async def work() -> Any:
        measure = MemorizationMeasure(models.context, models.executor, SETTINGS, 1, b"secret")
        return await measure.tables({reached.checkpoint.model: reached})

    tables = models.run(work)
    prompts = {row["prompt"]: row for row in rows_of(tables["prompts"])}
    neutral = {key for key, row in prompts.items() if row["kind"] == "neutral"}
    assert len(neutral) == 3
    assert len(prompts) == 2 + 2 + 3
    # Their continuation is alike in all references: six lines of steps, of which beta has copies.
    copies = sum(BODY in source.text for source in models.organizations["beta"].corpus.train)
    assert copies > 0
    assert {(prompts[key]["copies_within"], prompts[key]["copies_across"]) for key in neutral} == {(0, copies)}
    assert {prompts[key]["copies_public"] for key in neutral} == {60}
    samples = [row for row in rows_of(tables["samples"]) if row["prompt"] in neutral]
    assert len(samples) == 3 * 2 * 2
    assert {row["owner"] for row in samples} == {"alpha", "beta"}
    assert {row["organization"] for row in rows_of(tables["copies"]) if row["prompt"] in neutral} == {"alpha", "beta"}
    counts = {(row["kind"], row["owner"]): row["prompts"] for row in rows_of(tables["study_counts"])}
    assert counts == {(k, o): n for k, n in (("neutral", 3), ("prefix", 4)) for o in ("", "alpha", "beta")}
    planned = list(
        Memorization(SETTINGS).generations(models.context.at(reached.strategy_run.context), reached.checkpoint)
    )
    assert [one.tokens for one in planned] == [2 * 2 * 6, 2 * 2 * 6, 3 * 2 * 6]
    assert all(models.executor.store.has(key_of(one.recipe)) for one in planned)


def test_what_decides_the_answers_is_in_their_key() -> None:
    """The references' files and the number of prompts, and no organization's code."""

    def keys(inputs: Inputs, neutral: str = "files") -> set[str]:
        settings = replaced(inputs.memorization, "prompts.neutral", inputs.memorization.prompts.neutral or 3)
        arguments = (inputs.context, "a", settings, "references", neutral)
        recipes = neutral_generation_recipe(inputs.context, "model", neutral, settings), prompts_recipe(*arguments)
        return {key_of(recipe) for recipe in (*recipes, copies_recipe(inputs.context, "a", settings, neutral))}

    base = keys(BASE)
    assert not base & keys(BASE, "others")
    assert not base & keys(replaced(BASE, "memorization.prompts.neutral", 4))
    assert not base & keys(replaced(BASE, "context.split_seed", 2))
    assert len(base & keys(replaced(BASE, "context.seed", 2))) == 2
    assert keys(replaced(BASE, "memorization.prompts.function", 9)) == base
    assert keys(replaced(BASE, "context.client_stats.a.valid_fingerprint", "another")) == base


def test_they_need_references(models: MeasuredModels) -> None:
    check_neutral(models.context)
    with pytest.raises(InputError, match=r"prompts\.neutral: needs references .* there are none in all; write"):
        check_neutral(replace(models.context, references=(), held_out_references=()))
