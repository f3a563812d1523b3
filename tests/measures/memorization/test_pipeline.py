"""Prompts, generation, matching and clones in this process: what is in the tables, and that it is done once."""

from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from measured_models import MeasuredModels

from raysim.measures.memorization.pipeline import PROBE_TABLES, MemorizationMeasure, leaked_lines
from raysim.measures.memorization.settings import MemorizationSettings, PromptCounts

SHARED = {f"{i}.py": "".join(f"same_{i}_{j} = {j}\n" for j in range(30)) for i in range(3)}
SETTINGS = MemorizationSettings(
    prompts=PromptCounts(prefix=2), prefix_tokens=8, samples=2, new_tokens=6, min_lines=1, batch_size=2
)


def measured(models: MeasuredModels, times: int = 1) -> list[dict[str, list[pa.Table]]]:
    reached = models.model()

    async def work() -> Any:
        measure = MemorizationMeasure(models.context, models.executor, SETTINGS, 1, b"secret")
        return [await measure.tables({reached.checkpoint.model: reached}) for _ in range(times)]

    return models.run(work)


def rows(parts: list[pa.Table]) -> list[dict[str, Any]]:
    return [row for part in parts for row in part.to_pylist()]


@pytest.fixture
def models(tmp_path: Path) -> MeasuredModels:
    own = {path: text.replace("same", "own") for path, text in SHARED.items()}
    return MeasuredModels(tmp_path, {"alpha": SHARED, "beta": own})


def test_every_prompt_is_answered_as_often_as_asked(models: MeasuredModels) -> None:
    (tables,) = measured(models)
    assert tables.keys() == set(PROBE_TABLES)
    prompts = rows(tables["prompts"])
    assert [row["organization"] for row in prompts] == ["alpha"] * 2 + ["beta"] * 2
    expected = {(row["prompt"], sample) for row in prompts for sample in range(2)}
    # Of each sample a row, and one for each owner of lines.
    for name, number in (("generations", 8), ("samples", 16)):
        found = [(row["prompt"], row["sample"]) for row in rows(tables[name])]
        assert (len(found), set(found)) == (number, expected)
    assert {row["model"] for row in rows(tables["samples"])} == {models.context.run.initial_key()}


def test_asked_again_nothing_is_computed(models: MeasuredModels) -> None:
    first, second = measured(models, times=2)
    done = models.done()
    assert sorted(done) == sorted(
        ["prompts", "copies", "clones", "held_out_copies", "generate", "match"] * 2 + ["emissions", "study_counts"]
    )
    assert {name: rows(parts) for name, parts in second.items()} == {name: rows(parts) for name, parts in first.items()}


def test_a_prompt_of_two_organizations_is_counted_once(tmp_path: Path) -> None:
    models = MeasuredModels(tmp_path, {"alpha": SHARED, "beta": SHARED})
    (tables,) = measured(models)
    prompts = rows(tables["prompts"])
    # Nothing is left of beta's.
    assert [row["organization"] for row in prompts] == ["alpha", "alpha"]
    assert len(rows(tables["generations"])) == 2 * 2
    assert {row["places"] for row in rows(tables["copies"])} == {1}
    clones = {(row["organization"], row["other"]): row for row in rows(tables["clones"])}
    assert clones["alpha", "beta"]["covered"] == clones["alpha", "beta"]["lines"] == 60


def test_answers_are_matched_where_their_prompts_are(models: MeasuredModels) -> None:
    """The ledger has them go back there; nothing of a prompt leaves, not even hashed, for its answers to be matched."""
    measured(models)
    store = models.executor.store
    entries = [entry for key in store if (entry := store.peek(key))]
    moved = {
        kind: {entry.info["site"]: entry.info["crossings"] for entry in entries if entry.recipe["kind"] == kind}
        for kind in ("generate", "match")
    }
    for name in ("alpha", "beta"):
        (answers,) = moved["generate"][name]
        back, found = moved["match"][name]
        assert (answers["sender"], answers["receiver"]) == (name, "server")
        assert back == answers | {"sender": "server", "receiver": name}
        assert (found["sender"], found["receiver"], found["kind"]) == (name, "server", "match")
    (prompts, *_) = [entry for entry in entries if entry.recipe["kind"] == "prompts"]
    assert [row["kind"] for row in prompts.info["crossings"]] == ["prompt facts", "line hashes"]


def test_observers_receive_whose_lines_a_model_writes_once(models: MeasuredModels) -> None:
    """As the tables have it: of each organization, in answers to its own prompts."""
    (tables, _) = measured(models, times=2)
    samples = rows(tables["samples"])
    of = {row["prompt"]: row["organization"] for row in rows(tables["prompts"])}
    found = {one.organization: one.values for one in models.observer.scores}
    for name in ("alpha", "beta"):
        own = [row for row in samples if of[row["prompt"]] == name == row["owner"]]
        assert found[name] == {
            f"{kind}_lines": sum(r[kind] for r in own) / 2 for kind in ("exclusive", "covered", "shared")
        }
    assert len(models.observer.scores) == 2


def test_held_out_prompts_and_lines_of_others_do_not_count() -> None:
    samples = pa.Table.from_pylist(
        [
            {"prompt": prompt, "owner": owner, "exclusive": n, "covered": n + 1, "shared": 0}
            for prompt, owner, n in [("p", "a", 1), ("p", "a", 2), ("p", "b", 50), ("q", "a", 0), ("h", "a", 90)]
        ]
    )
    kinds = {"p": "prefix", "q": "function", "h": "held_out"}
    assert leaked_lines(samples, "a", kinds) == {"exclusive_lines": 1.5, "covered_lines": 3.0, "shared_lines": 0.0}
    assert leaked_lines(samples, "c", kinds) == {}
