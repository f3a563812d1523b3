import copy
from collections import Counter, defaultdict
from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch
from scipy import stats
from transformers import (
    LogitsProcessorList,
    RepetitionPenaltyLogitsProcessor,
    TemperatureLogitsWarper,
    TopPLogitsWarper,
)

from raysim.core.errors import InputError
from raysim.inference.engine import Generator
from raysim.inference.sampling import draw, penalise_repetition, sample_uniforms
from raysim.inference.settings import Numerics
from raysim.measures.memorization.settings import MemorizationSettings
from raysim.training.models import ModelSettings, build_model
from raysim.training.weights import flatten

Make = Callable[..., pa.Table]

LLAMA = {
    "hidden_size": 16,
    "intermediate_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "initializer_range": 0.5,
}


def settings(**changes: Any) -> MemorizationSettings:
    base = {"prompts": {"prefix": 1}, "samples": 2, "new_tokens": 20, "stop": ["a", "\nq"]}
    return MemorizationSettings.model_validate({**base, **changes})


def plain(
    model: Any, tokens: list[int], prompt: str, sample: int, chosen: MemorizationSettings, seed: int
) -> list[int]:
    """One sample without cache, padding or batch: the whole sequence goes through the model for each token."""
    uniforms = torch.from_numpy(sample_uniforms(seed, [prompt], sample + 1, chosen.new_tokens)[sample])
    tokens = list(tokens)
    start = len(tokens)
    with torch.inference_mode():
        for step in range(chosen.new_tokens):
            ids = torch.tensor([tokens])
            logits = penalise_repetition(model(input_ids=ids).logits[:, -1], ids, chosen.repetition_penalty)
            token = int(draw(logits, uniforms[step : step + 1], chosen.temperature, chosen.top_p))
            if token == 0:
                break
            tokens.append(token)
    return tokens[start:]


TEXTS = ("def f(", "x", "return abc\n(", "def g(", "a.b")


@pytest.mark.parametrize("temperature", [0, 0.8])
@pytest.mark.parametrize("texts", [TEXTS, ("abcd", "efgh", "ijkl")], ids=["padded", "equal lengths"])
@pytest.mark.parametrize("attention", ["sdpa", "eager"], ids=["shared prefix", "any attention"])
def test_batches_with_cache_equal_plain_sampling(
    model: Any, tokenizer: Any, make_prompts: Make, texts: tuple[str, ...], temperature: float, attention: str
) -> None:
    model.set_attn_implementation(attention)
    assert_like_plain(model, tokenizer, make_prompts(*texts), settings(temperature=temperature, top_p=0.9))
    assert model.config._attn_implementation == attention


def test_layers_with_sliding_windows_are_left_as_they_are(tokenizer: Any, make_prompts: Make) -> None:
    config = {**LLAMA, "model_type": "mistral", "sliding_window": 6}
    model = build_model(ModelSettings(config=config), tokenizer.vocab_size, tokenizer.bos_id, 64, seed=5)
    assert_like_plain(model, tokenizer, make_prompts(*TEXTS), settings(temperature=0.8))


def assert_like_plain(model: Any, tokenizer: Any, prompts: pa.Table, chosen: MemorizationSettings) -> None:
    table = Generator(model, tokenizer, chosen).generate(None, prompts, seed=3)
    assert len(table) == 2 * len(prompts)
    by_id = {row["prompt"]: row for row in prompts.to_pylist()}
    for row in table.to_pylist():
        prompt = by_id[row["prompt"]]
        wanted = plain(model, prompt["tokens"], row["prompt"], row["sample"], chosen, 3)
        assert row["text"] == tokenizer.decode(wanted)
        assert row["new_tokens"] == len(wanted)
        assert row["ended"] == ("length" if len(wanted) == chosen.new_tokens else "end of file")


