from collections.abc import Callable
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pytest

from raysim.core.arrow import table_of
from raysim.corpus.files import SourceFile
from raysim.inference.prompts import split_batches
from raysim.matching.line_index import build_index
from raysim.matching.matches import match, prompt_context
from raysim.measures.generation import GenerateStep
from raysim.measures.memorization.match_step import MatchStep
from raysim.measures.memorization.settings import MemorizationSettings, PromptCounts
from raysim.tasks.batch_jobs import WORK_SCHEMA
from raysim.tasks.ray_data import map_tables
from raysim.training.model_host import ModelSpec
from raysim.training.models import ModelSettings, build_model
from raysim.training.weights import flatten

SECRET = b"secret"
CONFIG = {"model_type": "gpt2", "n_layer": 2, "n_head": 2, "n_embd": 16, "initializer_range": 0.5}
SETTINGS = MemorizationSettings(
    prompts=PromptCounts(prefix=1), samples=2, new_tokens=24, min_lines=1, batch_size=4, temperature=1.0, top_p=0.9
)


@pytest.fixture
def prompts(make_prompts: Callable[..., pa.Table]) -> pa.Table:
    return pa.concat_tables(
        [make_prompts("abc", "a.b(\nc", "x", "y"), make_prompts("def f(\n", "def\n", kind="function")]
    )


def generate(tokenizer: Any, prompts: pa.Table, models: list[str], seeds: dict[str, int] | None = None) -> pa.Table:
    spec = ModelSpec(ModelSettings(config=CONFIG), tokenizer.vocab_size, tokenizer.bos_id, 64)
    batches = split_batches(prompts, SETTINGS)
    arguments = {
        "spec": spec,
        "tokenizer": tokenizer,
        "settings": SETTINGS,
        "numerics": "fp32",
        "threads": 1,
        "seeds": dict.fromkeys(models, 1) | (seeds or {}),
        "weights": {
            name: flatten(build_model(spec.settings, spec.vocab_size, spec.bos_id, 64, seed=int(name[1:])))
            for name in models
        },
        "prompts": {"org": batches},
        "judge": lambda text: text.startswith("def\n"),
    }
    rows = [{"model": m, "organization": "org", "batch": b} for b in range(len(batches)) for m in models]
    work = [pa.Table.from_pylist([row], schema=WORK_SCHEMA) for row in rows]
    return pa.concat_tables(map_tables(GenerateStep, arguments, work, 1, "inline"))


def test_each_model_gets_its_own_weights(tokenizer: Any, prompts: pa.Table) -> None:
    both = generate(tokenizer, prompts, ["m1", "m2"])
    assert both.num_rows == 2 * 6 * 2
    for name in ("m1", "m2"):
        mine = both.filter(pc.field("model") == name)
        assert generate(tokenizer, prompts, [name]).equals(mine.combine_chunks())


def test_each_model_is_sampled_with_the_seed_of_its_run(tokenizer: Any, prompts: pa.Table) -> None:
    """Two seeds of one job: the noise of sampling is not the same in both."""
    alone = [generate(tokenizer, prompts, ["m1"], {"m1": seed}) for seed in (1, 2)]
    assert not alone[0].equals(alone[1])
    both = generate(tokenizer, prompts, ["m1", "m2"], {"m2": 2})
    assert both.filter(pc.field("model") == "m1").combine_chunks().equals(alone[0])
    other = generate(tokenizer, prompts, ["m2"], {"m2": 2})
    assert both.filter(pc.field("model") == "m2").combine_chunks().equals(other)


def test_functions_are_judged_whole_and_prefixes_are_not(tokenizer: Any, prompts: pa.Table) -> None:
    answers = generate(tokenizer, prompts, ["m1"]).to_pylist()
    kinds = dict(zip(prompts["prompt"].to_pylist(), prompts["kind"].to_pylist(), strict=True))
    texts = dict(zip(prompts["prompt"].to_pylist(), prompts["text"].to_pylist(), strict=True))
    for answer in answers:
        prompt = answer["prompt"]
        expected = None if kinds[prompt] == "prefix" else texts[prompt] == "def\n"
        assert answer["parses"] is expected


def test_functions_of_other_languages_are_not_judged(tokenizer: Any, prompts: pa.Table) -> None:
    files = pa.array(["a.py", "a.go"] * (len(prompts) // 2))
    asked = prompts.drop_columns([n for n in ("file",) if n in prompts.column_names]).append_column("file", files)
    language = dict(zip(asked["prompt"].to_pylist(), asked["file"].to_pylist(), strict=True))
    kinds = dict(zip(prompts["prompt"].to_pylist(), prompts["kind"].to_pylist(), strict=True))
    judged = {
        (language[a["prompt"]], kinds[a["prompt"]] == "prefix", a["parses"] is None)
        for a in generate(tokenizer, asked, ["m1"]).to_pylist()
    }
    assert ("a.go", False, True) in judged
    assert ("a.py", False, False) in judged
    assert not {("a.go", False, False), ("a.py", False, True)} & judged


def test_matches_are_those_of_match(tokenizer: Any, prompts: pa.Table) -> None:
    generations = generate(tokenizer, prompts, ["m1"]).drop_columns("batch")
    text = "\n".join(generations["text"].to_pylist()[::2])
    index = build_index([SourceFile("f.py", text, "r")], 1, SECRET)
    context = prompt_context(prompts, SETTINGS.min_lines, SECRET)
    step = MatchStep(SETTINGS.min_lines, SECRET, {"X": index}, None, {"org": context})
    (row,) = step(generations).to_pylist()
    samples, matches = match(generations, context, {"X": index}, None, SETTINGS.min_lines, SECRET)
    assert (row["model"], row["organization"]) == ("m1", "org")
    assert table_of(row["samples"]).equals(samples)
    assert table_of(row["matches"]).equals(matches)
    assert sum(samples["covered"].to_pylist()) > 0
