"""Shorter context: sequences are cut in pieces, so that no step shows a whole passage with what leads to it."""

from typing import Any, ClassVar

import pydantic

from raysim.mitigations.base import Mitigation, MitigationSettings, Tree

_LEAST = 16


class ShorterContextSettings(MitigationSettings):
    """How much shorter."""

    parts: int = pydantic.Field(default=2, ge=2, description="that a sequence is cut into; batches hold as many more")


class ShorterContext(Mitigation[ShorterContextSettings]):
    """Sets ``trainer.sequence_length`` and ``trainer.batch_size``, so that a step has as many tokens as before."""

    Settings = ShorterContextSettings
    summary: ClassVar[str] = "training sequences are shorter"
    source: ClassVar[str] = "Carlini et al., ICLR 2023, arXiv 2202.07646: more context, more is recited"

    def overrides(self, experiment: Tree) -> dict[str, Any]:
        trainer, parts = experiment["trainer"], self.settings.parts
        length = trainer["sequence_length"] // parts
        if length < _LEAST:
            raise ValueError(f"a {parts}th of {trainer['sequence_length']} tokens is too short a sequence")
        return {"trainer.sequence_length": length, "trainer.batch_size": trainer["batch_size"] * parts}
