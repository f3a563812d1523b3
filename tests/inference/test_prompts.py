"""Prompts as the engine takes them."""

from collections.abc import Callable
from dataclasses import dataclass

import pyarrow as pa

from raysim.inference.prompts import prompt_id, split_batches

Make = Callable[..., pa.Table]
TEXTS = ("def f(", "x", "return abc\n(", "def g(", "a.b")


@dataclass(frozen=True)
class Chosen:
    """Implements `raysim.inference.settings.Sampling`."""

    batch_size: int
    samples: int = 2
    new_tokens: int = 20
    temperature: float = 1.0
    top_p: float = 1.0
    repetition_penalty: float = 1.0
    stop: tuple[str, ...] = ("a",)
    clean_up_spaces: bool = False


def test_a_prompt_is_named_by_kind_and_tokens() -> None:
    assert prompt_id("prefix", [1, 2]) == prompt_id("prefix", [1, 2])
    assert len({prompt_id("prefix", [1, 2]), prompt_id("function", [1, 2]), prompt_id("prefix", [12])}) == 3
    assert len(prompt_id("prefix", [])) == 16


def test_batches_are_a_function_of_content_and_splitting_again_changes_nothing(make_prompts: Make) -> None:
    chosen = Chosen(batch_size=6)
    table = pa.concat_tables([make_prompts(*TEXTS), make_prompts("a", "bb", "cc\n", kind="function")])
    batches = split_batches(table, chosen)
    backwards = split_batches(table.take(list(range(len(table)))[::-1]), chosen)
    assert [batch["prompt"].to_pylist() for batch in batches] == [batch["prompt"].to_pylist() for batch in backwards]
    assert [len(batch) for batch in batches] == [3, 3, 2]
    assert all(len(set(batch["kind"].to_pylist())) == 1 for batch in batches)
    for batch in batches:
        (again,) = split_batches(batch, chosen)
        assert again.equals(batch)