@pytest.mark.parametrize("numerics", ["fp32", "bf16 in fp32"])
def test_samples_follow_the_exact_distribution(
    model: Any, rounded: Any, tokenizer: Any, make_prompts: Make, numerics: Numerics
) -> None:
    """Pairs of tokens: the masses are products of what the processors of transformers leave of the model's logits."""
    reference = model if numerics == "fp32" else rounded
    chosen = settings(samples=4000, new_tokens=2, batch_size=4000, temperature=0.9, top_p=0.8, repetition_penalty=1.3)
    prompts = make_prompts("abca")
    processors = LogitsProcessorList(
        [RepetitionPenaltyLogitsProcessor(1.3), TemperatureLogitsWarper(0.9), TopPLogitsWarper(0.8)]
    )

    def masses(tokens: list[int]) -> dict[int, float]:
        ids = torch.tensor([tokens])
        with torch.inference_mode():
            scores = processors(ids, reference(input_ids=ids).logits[:, -1])  # type: ignore[arg-type]
        return {token: mass for token, mass in enumerate(scores[0].double().softmax(0).tolist()) if mass}

    prompt = prompts["tokens"][0].as_py()
    wanted: dict[str, float] = defaultdict(float)
    for first, mass in masses(prompt).items():
        if first == 0:  # ends the file
            wanted[""] += mass
            continue
        for second, other in masses([*prompt, first]).items():
            wanted[tokenizer.decode([first, second])] += mass * other
    generator = Generator(copy.deepcopy(model), tokenizer, chosen, numerics=numerics)
    table = generator.generate(None, prompts, 5)
    counts = Counter(row["text"] for row in table.to_pylist())
    assert set(counts) <= set(wanted)
    # Rare pairs are counted as one, so that the statistic follows its distribution.
    common = [text for text, mass in wanted.items() if mass * len(table) >= 5]
    assert len(common) > 5
    observed = [counts[text] for text in common]
    expected = [wanted[text] * len(table) for text in common]
    if len(common) < len(wanted):
        observed.append(len(table) - sum(observed))
        expected.append(len(table) - sum(expected))
    assert stats.chisquare(observed, expected).pvalue > 0.001


def tokens_read(model: Any, generate: Callable[[], pa.Table]) -> tuple[list[int], pa.Table]:
    """How many tokens, padding included, the model is shown at each pass, and the answers."""
    passes: list[int] = []
    hook = model.get_input_embeddings().register_forward_hook(lambda _, given, __: passes.append(given[0].numel()))
    try:
        return passes, generate()
    finally:
        hook.remove()


@pytest.mark.parametrize("attention", ["sdpa", "eager"], ids=["shared prefix", "any attention"])
def test_each_prompt_is_read_once_and_each_new_token_once(
    model: Any, tokenizer: Any, make_prompts: Make, attention: str
) -> None:
    model.set_attn_implementation(attention)
    generator = Generator(model, tokenizer, settings(samples=3, new_tokens=10))
    passes, _ = tokens_read(model, lambda: generator.generate(None, make_prompts("abcd", "efgh"), 1))
    assert passes == [2 * 4] + [2 * 3] * 9  # the last token is nobody's context


def test_prompts_of_a_length_run_together_without_padding(model: Any, tokenizer: Any, make_prompts: Make) -> None:
    texts = ("abcdefgh", "b", "cdefghij", "d", "efghijkl", "f")
    generator = Generator(model, tokenizer, settings(samples=2, new_tokens=1, batch_size=6))
    passes, _ = tokens_read(model, lambda: generator.generate(None, make_prompts(*texts), 1))
    assert passes == [3 * 1, 3 * 8]


def test_prompts_whose_samples_have_all_ended_cost_nothing_more(model: Any, tokenizer: Any, make_prompts: Make) -> None:
    """At each look, once in 16 tokens, prompts leave if at most three quarters of those present go on."""
    prompts = make_prompts(*TEXTS, "ab", "cd", "ef", kind="function")
    chosen = settings(temperature=2.0, top_p=1.0, repetition_penalty=1, new_tokens=50, stop=["a", "b"])
    generator = Generator(model, tokenizer, chosen)
    passes, table = tokens_read(model, lambda: generator.generate(None, prompts, 1))
    last = [row["new_tokens"] + (row["ended"] == "end of file") for row in table.to_pylist()]
    present = [max(last[at : at + 2]) for at in range(0, len(last), 2)]
    wanted = []
    for done in range(1, 50):
        going = [end for end in present if end > done]
        if done % 16 == 0 and len(going) <= 0.75 * len(present):
            present = going
        if present:
            wanted.append(2 * len(present))
    assert passes[1:] == wanted
    assert len(set(passes[1:])) > 1
    free = chosen.model_copy(update={"stop": ("never",)})
    for cut, whole in zip(
        table.to_pylist(), Generator(model, tokenizer, free).generate(None, prompts, 1).to_pylist(), strict=True
    ):
        assert whole["text"].startswith(cut["text"])


def test_greedy_does_not_depend_on_other_prompts(model: Any, tokenizer: Any, make_prompts: Make) -> None:
    generator = Generator(model, tokenizer, settings(temperature=0))
    together = {(r["prompt"], r["sample"]): r for r in generator.generate(None, make_prompts(*TEXTS), 1).to_pylist()}
    for text in TEXTS:
        for row in generator.generate(None, make_prompts(text), 1).to_pylist():
            assert together[row["prompt"], row["sample"]] == row


