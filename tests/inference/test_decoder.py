"""The logits of every step against a forward pass of Hugging Face's model over the whole sequence."""

import copy
from typing import Any

import pytest
from decoder_reference import worst

from raysim.inference.decoder import CacheDecoder, SharedPrefixDecoder
from raysim.inference.families import fuse_activations


@pytest.mark.parametrize(("attention", "decoder"), [("sdpa", SharedPrefixDecoder), ("eager", CacheDecoder)])
def test_logits_of_every_step_are_those_of_the_model(model: Any, attention: str, decoder: type) -> None:
    ours = copy.deepcopy(model)
    ours.set_attn_implementation(attention)
    fuse_activations(ours)
    assert worst(ours, model, decoder) < 1e-4  # logits reach 5


def test_bf16_is_as_near_to_the_exact_logits_as_the_model_itself(model: Any) -> None:
    """Both round, in other places: what counts is the distance to float32 arithmetic on the same rounded weights."""
    rounded = copy.deepcopy(model).bfloat16()
    exact = copy.deepcopy(rounded).float()
    own = copy.deepcopy(rounded)
    own.set_attn_implementation("eager")
    assert worst(rounded, exact, SharedPrefixDecoder) < 1.5 * worst(own, exact, CacheDecoder)
