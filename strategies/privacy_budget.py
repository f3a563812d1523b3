"""What a guarantee of differential privacy may cost, as the strategies that give one are told: noise, or an epsilon."""

from collections.abc import Sequence
from typing import Self

import pydantic
from raysim.strategies.federated import FederatedSettings

from raysim.simulation.privacy import load_accounting, noise_multiplier_for


class PrivacySettings(FederatedSettings):
    """Rounds, and what a guarantee costs."""

    noise_multiplier: float | None = pydantic.Field(
        default=None,
        ge=0,
        description="standard deviation of the noise of a sum, over the clip; unset: 1, or what target_epsilon needs",
    )
    target_epsilon: float | None = pydantic.Field(
        default=None, gt=0, description="finds the noise multiplier by which all rounds together keep within it"
    )
    delta: float = pydantic.Field(default=1e-5, gt=0, lt=1, description="of the guarantee; far below 1 / units")

    @pydantic.model_validator(mode="after")
    def _one_noise(self) -> Self:
        if self.noise_multiplier is not None and self.target_epsilon is not None:
            raise ValueError("noise_multiplier: follows from target_epsilon; leave one of them out")
        return self

    def cautions(self, epochs: int) -> Sequence[str]:
        found = list(super().cautions(epochs))
        if self.early_stop:
            found.append(
                "early_stop: losses on validation files choose the last round, and neither they nor the choice are"
                " accounted for in epsilon; noise is that of all rounds"
            )
        return found

    def noise_for(self, times: int, sampling_rate: float = 1.0) -> float:
        """The noise multiplier of `times` steps.

        Raises:
            InputError: dp-accounting is not installed.
        """
        load_accounting()  # before anything is trained: its table needs it
        if self.target_epsilon is None:
            return 1.0 if self.noise_multiplier is None else self.noise_multiplier
        return noise_multiplier_for(self.target_epsilon, self.delta, times, sampling_rate)
