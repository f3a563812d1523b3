"""The diagonal of the empirical Fisher information: how much each weight matters to the sequences of a corpus.

Of each sequence the gradient of its loss, as training minimizes it (nats a token, the goldfish loss where that is
asked for), is squared; F is the mean of these squares over sequences. Kirkpatrick et al., arXiv 1612.00796, section 2;
empirical, since the labels are the corpus's own and not drawn from the model (Kunstner, Balles & Hennig, NeurIPS 2019,
arXiv 1905.12558).
"""

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from raysim.training.request import TrainerSettings
from raysim.training.torch_engine import next_token_loss
from raysim.training.weights import Flat, flatten_tensors, trainable

if TYPE_CHECKING:
    from transformers import PreTrainedModel

FISHER_VERSION = 1
"""Numerics version; part of the recipe."""


def diagonal_fisher(model: "PreTrainedModel", sequences: npt.NDArray[np.int32], settings: TrainerSettings) -> Flat:
    """Mean over sequences of the squared gradient of each, in float32 without dropout.

    Args:
        model: on the CPU, with the weights in question; in evaluation mode.
        sequences: token ids ``[num_sequences, sequence_length]``, at least one.
        settings: say which loss.

    Returns:
        float32, an element for each weight that is trained, in the order of flat buffers.
    """
    import torch

    here = settings.model_copy(update={"device": "cpu", "precision": "fp32"})
    parameters = trainable(model)
    sums = [torch.zeros_like(parameter, requires_grad=False) for parameter in parameters]
    for sequence in sequences:
        ids = torch.from_numpy(sequence[None].astype(np.int64))
        gradients = torch.autograd.grad(next_token_loss(model, ids, here), parameters, allow_unused=True)
        for total, gradient in zip(sums, gradients, strict=True):
            if gradient is not None:
                total.addcmul_(gradient, gradient, value=1 / len(sequences))
    return flatten_tensors(sums)
