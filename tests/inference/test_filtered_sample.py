"""Samples under an output filter, beside plain sampling without cache or batch and plain comparison of lines.

What is filtered is what the model itself writes: of each prompt's samples without a filter some are an owner's files.
"""

import itertools
from collections.abc import Callable
from typing import Any
from unittest import mock

import pyarrow as pa
import pytest
import torch
from tiny_models import CONFIGS, Characters

from raysim.core.bloom import BloomFilter
from raysim.corpus.files import SourceFile
from raysim.corpus.lines import significant_lines
from raysim.inference import engine
from raysim.inference.engine import FILTERED_SCHEMA, GENERATION_SCHEMA, Generator
from raysim.inference.output_filter import FILTERED, OutputFilter
from raysim.inference.prompts import open_line
from raysim.inference.sampling import draw, penalise_repetition, redrawn_uniforms, sample_uniforms
from raysim.matching.line_index import build_index
from raysim.matching.matches import match, prompt_context
from raysim.measures.memorization.settings import MemorizationSettings
from raysim.training.models import ModelSettings, build_model

LINES = 2
FEW = Characters("\nab\nc \nab\ncb\nac\nba\nbc\n")  # several tokens each: short lines, few ends of a file
PROMPTS = ("ab\na", "b\n", "a b", "\n\nb", "ba")


@pytest.fixture(params=["prefix", "function"])
def prompts(request: pytest.FixtureRequest) -> pa.Table:
    from raysim.inference.prompts import prompt_id

    tokens = [([0] if request.param == "function" else []) + FEW.encode(text) for text in PROMPTS]
    return pa.table(
        {
            "prompt": [prompt_id(request.param, row) for row in tokens],
            "kind": [request.param] * len(tokens),
            "organization": ["org"] * len(tokens),
            "tokens": pa.array(tokens, pa.list_(pa.int32())),
            "text": list(PROMPTS),
            "truth": [""] * len(tokens),
        }
    )


@pytest.fixture
def model() -> Any:
    return build_model(ModelSettings(config=CONFIGS["gpt2"]), FEW.vocab_size, FEW.bos_id, 96, seed=3)


def settings(**changes: Any) -> MemorizationSettings:
    base = {"prompts": {"prefix": 1}, "samples": 2, "new_tokens": 32, "stop": ["bcb", "a\nc"], "temperature": 1.0}
    return MemorizationSettings.model_validate({**base, "top_p": 0.95, "repetition_penalty": 1.0, **changes})


def generate(model: Any, prompts: pa.Table, chosen: MemorizationSettings, made: OutputFilter | None = None) -> pa.Table:
    return Generator(model, FEW, chosen, output_filter=made).generate(None, prompts, seed=3)


def filter_of(texts: list[str], attempts: int = 0) -> OutputFilter:
    index = build_index([SourceFile(f"{i}.py", text, "r") for i, text in enumerate(texts)], LINES, b"key")
    return OutputFilter(LINES, attempts, False, b"key", {"acme": BloomFilter.of(index.windows, 1e-12)})


def written(model: Any, prompts: pa.Table, chosen: MemorizationSettings) -> list[str]:
    """Files: of every other sample what follows its first line end."""
    texts = generate(model, prompts, chosen)["text"].to_pylist()
    return [text.partition("\n")[2] for text in texts[::2]]


def plain(model: Any, tokens: list[int], uniforms: Any, chosen: MemorizationSettings) -> list[int]:
    """New tokens, the whole sequence through the model for each."""
    start = len(tokens)
    tokens = list(tokens)
    with torch.inference_mode():
        for uniform in torch.from_numpy(uniforms):
            ids = torch.tensor([tokens])
            logits = penalise_repetition(model(input_ids=ids).logits[:, -1], ids, chosen.repetition_penalty)
            tokens.append(int(draw(logits, uniform[None], chosen.temperature, chosen.top_p)))
    return tokens[start:]


def ended(tokens: list[int], stops: tuple[str, ...]) -> str:
    """Their text up to where a file ends, or before a stop string."""
    text = FEW.decode(tokens[: tokens.index(0)] if 0 in tokens else tokens)
    return text[: min((at for stop in stops if (at := text.find(stop)) >= 0), default=len(text))]


def blocked_at(prompt: str, text: str, files: list[str]) -> int | None:
    """Where the first line of `text` begins that completes two lines of a file, both of them of the continuation."""
    pairs = {pair for file in files for lines in [significant_lines(file)[0]] for pair in itertools.pairwise(lines)}
    begun = open_line(prompt)[0]
    before, start = None, -len(begun)
    for number, line in enumerate((begun + text).split("\n")):
        own = line.strip() if number or text.partition("\n")[0].strip() else ""
        if own:
            if (before, own) in pairs:
                return max(0, start)
            before = own
        start += len(line) + 1
    return None