def test_stop_strings_end_function_prompts_and_let_the_others_go_on(
    model: Any, tokenizer: Any, make_prompts: Make
) -> None:
    """With stops or without, a sample is the same up to its first stop; rows that ended leave the batch."""
    chosen = settings(temperature=1.5, top_p=1.0, new_tokens=50, samples=4)
    free = chosen.model_copy(update={"stop": ("never",)})
    prompts = make_prompts("def f(\n", "class\n", "\n", kind="function")
    cut, whole = (Generator(copy.deepcopy(model), tokenizer, s).generate(None, prompts, 1) for s in (chosen, free))
    reasons = set()
    for row, full in zip(cut.to_pylist(), whole.to_pylist(), strict=True):
        ends = [at for at in (full["text"].find(stop) for stop in chosen.stop) if at >= 0]
        assert row["text"] == full["text"][: min(ends, default=None)]
        assert row["ended"] == ("stop" if ends else full["ended"])
        if ends:
            stop = min(chosen.stop, key=lambda s: full["text"].find(s) % 10**6)
            assert row["new_tokens"] == len(row["text"]) + len(stop)  # a token a character
        reasons.add(row["ended"])
    assert "stop" in reasons
    assert len(reasons) > 1


def test_prefix_prompts_have_no_stop_strings(model: Any, tokenizer: Any, make_prompts: Make) -> None:
    chosen = settings(temperature=1.5, top_p=1.0, stop=list("abcdefgh"))
    rows = Generator(model, tokenizer, chosen).generate(None, make_prompts("xyz"), 1).to_pylist()
    assert {row["ended"] for row in rows} <= {"length", "end of file"}


def test_stop_string_of_the_prompt_does_not_stop(model: Any, tokenizer: Any, make_prompts: Make) -> None:
    rows = Generator(model, tokenizer, settings(stop=["zz"])).generate(None, make_prompts("zz", kind="function"), 1)
    assert {row["ended"] for row in rows.to_pylist()} <= {"length", "end of file"}


def test_continuation_stops_at_the_models_context(model: Any, tokenizer: Any, make_prompts: Make) -> None:
    chosen = settings(temperature=0, new_tokens=40)
    prompts = make_prompts("ab" * 15, "ab" * 25)
    lengths = {row["prompt"]: len(row["tokens"]) for row in prompts.to_pylist()}
    for row in Generator(model, tokenizer, chosen).generate(None, prompts, 1).to_pylist():
        limit = min(40, 64 - lengths[row["prompt"]])
        assert row["new_tokens"] == limit or row["ended"] == "end of file"
        assert row["new_tokens"] <= limit


def test_prompt_that_fills_the_context_is_refused(model: Any, tokenizer: Any, make_prompts: Make) -> None:
    with pytest.raises(InputError, match="64 tokens fills the model's context of 64"):
        Generator(model, tokenizer, settings()).generate(None, make_prompts("ab" * 32), 1)


def test_weights_are_exchanged(model: Any, tokenizer: Any, make_prompts: Make) -> None:
    other = copy.deepcopy(model)
    with torch.no_grad():
        for parameter in other.parameters():
            parameter.mul_(-0.7)
    chosen, prompts = settings(), make_prompts(*TEXTS)
    one, two = flatten(model), flatten(other)
    generator = Generator(model, tokenizer, chosen)
    first = generator.generate(one, prompts, 1)
    second = generator.generate(two, prompts, 1)
    assert second.equals(Generator(other, tokenizer, chosen).generate(None, prompts, 1))
    assert not first.equals(second)
    assert generator.generate(one, prompts, 1).equals(first)
    assert generator.generate(None, prompts, 1).equals(first)
    assert not generator.generate(None, prompts, 2).equals(first)


@pytest.mark.parametrize("numerics", ["bf16", "bf16 in fp32"])
def test_bf16_rounds_weights_and_keeps_the_threads_of_others(
    model: Any, tokenizer: Any, make_prompts: Make, numerics: Numerics
) -> None:
    weights = flatten(model)
    before = torch.get_num_threads()
    generator = Generator(model, tokenizer, settings(new_tokens=2), threads=before + 1, numerics=numerics)
    table = generator.generate(weights, make_prompts(*TEXTS), 1)
    rounded = torch.from_numpy(weights).bfloat16().float().numpy()
    assert np.array_equal(flatten(model), rounded)
    assert len(table) == 10
    assert torch.get_num_threads() == before
