"""In which numbers a model computes while it generates.

A processor without instructions for bfloat16 emulates them: products take two to three times as long as in float32.
There the weights are rounded to bfloat16, which makes them those of the bf16 model, and everything is computed in
float32: what comes out is nearer to the exact answer of these weights than bf16 arithmetic comes.
"""

from typing import TYPE_CHECKING, Any

from raysim.inference.settings import Numerics, Precision

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel


def knows_bf16() -> bool:
    """Whether this processor has instructions for products of bfloat16."""
    import torch

    return bool(torch.cpu._is_avx512_bf16_supported()) or bool(torch.cpu._is_amx_tile_supported())


def numerics_of(precision: Precision, bf16: bool) -> Numerics:
    """What `precision` means where there are instructions for bfloat16, or (`bf16` False) are none."""
    return "bf16 in fp32" if precision == "bf16" and not bf16 else precision


def dtype_of(numerics: Numerics) -> "torch.dtype":
    """Of parameters while a model generates."""
    import torch

    return torch.bfloat16 if numerics == "bf16" else torch.float32


def converted(model: "PreTrainedModel", numerics: Numerics, device: str) -> Any:
    """`model` itself, moved to `device`, its parameters made those of `numerics`, ready to be asked."""
    import torch

    # Module.to is typed as a method of the model class in a way that no checker follows.
    module = torch.nn.Module.to(model, device=torch.device(device), dtype=dtype_of(numerics)).eval()
    round_weights(module, numerics)
    return module


def round_weights(model: Any, numerics: Numerics) -> None:
    """Rounds float32 parameters to what bfloat16 holds, if they are to be; in place."""
    import torch

    if numerics == "bf16 in fp32":
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.copy_(parameter.bfloat16())