def expected(
    model: Any, row: dict[str, Any], sample: int, chosen: MemorizationSettings, files: list[str], attempts: int
) -> tuple[str, bool, int]:
    """The sample as it should be, whether it ends at a block, and in how many draws it was blocked."""
    stops = () if row["kind"] == "prefix" else chosen.stop
    uniforms = sample_uniforms(3, [row["prompt"]], sample + 1, chosen.new_tokens)[sample]
    tokens = plain(model, row["tokens"], uniforms, chosen)
    attempt = 0
    while True:
        attempt += 1
        text = ended(tokens, stops)
        at = blocked_at(row["text"], text, files)
        if at is None:
            return text, False, attempt - 1
        if attempt > attempts:
            return text[:at], True, attempt
        uniforms = redrawn_uniforms(3, [(row["prompt"], sample)], attempt, chosen.new_tokens)[0]
        kept = tokens[:at]  # a token is a character
        tokens = kept + plain(model, row["tokens"] + kept, uniforms[: chosen.new_tokens - at], chosen)


@pytest.mark.parametrize("attempts", [0, 2])
def test_samples_end_where_plain_ones_are_blocked(model: Any, prompts: pa.Table, attempts: int) -> None:
    chosen = settings()
    files = written(model, prompts, chosen)
    table = generate(model, prompts, chosen, filter_of(files, attempts))
    assert table.schema == FILTERED_SCHEMA
    by_id = {row["prompt"]: row for row in prompts.to_pylist()}
    blocked = 0
    for answer in table.to_pylist():
        text, stopped, blocks = expected(model, by_id[answer["prompt"]], answer["sample"], chosen, files, attempts)
        assert answer["text"] == text
        assert (answer["ended"] == FILTERED) == stopped
        assert len(answer["windows"]) == blocks
        assert (answer["lost_tokens"] > 0) == (blocks > 0)
        if stopped:
            assert answer["new_tokens"] == len(text)
        blocked += blocks
    assert blocked >= 3


@pytest.mark.parametrize("attempts", [0, 2])
def test_nothing_is_left_for_the_matcher(model: Any, prompts: pa.Table, attempts: int) -> None:
    chosen = settings(min_lines=LINES)
    files = written(model, prompts, chosen)
    index = {"acme": build_index([SourceFile(f"{i}.py", t, "r") for i, t in enumerate(files)], LINES, b"run")}
    context = prompt_context(prompts, LINES, b"run")

    def covered(made: OutputFilter | None) -> int:
        answers = generate(model, prompts, chosen, made)
        samples, _ = match(answers, context, index, None, LINES, b"run")
        return sum(samples["covered"].to_pylist())

    assert covered(None) > 10
    assert covered(filter_of(files, attempts)) == 0


@pytest.mark.parametrize("attempts", [0, 2])
def test_when_the_engine_looks_changes_nothing(model: Any, prompts: pa.Table, attempts: int) -> None:
    chosen = settings()
    made = filter_of(written(model, prompts, chosen), attempts)
    tables = []
    for steps in (1, 7, 16, 1000):
        with mock.patch.object(engine, "_CHECK_EVERY", steps):
            tables.append(generate(model, prompts, chosen, made))
    assert all(table.equals(tables[0]) for table in tables)


def test_prompts_whose_samples_are_all_blocked_leave_the_batch(model: Any, prompts: pa.Table) -> None:
    """A token that nobody needs is not computed: of every prompt all samples are in the filter."""
    chosen = settings()
    passes: list[int] = []
    made = filter_of(generate(model, prompts, chosen)["text"].to_pylist())
    hook = model.get_input_embeddings().register_forward_hook(lambda _, given, __: passes.append(given[0].numel()))
    try:
        counts = []
        for one in (None, made):
            passes.clear()
            generate(model, prompts, chosen, one)
            counts.append(sum(passes))
    finally:
        hook.remove()
    assert counts[1] < counts[0]


def test_tokens_taken_back_are_those_of_the_line(model: Any, prompts: pa.Table) -> None:
    """Up to its end, by the samples that nobody filters; a token is a character."""
    chosen = settings()
    free = generate(model, prompts, chosen)["text"].to_pylist()
    table = generate(model, prompts, chosen, filter_of(written(model, prompts, chosen)))
    lost = 0
    for text, answer in zip(free, table.to_pylist(), strict=True):
        if answer["ended"] == FILTERED:
            line = text[len(answer["text"]) :].partition("\n")[0]
            assert answer["lost_tokens"] == len(line)
            lost += len(line)
        else:
            assert answer["lost_tokens"] == 0
    assert lost > 0


def test_without_a_filter_there_are_no_further_columns(model: Any, make_prompts: Callable[..., pa.Table]) -> None:
    assert generate(model, make_prompts("a"), settings(samples=1, new_tokens=1)).schema == GENERATION_SCHEMA
