"""Fewer epochs: each passage is seen less often, by early stopping at a number that is given."""

from typing import Any, ClassVar

import pydantic

from raysim.mitigations.base import Mitigation, MitigationSettings, Tree, changed_strategies
from raysim.simulation.strategy import StrategySettings


class FewerEpochsSettings(MitigationSettings):
    """How much less is trained."""

    share: float = pydantic.Field(default=0.5, gt=0, lt=1, description="of epochs, and of rounds, that are left")


class FewerEpochs(Mitigation[FewerEpochsSettings]):
    """Sets ``trainer.epochs``, rounds, and what strategies say of epochs and passes themselves."""

    Settings = FewerEpochsSettings
    summary: ClassVar[str] = "training ends after a share of its epochs and rounds"
    source: ClassVar[str] = "Carlini et al., ICLR 2023, arXiv 2202.07646: memorization grows with repetition"

    def overrides(self, experiment: Tree) -> dict[str, Any]:
        before = experiment["trainer"]["epochs"]
        after = self._less(before)
        fewer = after < before

        def change(
            name: str, given: dict[str, Any], settings_class: type[StrategySettings]
        ) -> tuple[str, dict[str, Any]]:
            nonlocal fewer
            own = {field: given.get(field, one.default) for field, one in settings_class.model_fields.items()}
            less = dict[str, int]()
            if "rounds" in own:  # epochs of a round stay
                less["rounds"] = self._less(own["rounds"])
            elif own.get("epochs"):
                less["epochs"] = self._less(own["epochs"])
            if "passes" in own:
                less["passes"] = min(own["passes"], after)
            fewer |= any(number < own[field] for field, number in less.items())
            return name, given | less

        found: dict[str, Any] = {"trainer.epochs": after}
        found |= changed_strategies(experiment, change, lambda *_: True, "strategies")
        if not fewer:
            raise ValueError(f"trainer.epochs: {before} cannot be fewer; leave it out")
        return found

    def _less(self, number: int) -> int:
        return max(1, round(number * self.settings.share))
