"""What a client makes of its trained weights before they leave it, where an instruction names a form for them."""

import hashlib
import math
from dataclasses import replace
from typing import Any

from raysim.core.errors import Diverged
from raysim.core.keys import seed_of
from raysim.training.loop import objective_state
from raysim.training.request import TrainRequest, Update
from raysim.training.upload_form import WEIGHTS
from raysim.training.weights import squared_distance


def to_send(request: TrainRequest, update: Update) -> Update:
    """`update` in the form that the request names, its facts beside it; itself if none is named.

    What an objective keeps follows from what is sent, so that client and server agree on it.

    Raises:
        Diverged: the update has no finite norm; a form could hide that from the store, which refuses such weights.
    """
    form, start = request.task.upload, request.weights
    if form is None:
        return update
    norm = math.sqrt(squared_distance(update.weights, start))
    if not math.isfinite(norm):
        raise Diverged("the update is not finite or too large: training has diverged; lower trainer.learning_rate")
    sent = form.send(start, update.weights, request.upload_buffers, seed_of(request.task.seed, "upload"))
    facts: dict[str, Any] = {
        "array": sent.name,
        "kind": form.kind,
        "form": form.recipe()["name"],
        "raw_bytes": update.weights.nbytes,
        **_size(sent.content),
        "update_norm": norm,
        **sent.facts,
    }
    if sent.agreed:
        facts["agreed"] = [_size(content) for content in sent.agreed]
    own = update.objective_state
    if own and sent.name == WEIGHTS:
        own = objective_state(request, sent.array, update.metrics["learning_rate_sum"])
    return replace(update, weights=sent.array, objective_state=own, upload=facts, upload_state=sent.kept)


def _size(content: bytes) -> dict[str, Any]:
    """What the ledger has of some content."""
    return {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
