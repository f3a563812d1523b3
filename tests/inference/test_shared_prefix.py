import torch
from torch.nn.functional import scaled_dot_product_attention

from raysim.inference.shared_prefix import SharedPrefix

PROMPTS, SAMPLES, HEADS, LENGTH, DIM = 3, 4, 2, 7, 8
STEPS = 140
"""More than two blocks."""


def test_attention_equals_that_over_all_keys_of_each_row() -> None:
    """Against torch's own, row by row, with groups of query heads, padding, and prompts dropped on the way."""
    check(group=1, padded=False)
    check(group=3, padded=True)


def check(group: int, padded: bool) -> None:
    random = torch.Generator().manual_seed(group)
    keys, values = torch.randn(2, PROMPTS, HEADS, LENGTH, DIM, generator=random)
    mask = torch.arange(LENGTH) >= torch.tensor([0, 2, 5])[:, None]
    layer = SharedPrefix(keys, values, mask if padded else None, SAMPLES)
    past = [keys.repeat_interleave(SAMPLES, 0), values.repeat_interleave(SAMPLES, 0)]
    allowed = mask.repeat_interleave(SAMPLES, 0) | (not padded)
    for step in range(STEPS):
        if step in (20, 80):  # inside a block; the second time padding remains
            keep = torch.tensor([0, 2]) if step == 20 else torch.tensor([1])
            layer.select(keep)
            rows = (keep[:, None] * SAMPLES + torch.arange(SAMPLES)).flatten()
            past, allowed = [states[rows] for states in past], allowed[rows]
        rows = len(allowed)
        query = torch.randn(rows, HEADS * group, 1, DIM, generator=random)
        new = torch.randn(2, rows, HEADS, 1, DIM, generator=random)
        past = [torch.cat([before, states], 2) for before, states in zip(past, new, strict=True)]
        allowed = torch.cat([allowed, torch.ones(rows, 1, dtype=torch.bool)], 1)
        wanted = scaled_dot_product_attention(
            query, *past, attn_mask=allowed[:, None, None], scale=0.3, enable_gqa=True
        )
        got = layer.attend(query.flatten(1), new[0].flatten(1), new[1].flatten(1), 0.3)
        torch.testing.assert_close(got, wanted.flatten(1), rtol=1e-5, atol=1e-6)


def test_the_part_of_a_block_that_is_not_filled_counts_for_nothing() -> None:
    layer = SharedPrefix(torch.zeros(1, 1, 1, 2), torch.ones(1, 1, 1, 2), None, 1)
    # Equal scores for the prompt's value 1 and the own value 3: their mean.
    assert layer.attend(torch.ones(1, 2), torch.zeros(1, 2), torch.full((1, 2), 3.0), 1.0).tolist() == [[2.0, 2.0]]
