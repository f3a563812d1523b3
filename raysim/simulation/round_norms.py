"""How far the clients of a round moved, and how far the server stepped: Euclidean norms, which say where a round goes
wrong before it does; and what clients that sent less than their weights did send."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from raysim.core.keys import Key
from raysim.simulation.strategy import ClientUpdate
from raysim.training.upload_form import shows_weights
from raysim.training.weights import Flat, squared_distance


@dataclass(frozen=True)
class RoundNorms:
    """The norms of one round of a setting.

    Attributes:
        seed: of training.
        strategy: label of the setting.
        order: of the setting.
        round: from 1.
        model: key of the model that the server made.
        results: of the clients, in the order of the plan.
        info: of the entry of the aggregation; ``norms`` are not in it if it was made before they were noted, nor gaps
            where there are none (see `raysim.simulation.adapter_gaps`).
        uploads: what forms of uploads noted, by keys of results; see `raysim.training.upload.to_send`.
    """

    seed: int
    strategy: str
    order: str
    round: int
    model: Key
    results: Sequence[ClientUpdate]
    info: Mapping[str, Any]
    uploads: Mapping[Key, Mapping[str, Any]] = field(default_factory=dict)

    def rows(self) -> list[dict[str, Any]]:
        """Rows of the table ``update_norms``."""
        norms = self.info.get("norms", {"updates": [None] * len(self.results), "step": None})
        return [
            {
                **self._place(result),
                "update_norm": norm,
                "step_norm": norms["step"],
                "factor_gap": norms.get("factor_gap"),
                "average_gap": norms.get("average_gap"),
            }
            for result, norm in zip(self.results, norms["updates"], strict=True)
        ]

    def size_rows(self) -> list[dict[str, Any]]:
        """Rows of the table ``update_sizes``: of results that were sent in a form of their own."""
        names = ("form", "raw_bytes", "bytes", "update_norm", "cut_norm", "clipped")
        return [
            {**self._place(result), **{name: facts.get(name) for name in names}}
            for result in self.results
            if (facts := self.uploads.get(result.key))
        ]

    def _place(self, result: ClientUpdate) -> dict[str, Any]:
        return {
            "seed": self.seed,
            "strategy": self.strategy,
            "order": self.order,
            "round": self.round,
            "organization": " + ".join(result.instruction.organizations),
            "model": result.key,
            "average": self.model,
        }


def norms_of(before: Flat, results: Sequence[ClientUpdate], after: Flat) -> dict[str, Any]:
    """What an aggregation notes: ``updates``, norms of the clients' changes, and ``step``, that of the server's.

    Of a change that a client hides, the server has none.
    """
    updates = [
        math.sqrt(squared_distance(result.weights, before)) if shows_weights(result.instruction.upload) else None
        for result in results
    ]
    return {"updates": updates, "step": math.sqrt(squared_distance(after, before))}


def told(norms: Mapping[str, Any], results: Sequence[ClientUpdate], recipe: Mapping[str, Any]) -> str:
    """A round in words, for the message of one that diverged: settings of the server, its step, and who moved how far.

    Args:
        norms: see `norms_of`.
        results: of the clients.
        recipe: of the strategy.
    """
    settings = ", ".join(f"{name}: {value}" for name, value in recipe.items() if name not in ("strategy", "version"))
    moved = ", ".join(
        f"{' + '.join(result.instruction.organizations)} {'hidden' if norm is None else format(norm, '.3g')}"
        for result, norm in zip(results, norms["updates"], strict=True)
    )
    return f"the server's step{f' under {settings}' if settings else ''} has norm {norms['step']:.3g}, updates {moved}"
