"""Redaction: secrets and personal data are taken out before any token is made of them."""

from typing import Any, ClassVar

from raysim.mitigations.base import Mitigation, MitigationSettings, Tree


class RedactSettings(MitigationSettings):
    """Nothing but a label: all that is found is taken out."""


class Redact(Mitigation[RedactSettings]):
    """Sets ``preparation.redact``."""

    Settings = RedactSettings
    summary: ClassVar[str] = "secrets and personal data are taken out before training"
    source: ClassVar[str] = "Chen & Jiang, ASE 2024, arXiv 2409.12020"

    def overrides(self, experiment: Tree) -> dict[str, Any]:
        return {"preparation.redact": {"secrets": "redact", "personal": "redact"}}
