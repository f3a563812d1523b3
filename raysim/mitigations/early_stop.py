"""Early stop: of the rounds' models, the one is kept whose validation loss was the last to improve."""

from typing import Any, ClassVar

import pydantic

from raysim.mitigations.base import Mitigation, MitigationSettings, Tree, changed_strategies, has_field
from raysim.simulation.strategy import StrategySettings


class EarlyStopMitigationSettings(MitigationSettings):
    """When rounds end; see ``strategies.fedavg.early_stop``."""

    patience: int = pydantic.Field(default=1, ge=1, description="validations in a row without an improvement")
    min_delta: float = pydantic.Field(default=0.0, ge=0, description="nats a token that count as an improvement")


class EarlyStopMitigation(Mitigation[EarlyStopMitigationSettings]):
    """Sets ``early_stop`` of strategies that have rounds."""

    Settings = EarlyStopMitigationSettings
    summary: ClassVar[str] = "rounds end when validation losses no longer improve, and the best model is kept"
    source: ClassVar[str] = "Goodfellow, Bengio & Courville, Deep Learning, 2016, section 7.8"

    def overrides(self, experiment: Tree) -> dict[str, Any]:
        own = {"early_stop": {**self.settings.values(), "keep": "best"}}
        return changed_strategies(
            experiment, lambda name, given, _: (name, given | own), _ends_early, "strategies whose rounds can end early"
        )


def _ends_early(name: str, settings_class: type[StrategySettings]) -> bool:
    """A personalized model goes on from the last round, whichever that is."""
    return name != "personalized" and has_field("early_stop")(name, settings_class)
