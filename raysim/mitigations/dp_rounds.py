"""Differential privacy of rounds: changes are clipped and summed with noise, as DP-FedAvg does."""

from typing import Any, ClassVar

import pydantic

from raysim.mitigations.base import Mitigation, MitigationSettings, Tree, changed_strategies, named
from raysim.simulation.registry import strategy_class
from raysim.simulation.strategy import StrategySettings


class DPRoundsSettings(MitigationSettings):
    """How much an organization may be told from a model; see ``strategies.dp_fedavg``."""

    clip: float = pydantic.Field(default=1.0, gt=0, description="largest norm of a client's change")
    noise_multiplier: float | None = pydantic.Field(
        default=None, ge=0, description="noise of the sum, over the clip; unset: 1, or what target_epsilon needs"
    )
    target_epsilon: float | None = pydantic.Field(default=None, gt=0, description="finds the noise multiplier")


class DPRounds(Mitigation[DPRoundsSettings]):
    """Puts ``dp_fedavg`` in the place of ``fedavg``, under its label."""

    Settings = DPRoundsSettings
    summary: ClassVar[str] = "clients' changes are clipped, and the server adds noise to their sum"
    source: ClassVar[str] = "McMahan et al., ICLR 2018, arXiv 1710.06963"

    def overrides(self, experiment: Tree) -> dict[str, Any]:
        own, fields = self.settings.values(), strategy_class("dp_fedavg", "strategies").Settings.model_fields

        def change(_: str, given: dict[str, Any], __: type[StrategySettings]) -> tuple[str, dict[str, Any]]:
            if given.get("weighting") == "uniform":  # as DP-FedAvg weighs anyway
                del given["weighting"]
            if others := [field for field in given if field not in fields]:
                raise ValueError(f"dp_fedavg, which takes the place of fedavg, has no {' and no '.join(others)}")
            return "dp_fedavg", given | own

        return changed_strategies(experiment, change, named("fedavg"), "fedavg")
