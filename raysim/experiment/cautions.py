"""What a person should know of an experiment before it trains: nothing that is wrong, but what will mislead."""

from collections.abc import Mapping

from raysim.experiment.config import LoadedExperiment
from raysim.organizations.organization import ClientStats

_FEW_BYTES = 2_000
"""Of a validation split; as many tokens as two windows of a small model."""


def cautions(loaded: LoadedExperiment, client_stats: Mapping[str, ClientStats]) -> list[str]:
    """A line for each: validation splits that say little, and what strategies make of the experiment's epochs."""
    found = [
        f"organizations.{name}: its validation split is {files} file{'s' * (files != 1)} of {num_bytes:,} bytes, by"
        " which models can hardly be told apart; give it more code, or raise its limit or preparation.validation_share"
        for name, stats in client_stats.items()
        if (files := stats.splits["valid"]["files"]) < 2 or stats.splits["valid"]["bytes"] < _FEW_BYTES
        for num_bytes in [stats.splits["valid"]["bytes"]]
    ]
    epochs = loaded.experiment.trainer.epochs
    return found + [
        f"strategies: {config.label}: {caution}"
        for config in loaded.settings
        for caution in config.settings.cautions(epochs)
    ]
