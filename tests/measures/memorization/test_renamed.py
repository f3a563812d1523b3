"""Matches under other names in a run: chosen answers against brute force, the control, and what is asked for again."""

import random
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from blind_reference import line_counts
from measured_models import MeasuredModels

from raysim.corpus.files import SourceFile
from raysim.measures.memorization.client_functions import prompts_at
from raysim.measures.memorization.pipeline import MemorizationMeasure
from raysim.measures.memorization.recipes import generation_recipe
from raysim.measures.memorization.settings import MemorizationSettings, PromptCounts, RenamedSettings
from raysim.tables.schemas.generations import GENERATIONS

ROWS = (
    "{a} = {b} + {n}",
    "{a} = {b}.{c} * {b}",
    "{a}({b}, {c}, 'text')",
    "{a} = [{b}, {a}, {c}]",
    "del {a}, {b}",
    "assert {a} < {c}",
    "{a}.{b}({a}, key={c})",
)
MIN_TOKENS = 12
SETTINGS = MemorizationSettings(
    prompts=PromptCounts(prefix=2),
    prefix_tokens=8,
    samples=1,
    new_tokens=6,
    min_lines=2,
    renamed=RenamedSettings(min_tokens=MIN_TOKENS),
)


def code(seed: int, names: str) -> str:
    """Lines whose form is up to the seed, and whose names are up to `names`."""
    draw = random.Random(seed)
    lines = []
    for _ in range(10):
        row = draw.choice(ROWS)
        a, b, c = (names[draw.randrange(len(names))] * 2 for _ in range(3))
        lines.append(row.format(a=a, b=b, c=c, n=draw.randrange(100)))
    return "".join(f"{line}\n" for line in lines)


TEXTS = {
    name: {f"{i}.py": code(100 * number + i, "abcdefgh") for i in range(4)}
    for number, name in enumerate(("one", "two"))
}


@pytest.fixture
def models(tmp_path: Path) -> MeasuredModels:
    return MeasuredModels(tmp_path, TEXTS)


def disguised(text: str) -> str:
    """The text with names of its own, in another layout."""
    for name in "abcdefgh":
        text = text.replace(name * 2, f"other_{name}")
    return "\n" + text.replace("key=", "word=").replace(" = ", "  =  ").replace("\n", "  # why\n\n")


def answered(models: MeasuredModels, answers: dict[str, str], times: int = 1) -> list[dict[str, list[pa.Table]]]:
    """The tables of a model that answers all prompts of an organization alike; of each time that they are asked for."""
    reached = models.model()
    key = reached.checkpoint.model

    async def work() -> Any:
        for name, text in answers.items():
            prompts = prompts_at(models.organizations[name], SETTINGS, models.context.run.split_seed)
            rows = [
                {"prompt": p, "sample": 0, "text": text, "new_tokens": 1, "parses": None, "ended": "length"}
                for p in prompts["prompt"].to_pylist()
            ]
            table = pa.Table.from_pylist(
                rows, pa.schema([*GENERATIONS.without("model", "lines"), ("text", pa.string())])
            )
            recipe = generation_recipe(models.context.run, key, name, SETTINGS)
            models.executor.store.put(recipe, {}, None, {"generations": table})
        measure = MemorizationMeasure(models.context, models.executor, SETTINGS, 1, b"secret")
        return [await measure.tables({key: reached}) for _ in range(times)]

    return models.run(work)


def rows(parts: list[pa.Table]) -> list[dict[str, Any]]:
    return [row for part in parts for row in part.to_pylist()]


def splits(models: MeasuredModels, split: str) -> dict[str, list[str]]:
    found: dict[str, tuple[SourceFile, ...]] = {
        name: getattr(one.corpus, split) for name, one in models.organizations.items()
    }
    return {name: [source.text for source in files] for name, files in found.items()}


def test_answers_are_whose_they_are_under_any_names(models: MeasuredModels) -> None:
    """One model disguises a file of another organization, and repeats one as it is."""
    trained = splits(models, "train")
    answers = {"one": disguised(trained["two"][0]), "two": "\n" + trained["two"][0]}
    (tables,) = answered(models, answers)
    found = rows(tables["renamed"])
    assert len(found) == 2 * 2 * 2  # organizations that are asked, their prompts, owners
    for name, organization in models.organizations.items():
        prompts = prompts_at(organization, SETTINGS, models.context.run.split_seed)
        for prompt, text in zip(prompts["prompt"].to_pylist(), prompts["text"].to_pylist(), strict=True):
            expected = line_counts(text, answers[name], trained, [], MIN_TOKENS)
            mine = {row["owner"]: row for row in found if row["prompt"] == prompt}
            for owner, counts in expected.items():
                assert {column: mine[owner][column] for column in counts} == counts
            assert mine["two"]["covered"] == 10
            assert mine["two"]["exclusive"] > 0
            # What is repeated as it is hides nothing; of what is disguised verbatim matching sees nothing.
            assert mine["two"]["hidden"] == (mine["two"]["exclusive"] if name == "one" else 0)
    samples = [row for row in rows(tables["samples"]) if row["owner"] == "two"]
    assert sorted(row["covered"] for row in samples) == [0, 0, 10, 10]


def test_the_control_is_held_out_code_against_training_splits(models: MeasuredModels) -> None:
    (tables,) = answered(models, {"one": "", "two": ""})
    trained, held_out = splits(models, "train"), splits(models, "valid")
    found = {(row["organization"], row["owner"]): row for row in rows(tables["renamed_chance"])}
    assert found.keys() == {(a, b) for a in trained for b in trained}
    for (organization, owner), row in found.items():
        owners = trained if organization == owner else {owner: trained[owner]}
        counts = [line_counts("", text, owners, [], MIN_TOKENS)[owner] for text in held_out[organization]]
        assert row["files"] == len(held_out[organization])
        for column in counts[0]:
            assert row[column] == sum(count[column] for count in counts)


def test_asked_again_nothing_is_computed(models: MeasuredModels) -> None:
    first, second = answered(models, {"one": "\nx = 1", "two": ""}, times=2)
    assert [kind for kind in models.done() if kind.startswith("renamed")] == ["renamed"] * 2 + ["renamed_chance"] * 2
    for name in ("renamed", "renamed_chance"):
        assert rows(first[name]) == rows(second[name])


def test_the_ledger_has_what_moves_and_it_is_no_code(models: MeasuredModels) -> None:
    """Answers and their matches go to the organization that was asked, hashes of tokens to where they are compared."""
    answered(models, {"one": "\nx = 1", "two": ""})
    entries = [entry for key in models.executor.store if (entry := models.executor.store.peek(key))]
    moved = {
        kind: [
            (c["sender"], c["receiver"], c["kind"])
            for e in entries
            if e.recipe["kind"] == kind
            for c in e.info["crossings"]
        ]
        for kind in ("renamed", "renamed_chance")
    }
    assert sorted(moved["renamed"]) == sorted(
        [("server", n, "match") for n in ("one", "two") for _ in range(2)]
        + [(n, "server", "renamed") for n in ("one", "two")]
    )
    assert sorted(moved["renamed_chance"]) == [
        ("one", "server", "renamed_chance"),
        ("one", "two", "token hashes"),
        ("two", "one", "token hashes"),
        ("two", "server", "renamed_chance"),
    ]
