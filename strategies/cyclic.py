"""Cyclic: the organizations train the same model in turn, in several passes; incremental training is the first one.

Sheller, Reina, Edwards, Martin & Bakas: Multi-Institutional Deep Learning Modeling Without Sharing Patient Data,
BrainLes 2018, arXiv 1810.04304 (cyclic institutional incremental learning). Stages of the first pass are those of
incremental training with as many epochs, and are shared with it.
"""

from collections.abc import Sequence
from typing import ClassVar, Self

import pydantic
from raysim.strategies.continual import ContinualStrategy
from raysim.strategies.incremental import IncrementalSettings

from raysim.simulation.strategy import Family, Federation


class CyclicSettings(IncrementalSettings):
    """Which orders to train, and how often; unset `epochs` are trainer.epochs shared out over the passes."""

    passes: int = pydantic.Field(default=2, ge=1, description="times that the order is gone through")

    def epochs_a_stage(self, epochs: int) -> int:
        """Epochs of a stage, where `trainer.epochs` is `epochs`."""
        return self.epochs or max(1, epochs // self.passes)

    def cautions(self, epochs: int) -> Sequence[str]:
        local = self.epochs_a_stage(epochs)
        if self.epochs or local * self.passes == epochs:
            return super().cautions(epochs)
        return [
            *super().cautions(epochs),
            f"passes: {self.passes} of trainer.epochs: {epochs} train {local * self.passes} epochs, {local} a stage;"
            " write passes that divide the epochs, or epochs",
        ]


class Cyclic(ContinualStrategy):
    """One stage for each organization of an order, again and again."""

    Settings = CyclicSettings
    family: ClassVar[Family] = "cyclic"

    @classmethod
    def variants(cls, settings: CyclicSettings, federation: Federation) -> Sequence[Self]:
        """One variant for each order.

        Raises:
            InputError: orders that these organizations do not have; see `OrderSettings.of`.
        """
        shared_out = settings.model_copy(update={"epochs": settings.epochs_a_stage(federation.epochs)})
        orders = settings.orders.of(federation.clients)
        return [cls([(name,) for name in order] * settings.passes, federation, shared_out) for order in orders]
