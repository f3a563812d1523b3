"""Obfuscation: training files are written differently to the same code, so that their very lines are not learnt."""

from typing import Any, ClassVar

import pydantic

from raysim.mitigations.base import Mitigation, MitigationSettings, Tree


class ObfuscateMitigationSettings(MitigationSettings):
    """How many disguises each file has; see ``preparation.obfuscate`` for what they are made of."""

    copies: int = pydantic.Field(default=1, ge=1, description="variants of each file in place of it")


class Obfuscate(Mitigation[ObfuscateMitigationSettings]):
    """Sets all of ``preparation.obfuscate``. Lines as they were are still looked for in what models write."""

    Settings = ObfuscateMitigationSettings
    summary: ClassVar[str] = "training files are written differently to the same code, in one or several variants"
    source: ClassVar[str] = "Chen & Jiang, ASE 2024, arXiv 2409.12020"

    def overrides(self, experiment: Tree) -> dict[str, Any]:
        everything = {"rename": True, "reorder": True, "comments": "drop", "reformat": True}
        return {"preparation.obfuscate": {**everything, "copies": self.settings.copies}}
