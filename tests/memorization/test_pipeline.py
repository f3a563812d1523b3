import logging
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
import ray

from raysim.corpus.files import SourceFile
from raysim.errors import InputError
from raysim.memorization.lineindex import build_index
from raysim.memorization.matching import match, prompt_context
from raysim.memorization.pipeline import GenerateStep, MatchStep, generation_blocks, map_tables, split_matches
from raysim.memorization.settings import MemorizationSettings, PromptCounts
from raysim.training.models import ModelSettings, build_model
from raysim.training.weights import flatten

SECRET = b"secret"
CONFIG = {"model_type": "gpt2", "n_layer": 2, "n_head": 2, "n_embd": 16, "initializer_range": 0.5}


@pytest.fixture(scope="module")
def ray_session() -> Iterator[None]:
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False, logging_level=logging.ERROR)
    yield
    ray.shutdown()


def sorted_table(tables: list[pa.Table]) -> pa.Table:
    table = pa.concat_tables(tables)
    return table.sort_by([(name, "ascending") for name in table.column_names])


class Refuse:
    """A step that raises an error of ours."""

    def __init__(self, word: str) -> None:
        self.word = word

    def __call__(self, table: pa.Table) -> pa.Table:
        raise InputError(f"{self.word}: {len(table)} rows")


class Count:
    """A step that says how many tables its instance has seen, and answers nothing to tables of one row."""

    def __init__(self) -> None:
        self.calls = 0

    def __call__(self, table: pa.Table) -> pa.Table:
        self.calls += 1
        return pa.table({"calls": [self.calls] * len(table)}).slice(1)


@pytest.fixture
def work(tokenizer: Any, make_prompts: Callable[..., pa.Table]) -> dict[str, Any]:
    settings = MemorizationSettings(
        prompts=PromptCounts(prefix=1), samples=2, new_tokens=24, min_lines=1, batch_size=4, temperature=1.0, top_p=0.9
    )
    model = ModelSettings(config=CONFIG)
    weights = {
        f"m{seed}": flatten(build_model(model, tokenizer.vocab_size, tokenizer.bos_id, 64, seed=seed))
        for seed in (1, 2)
    }
    prompts = pa.concat_tables(
        [make_prompts("abc", "a.b(\nc", "x", "y"), make_prompts("def f(\n", "def\n", kind="function")]
    )
    return {"settings": settings, "model": model, "weights": weights, "prompts": prompts, "tokenizer": tokenizer}


def generate(work: dict[str, Any], backend: Any, put: Callable[[Any], Any] = lambda value: value) -> list[pa.Table]:
    arguments = {
        "model": work["model"],
        "context": 64,
        "tokenizer": put(work["tokenizer"]),
        "settings": work["settings"],
        "weights": {name: put(flat) for name, flat in work["weights"].items()},
        "seed": 1,
        "precision": "fp32",
    }
    blocks = generation_blocks(work["prompts"], list(work["weights"]), work["settings"])
    return list(map_tables(GenerateStep, arguments, blocks, 2, backend))


def owned(generations: pa.Table, sample: int) -> Any:
    """An index of what the models wrote as one of their samples, so that there is something to match."""
    texts = generations.filter(pc.field("sample") == sample)["text"].to_pylist()
    return build_index([SourceFile("f.py", "\n".join(texts), "r")], 1, SECRET)


def matched(work: dict[str, Any], tables: list[pa.Table], backend: Any, put: Any = lambda value: value) -> Any:
    whole = sorted_table(tables)
    arguments = {
        "contexts": put(prompt_context(work["prompts"], work["settings"], SECRET)),
        "indexes": {"X": put(owned(whole, 0)), "Y": put(owned(whole.slice(0, 8), 1))},
        "reference": put(owned(whole.slice(0, 2), 0)),
        "settings": work["settings"],
        "secret": SECRET,
    }
    return split_matches(map_tables(MatchStep, arguments, tables, 2, backend))


def test_each_model_gets_its_own_weights(work: dict[str, Any]) -> None:
    both = pa.concat_tables(generate(work, "inline"))
    for name, flat in work["weights"].items():
        alone = generate({**work, "weights": {name: flat}}, "inline")
        mine = both.filter(pc.field("model") == name)
        assert sorted_table(alone).equals(sorted_table([mine]))
    assert len(both) == 2 * 6 * 2


def test_matches_are_those_of_match_by_model(work: dict[str, Any]) -> None:
    tables = generate(work, "inline")
    samples, matches = matched(work, tables, "inline")
    assert len(samples) == 2 * 6 * 2 * 2
    assert set(matches["owner"].to_pylist()) == {"X", "Y"}
    generations = pa.concat_tables(tables)
    index = owned(generations, 0)
    context = prompt_context(work["prompts"], work["settings"], SECRET)
    for name in work["weights"]:
        mine = generations.filter(pc.field("model") == name).drop_columns("model")
        alone, _ = match(mine, context, {"X": index}, None, work["settings"], SECRET)
        wanted = sum(alone["covered"].to_pylist())
        rows = [r for r in samples.to_pylist() if (r["model"], r["owner"]) == (name, "X")]
        assert sum(r["covered"] for r in rows) == wanted


def test_no_answers_give_empty_tables() -> None:
    samples, matches = split_matches([])
    assert samples.column_names[:4] == ["model", "prompt", "sample", "owner"]
    assert (len(samples), len(matches)) == (0, 0)


def test_inline_constructs_once_and_leaves_empty_answers_out() -> None:
    tables = [pa.table({"x": list(range(n))}) for n in (2, 1, 3)]
    assert [t["calls"].to_pylist() for t in map_tables(Count, {}, tables, 1, "inline")] == [[1], [3, 3]]


def test_generation_is_the_same_on_ray(ray_session: None, work: dict[str, Any]) -> None:
    inline, on_ray = generate(work, "inline"), generate(work, "ray", ray.put)
    assert sorted_table(on_ray).equals(sorted_table(inline))
    for a, b in zip(matched(work, inline, "inline"), matched(work, inline, "ray", ray.put), strict=True):
        assert sorted_table([a]).equals(sorted_table([b]))


def test_our_errors_come_out_of_ray_as_they_are(ray_session: None) -> None:
    with pytest.raises(InputError, match=r"^prompts: 3 rows$"):
        list(map_tables(Refuse, {"word": "prompts"}, [pa.table({"x": np.arange(3)})], 1, "ray"))


def test_nothing_to_map_starts_nothing() -> None:
    assert list(map_tables(Refuse, {"word": ""}, [], 2, "ray")) == []
