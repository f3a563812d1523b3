from typing import Any

import torch
from transformers import DynamicCache

from raysim.inference.kv_cache import PreallocatedLayer, share_out


def test_cache_of_samples_grows_in_place_and_holds_what_a_dynamic_one_does() -> None:
    random = torch.Generator().manual_seed(1)
    plain, ours = DynamicCache(), DynamicCache()
    states = torch.randn(2, 3, 2, 5, 4, generator=random)  # keys and values of 3 prompts, 2 heads, 5 tokens
    for cache in (plain, ours):
        cache.update(states[0], states[1], 0)
    plain.batch_repeat_interleave(2)
    share_out(ours, 2, room=3)
    layer: Any = ours.layers[0]
    reference: Any = plain.layers[0]
    assert type(layer).__name__ == PreallocatedLayer.__name__
    place = layer.keys.data_ptr()
    for _ in range(3):
        key, value = torch.randn(2, 6, 2, 1, 4, generator=random)
        for got, wanted in zip(ours.update(key, value, 0), plain.update(key, value, 0), strict=True):
            assert torch.equal(got, wanted)
        assert layer.keys.data_ptr() == place
        assert ours.get_seq_length() == plain.get_seq_length()
    rows = torch.tensor([0, 1, 4, 5])
    ours.batch_select_indices(rows)
    plain.batch_select_indices(rows)
    assert torch.equal(layer.keys, reference.keys)
    assert torch.equal(layer.values, reference.values)
