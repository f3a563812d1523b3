"""Losses without the held-out files that somebody trains on nearly as they are."""

from collections.abc import Iterable
from math import log

import numpy as np

from raysim.analysis.reached_models import ReachedModel
from raysim.analysis.results import RunResults, averaged
from raysim.matching.held_out import CopiedFiles, cautions, copied_files


def copied_in(results: RunResults) -> dict[str, CopiedFiles]:
    """The validation files of each organization, as far as they were looked at."""
    return copied_files(results.run.table("held_out_copies").to_pylist())


def copy_cautions(results: RunResults) -> list[str]:
    """A sentence for each organization whose validation files are partly trained on."""
    return cautions(results.run.table("held_out_copies").to_pylist())


def bits_without_copies(results: RunResults, models: Iterable[ReachedModel], organization: str) -> float | None:
    """Bits per byte on an organization's validation files that are no copies, over orders and then seeds.

    None where copies were not looked for, or no file is left.
    """
    copied = copied_in(results).get(organization)
    if copied is None:
        return None
    arrays = results.losses
    places = zip(arrays.organizations, arrays.files, strict=True)
    kept = np.array([owner == organization and file not in copied.copies for owner, file in places], dtype=np.bool_)

    def bits(m: ReachedModel) -> float | None:
        row = arrays.model_index.get(m.model)
        if row is None or not (num_bytes := arrays.bytes[row, kept].sum()):
            return None
        return float(arrays.nats[row, kept].sum() / log(2) / num_bytes)

    value = averaged(models, bits)
    return None if value is None or not np.isfinite(value) else float(value)
