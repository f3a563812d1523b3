"""What a person should know of an experiment before it trains: nothing that is wrong, but what will mislead."""

from collections.abc import Iterable, Mapping
from typing import Any

from raysim.experiment.config import LoadedExperiment
from raysim.organizations.client_stats import ClientStats

_FEW_BYTES = 2_000
"""Of a held-out split; as many tokens as two windows of a small model."""

_IN_ROUNDS = ("federated", "personalized")
"""Families of strategies whose server combines weights."""

_LISTED, _NAMED = 30, 3
"""Lines of a kind, and how many are shown where there would be more."""

_HELD_OUT = {"valid": "validation", "test": "test"}


def cautions(loaded: LoadedExperiment, client_stats: Mapping[str, ClientStats]) -> list[str]:
    """A line for each: held-out splits that say little, and what strategies make of the experiment's epochs."""
    found = _together(
        f"organizations.{name}: its {called} split is {files} file{'s' * (files != 1)} of {num_bytes:,} bytes, by"
        " which models can hardly be told apart; give it more code, or raise its limit or preparation.split"
        for name, stats in client_stats.items()
        for split, called in _HELD_OUT.items()
        if split in stats.splits
        for files, num_bytes in [(stats.splits[split]["files"], stats.splits[split]["bytes"])]
        if files < 2 or num_bytes < _FEW_BYTES
    )
    if loaded.experiment.shares_actors and len(client_stats) > 1:
        found.append(
            f"execution.share_actors: {len(client_stats):,} organizations live together in few processes, and whoever"
            " may look into one may look into all of them; share_actors: false gives each a process of its own"
        )
    epochs = loaded.experiment.trainer.epochs
    found += [
        f"strategies: {config.label}: {caution}"
        for config in loaded.settings
        for caution in config.settings.cautions(epochs)
    ]
    return found + _factors_apart(loaded)


def _factors_apart(loaded: LoadedExperiment) -> list[str]:
    """A line where rounds average the two factors of adapters each by itself."""
    lora = loaded.experiment.model.lora
    apart = [
        config.label
        for config in loaded.settings
        if config.strategy_class.family in _IN_ROUNDS and getattr(config.settings, "adapters", "factors") == "factors"
    ]
    if lora is None or lora.train == "b" or not apart:
        return []
    return [
        f"model.lora: {', '.join(apart)}: the server combines the factors B and A of adapters apart, which is not the"
        " average of what clients trained (factor_gap in update_norms says how far off); model.lora.train: b is exact,"
        " and so is adapters: exact of fedavg with model.lora.carry_base: true"
    ]


def copy_cautions(rows: Iterable[Mapping[str, Any]]) -> list[str]:
    """A line for each organization with held-out files that somebody trains on copies of (rows of `SplitCopies`)."""
    return _together(
        f"organizations.{row['organization']}: {copied} of its {row['files']} held-out files ({share:.0%} of the bytes)"
        f" are copies or near-copies of files that are trained on, {row['others']} of them by others; what is measured"
        " on them is partly memory (preparation.near_dedup and deduplication leave copies out)"
        for row in rows
        if (copied := row["copies"] + row["near"])
        for share in [row["copied_bytes"] / row["num_bytes"]]
    )


def _together(found: Iterable[str]) -> list[str]:
    """Lines of which there is one an organization at most: of very many, the first and how many follow."""
    lines = list(found)
    if len(lines) <= _LISTED:
        return lines
    return [*lines[:_NAMED], f"organizations: the same, with other numbers, holds for {len(lines) - _NAMED:,} more"]
