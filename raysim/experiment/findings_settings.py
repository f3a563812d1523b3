"""Settings of the findings: what decides each of them, declared before a run and written into its manifest."""

from typing import Any, Literal

from pydantic import Field

from raysim.core.keys import key_of
from raysim.core.settings import Settings

F3Primary = Literal["equal_training_loss", "equal_exposures", "best_validation"]


def _margin(default: float, meaning: str) -> Any:
    return Field(default=default, gt=0, description=f"smallest difference of interest: {meaning}")


def _arms(family: str) -> Any:
    return Field(
        default=None, min_length=1, description=f"labels of the {family} settings that it is about; unset: all of them"
    )


class F1Settings(Settings):
    """More data, and more diverse data, make the model better."""

    margin: float = _margin(0.02, "bits per byte, about 2 % of the loss of a small code model")
    primaries: list[Literal["size", "mix"]] = Field(
        default=["size", "mix"], min_length=1, description="contrasts that must all hold"
    )
    arms: list[str] | None = _arms("single and centralized")


class F2Settings(Settings):
    """Federated comes close to centralized (is not worse by more than the margin)."""

    margin: float = _margin(0.05, "nats of log-perplexity, 5 % of perplexity")
    arms: list[str] | None = _arms("federated")
    references: list[str] | None = _arms("centralized")


class F3Settings(Settings):
    """Federated memorizes less than centralized."""

    margin: float = _margin(0.1, "exclusive lines a prompt, one six-line window in sixty prompts")
    primary: F3Primary = Field(default="equal_training_loss", description="at what the two are compared")
    arms: list[str] | None = _arms("federated")
    references: list[str] | None = _arms("centralized")


class F4Settings(Settings):
    """Incremental memorizes the organization trained last most."""

    margin: float = _margin(0.1, "exclusive lines of an owner on a prompt of its own")
    arms: list[str] | None = _arms("incremental")


class F5Settings(Settings):
    """What is duplicated within an organization is memorized more."""

    margin: float = _margin(0.05, "share of samples, one in twenty")


class F6Settings(Settings):
    """Clones across organizations are memorized more in centralized and federated models than in incremental."""

    margin: float = _margin(0.02, "share of samples, one in fifty")
    arms: list[str] | None = _arms("centralized and federated")
    references: list[str] | None = _arms("incremental")


class F7Settings(Settings):
    """Federated models emit fragments of data that they were never shown directly."""

    margin: float = _margin(0.05, "exclusive lines a prompt, one six-line window in 120 prompts")
    arms: list[str] | None = _arms("federated")


class FindingsSettings(Settings):
    """What decides the findings of the study; no key of any work depends on it."""

    F1: F1Settings = F1Settings()
    F2: F2Settings = F2Settings()
    F3: F3Settings = F3Settings()
    F4: F4Settings = F4Settings()
    F5: F5Settings = F5Settings()
    F6: F6Settings = F6Settings()
    F7: F7Settings = F7Settings()

    @property
    def hash(self) -> str:
        """Names margins, primaries and arms, so that a reader sees whether they were those declared before the run."""
        return key_of({"kind": "findings", "version": 1, "settings": self.model_dump(mode="json")})

    def labels(self) -> dict[str, list[str]]:
        """The labels of settings that it names, by where."""
        found: dict[str, list[str]] = {}
        for name, settings in self:
            for side in ("arms", "references"):
                if labels := getattr(settings, side, None):
                    found[f"findings.{name}.{side}"] = labels
        return found
