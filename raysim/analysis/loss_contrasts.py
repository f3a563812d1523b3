"""Contrasts of losses: F1 (size and diversity of the data) and F2 (federated is close to centralized)."""

from collections.abc import Sequence
from itertools import product
from math import log

import numpy as np

from raysim.analysis.arms import FULL, HALF, against, arms_of, at_equal_tokens, both, entered, final_models, seeds_of
from raysim.analysis.budgets import compare
from raysim.analysis.lines_to_add import TO_ADD
from raysim.analysis.paired import Contrast, Found, Ratio
from raysim.analysis.reached_models import ReachedModel
from raysim.analysis.results import RunResults
from raysim.analysis.statistics import Floats

F1_SIZE = "full data minus half of it, one organization"
F1_MIX = "a mix of organizations minus one, at equal tokens, on the validation split of that one"
F1_BOTH = "centralized minus one organization alone (size and diversity together)"
F2_LOSS = "federated minus centralized"


def size_and_diversity(results: RunResults) -> Found:
    """F1: bits per byte, of more data on the joint split, of a mix on each owner's.

    Needs single settings on all and on half of the data, and a centralized one on a part of it that is as many tokens
    as one organization has.
    """
    found, settings = Found(), results.findings_settings.F1
    if results.losses.empty:
        found.lack(TO_ADD["perplexity"])
        return found
    singles = arms_of(results, "single", FULL, settings.arms)
    halves = arms_of(results, "single", HALF, settings.arms)
    if not singles:
        found.lack(TO_ADD["single"])
    if not halves and "size" in settings.primaries:
        found.lack(TO_ADD["half"])
    for seed, (arm, label) in product(seeds_of(results), singles.items()):
        single = final_models(results, seed, "single", arm=arm)
        for half, other in halves.items():
            name = against(label, other, len(singles) == len(halves) == 1)
            parts = final_models(results, seed, "single", HALF, arm=half)
            _add(results, found, ("F1", F1_SIZE, name, seed), "bits per byte", single, parts)
        for mix, other in arms_of(results, "centralized", None, settings.arms).items():
            mixes = final_models(results, seed, "centralized", None, arm=mix)
            alike = [m for one in mixes for m in at_equal_tokens(one, single)]
            name = against(other, label, len(singles) == 1)
            _add(results, found, ("F1", F1_MIX, name, seed), "bits per byte", mixes, alike, on_own=True)
        for whole, other in arms_of(results, "centralized", FULL, settings.arms).items():
            name = against(other, label, len(singles) == 1)
            wholes = final_models(results, seed, "centralized", arm=whole)
            _add(results, found, ("F1", F1_BOTH, name, seed), "bits per byte", wholes, single)
    if "mix" in settings.primaries and not any(contrast.name == F1_MIX for contrast in found.contrasts):
        found.lack(TO_ADD["mix"])
    return found


def close_to_centralized(results: RunResults) -> Found:
    """F2: log-perplexity on the joint split, each federated setting minus centralized."""
    found, settings = Found(), results.findings_settings.F2
    federated = arms_of(results, "federated", FULL, settings.arms)
    centralized = arms_of(results, "centralized", FULL, settings.references)
    for name, arms in (("federated", federated), ("centralized", centralized)):
        if not arms:
            found.lack(TO_ADD[name])
    if results.losses.empty:
        found.lack(TO_ADD["perplexity"])
    for seed, (arm, label), (reference, other) in product(seeds_of(results), federated.items(), centralized.items()):
        name = against(label, other, len(centralized) == 1)
        ours = final_models(results, seed, "federated", arm=arm)
        theirs = final_models(results, seed, "centralized", arm=reference)
        _add(results, found, ("F2", F2_LOSS, name, seed), "nats", ours, theirs)
    return found


def _add(
    results: RunResults,
    found: Found,
    named: tuple[str, str, str, int],
    unit: str,
    ours: Sequence[ReachedModel],
    theirs: Sequence[ReachedModel],
    on_own: bool = False,
) -> None:
    """A difference of losses over the files on which all of these models were evaluated; nothing without both sides.

    Args:
        results: the run.
        found: takes the contrast.
        named: finding, contrast, arm and seed.
        unit: 'nats' a token, or 'bits per byte'.
        ours, theirs: the models.
        on_own: whether each of `theirs`, of one organization, is compared on the files of that organization alone.
    """
    arrays = results.losses
    sides = [[m for m in side if m.model in arrays.model_index] for side in (ours, theirs)]
    if not all(sides):
        return
    one, other = ([arrays.model_index[m.model] for m in side] for side in sides)
    used = np.all(arrays.tokens[one + other] > 0, axis=0).astype(np.float64)
    if on_own:
        nats, trained = _on_own(results, sides[1])
        used *= trained
    else:
        nats = arrays.nats[other].mean(0)
    gap = arrays.nats[one].mean(0) - nats
    if unit == "nats":
        statistic = Ratio(gap * used, arrays.tokens[one[0]] * used)
    else:
        statistic = Ratio(gap * used / log(2), arrays.bytes[one[0]] * used)
    finding, name, arm, seed = named
    note = compare(sides[0], sides[1], results.training_loss)
    found.contrasts.append(
        Contrast(finding, name, seed, unit, "files", statistic, note, arm, entered(*sides), both(*sides))
    )


def _on_own(results: RunResults, singles: Sequence[ReachedModel]) -> tuple[Floats, Floats]:
    """Nats of each file by the models of its own organization, and 1.0 where there are any; float64 ``[F]``."""
    arrays = results.losses
    nats, trained = np.zeros(len(arrays.files)), np.zeros(len(arrays.files))
    for f, organization in enumerate(arrays.organizations):
        own = [arrays.model_index[m.model] for m in singles if m.organizations == (organization,)]
        if own:
            nats[f], trained[f] = arrays.nats[own, f].mean(), 1.0
    return nats, trained
