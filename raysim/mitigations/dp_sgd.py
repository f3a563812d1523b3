"""DP-SGD at every client: the gradient of each sequence is clipped, and noise is added to their sum."""

from typing import Any, ClassVar

import pydantic

from raysim.mitigations.base import Mitigation, MitigationSettings, Tree, changed_strategies, named


class DPSGDMitigationSettings(MitigationSettings):
    """How much a sequence may be told from a model; see ``strategies.dp_sgd``."""

    clip: float = pydantic.Field(default=1.0, gt=0, description="largest norm of a sequence's gradient")
    target_epsilon: float = pydantic.Field(default=8.0, gt=0, description="finds the noise multiplier")


class DPSGDMitigation(Mitigation[DPSGDMitigationSettings]):
    """Puts ``dp_sgd`` in the place of ``fedavg``, under its label."""

    Settings = DPSGDMitigationSettings
    summary: ClassVar[str] = "every sequence's gradient is clipped, and clients add noise to the sum"
    source: ClassVar[str] = "Abadi et al., CCS 2016, arXiv 1607.00133"

    def overrides(self, experiment: Tree) -> dict[str, Any]:
        own = self.settings.values()
        return changed_strategies(experiment, lambda _, given, __: ("dp_sgd", given | own), named("fedavg"), "fedavg")
