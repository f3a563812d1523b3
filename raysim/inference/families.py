"""The forward pass for one new token a row, by family of models, over attention that shares prefixes.

Hugging Face's own forward builds masks and passes through wrappers at each token, and its caches hold a prompt once for
each sample. Here the same modules with the same weights are called in the same order, and a test compares the logits.
"""

from collections.abc import Callable
from typing import Any

import torch
from transformers.activations import GELUTanh, NewGELUActivation
from transformers.models.llama.modeling_llama import apply_rotary_pos_emb

from raysim.inference.shared_prefix import SharedPrefix

Step = Callable[[Any, torch.Tensor, torch.Tensor, list[SharedPrefix]], torch.Tensor]
"""Model, tokens and positions (int64 ``[rows]``) and what each layer attends to, to logits ``[rows, vocabulary]``."""


def _gpt2(model: Any, tokens: torch.Tensor, positions: torch.Tensor, layers: list[SharedPrefix]) -> torch.Tensor:
    body = model.transformer
    hidden = body.wte(tokens) + body.wpe(positions)
    for block, layer in zip(body.h, layers, strict=True):
        attention = block.attn
        query, key, value = _affine(attention.c_attn, block.ln_1(hidden)).chunk(3, 1)
        hidden += _affine(attention.c_proj, layer.attend(query, key, value, attention.scaling))
        inner = block.mlp.act(_affine(block.mlp.c_fc, block.ln_2(hidden)))
        hidden += _affine(block.mlp.c_proj, inner)
    return model.lm_head(body.ln_f(hidden))


def _affine(module: Any, hidden: torch.Tensor) -> torch.Tensor:
    """What GPT-2's `Conv1D` computes, without its changes of shape."""
    return torch.addmm(module.bias, hidden, module.weight)


def _llama(model: Any, tokens: torch.Tensor, positions: torch.Tensor, layers: list[SharedPrefix]) -> torch.Tensor:
    body = model.model
    hidden = body.embed_tokens(tokens)
    cosine, sine = body.rotary_emb(hidden[:, None], positions[:, None])
    for block, layer in zip(body.layers, layers, strict=True):
        attention, normed = block.self_attn, block.input_layernorm(hidden)
        query, key = (
            projection(normed).view(len(hidden), 1, -1, attention.head_dim)
            for projection in (attention.q_proj, attention.k_proj)
        )
        query, key = apply_rotary_pos_emb(query, key, cosine, sine, unsqueeze_dim=2)
        value = attention.v_proj(normed)
        hidden += attention.o_proj(layer.attend(query.flatten(1), key.flatten(1), value, attention.scaling))
        hidden += block.mlp(block.post_attention_layernorm(hidden))
    return model.lm_head(body.norm(hidden))


STEPS: dict[str, Step] = {"gpt2": _gpt2, "llama": _llama}
"""By Hugging Face model type; the attention of others has windows, soft caps, sinks or biases."""


def fuse_activations(model: Any) -> None:
    """Has GPT-2's usual activation computed by the one kernel that there is for it, instead of by eight, in place."""
    for module in model.modules():
        for name, child in module.named_children():
            if isinstance(child, NewGELUActivation):
                setattr(module, name, GELUTanh())
