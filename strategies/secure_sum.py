"""The server's half of secure aggregation: an average of updates of which it sees the masked sum alone."""

from collections.abc import Sequence

import numpy as np

from raysim.simulation.strategy import ClientUpdate
from raysim.training.masking import Masked, disclosures, unmasked_sum
from raysim.training.weights import Flat


def average_of_masked(weights: Flat, results: Sequence[ClientUpdate]) -> Flat:
    """`weights` and the average change of the clients whose masked vectors arrived.

    Of those that agreed on masks and are not among `results`, the masks are removed by what the others disclose.

    Args:
        weights: that the clients started from; of no elements in a plan.
        results: of clients of one agreement, at least one.

    Raises:
        InputError: too few clients are left.
    """
    forms = [result.instruction.upload for result in results]
    masked = [form for form in forms if isinstance(form, Masked)]
    agreement = masked[0].agreement
    assert len(masked) == len(forms), "all clients of a round mask what they send"
    assert all(form.agreement == agreement for form in masked), "the clients of a round have agreed"
    left = [form.client for form in masked]
    agreement.require_enough(left)
    if not weights.size:
        return weights
    told = disclosures(agreement, left)
    vectors = {form.client: np.asarray(r.weights, np.uint32) for form, r in zip(masked, results, strict=True)}
    counts = dict(agreement.counts)
    change = unmasked_sum(vectors, agreement, told) / sum(counts[name] for name in left)
    return (weights + change).astype(np.float32)
