"""Confounds of text: what the prompts of a contrast are made of, and who else holds what is emitted."""

import numpy as np

from raysim.analysis.arms import exclusive_lines, given, measured
from raysim.analysis.arrays import Mask
from raysim.analysis.clone_contrasts import MIN_PROMPTS
from raysim.analysis.clusters import MIN_CLUSTERS
from raysim.analysis.confound_checks import ArmContrast, Check
from raysim.analysis.reached_models import declared_finals, finals
from raysim.tables.names import PUBLIC

NOTEWORTHY = 0.1
"""Share of prompts from which on something about them may carry a difference between groups."""
IN_COMMON = 0.01
"""Share of an owner's lines from which on others may hold variants of what is emitted."""


def licences(compared: ArmContrast) -> Check:
    """F5: whether duplicates are licence headers for the most part; those are left out, others like them may not be."""
    arrays, about = compared.results.prompts, "licence headers"
    if arrays.licence_header is None:
        return Check(about, known=False)
    duplicated = arrays.eligible & arrays.from_training & (arrays.copies_within > 0)
    headers, total = int((duplicated & arrays.licence_header).sum()), int(duplicated.sum())
    if 2 * headers < total or not total:
        return Check(about)
    return Check(
        about, f"{headers} of {total} duplicates are licence headers; these are left out, other boilerplate is not"
    )


def common_duplicates(compared: ArmContrast) -> Check:
    """F5: whether others hold the duplicated continuations more often than the unique ones."""
    arrays = compared.results.prompts
    exposed, unique = _groups(compared)
    elsewhere = (arrays.copies_across > 0) | (arrays.copies_public > 0)
    one, other = _share(elsewhere, exposed), _share(elsewhere, unique)
    found = (
        f"{one:.0%} of the duplicates stand in others' code or in references, too, {other:.0%} of the unique prompts"
    )
    return Check("copies elsewhere", found if one - other > NOTEWORTHY else "")


def predictable_duplicates(compared: ArmContrast) -> Check:
    """F5: whether models that never saw the organization continue duplicates more often, too."""
    arrays, about = compared.results.prompts, "models that never saw the prompt's owner"
    exposed, unique = _groups(compared)
    known, total = np.zeros(len(arrays.prompts)), np.zeros(len(arrays.prompts))
    organizations = np.array(arrays.organizations)
    for m in measured(compared.results, declared_finals(compared.results.reached_models)):
        row = arrays.model_index[m.model]
        unseen = ~np.isin(organizations, m.organizations) & (arrays.num_samples[row] > 0)
        assert arrays.continued is not None
        total += unseen * arrays.continued[row] / np.maximum(arrays.num_samples[row], 1)
        known += unseen
    if not (known[exposed] > 0).any() or not (known[unique] > 0).any():
        return Check(about, known=False)
    shares = total / np.maximum(known, 1)
    gap = _share(shares, exposed & (known > 0)) - _share(shares, unique & (known > 0))
    found = f"models that never saw the owner continue duplicates more often, too ({gap:+.3f}), so these are easier"
    return Check(about, found if gap > 0 and gap >= abs(compared.value) / 2 else "")


def few_prompts(compared: ArmContrast) -> Check:
    """F6: whether the clones across organizations are few, or from few files."""
    used = compared.in_play
    files = len({place for place, mine in zip(_places(compared), used, strict=True) if mine})
    few = used.sum() < 2 * MIN_PROMPTS or files < 2 * MIN_CLUSTERS
    return Check(
        "number of prompts",
        f"only {int(used.sum())} prompts, from {files} files, have a clone elsewhere" if few else "",
    )


def public_clones(compared: ArmContrast) -> Check:
    """F6: whether references hold the clones, too, so that any model may know them."""
    share = _share(compared.results.prompts.copies_public > 0, compared.in_play)
    found = f"{share:.0%} of the clones stand in references, too"
    return Check("clones in references", found if share > NOTEWORTHY else "")


def lines_in_common(compared: ArmContrast) -> Check:
    """F7: whether owners have lines in common with others or with references, so that variants may explain what is
    emitted."""
    about = "lines in common"
    organizations = compared.results.organizations
    rows = [row for row in compared.results.run.table("clones").to_pylist() if row["organization"] != row["other"]]
    rows = [row for row in rows if row["organization"] in organizations]
    if not rows:
        return Check(about, known=False)
    top = max(rows, key=lambda row: (row["share"], row["organization"], row["other"]))
    if top["share"] <= IN_COMMON:
        return Check(about)
    where = "references" if top["other"] == PUBLIC else top["other"]
    return Check(
        about,
        f"up to {100 * top['share']:.1f} % of an owner's lines stand elsewhere ({top['organization']} in {where});"
        " those do not count, variants of them may",
    )


def base_model(compared: ArmContrast) -> Check:
    """F7: whether the model that training began with emits such lines by itself."""
    results, about = compared.results, "the model that training began with"
    bases = measured(results, [m for m in finals(results.reached_models) if m.family == "base"])
    if not bases:
        pretrained = results.run.setting("model", "pretrained") or results.run.setting("model", "pretrain")
        return Check(about, known=not pretrained)
    used = compared.in_play & (given(results, bases) > 0)
    lines = float(exclusive_lines(results, bases, None)[used].mean()) if used.any() else 0.0
    found = f"the model that training began with emits {lines:.2f} of the lines a prompt by itself"
    return Check(about, found if lines > 0 else "")


def _groups(compared: ArmContrast) -> tuple[Mask, Mask]:
    """Duplicated and unique prompts that enter a contrast of F5."""
    used, exposed = compared.in_play, compared.results.prompts.copies_within > 0
    return used & exposed, used & ~exposed


def _places(compared: ArmContrast) -> list[tuple[str, str]]:
    arrays = compared.results.prompts
    return list(zip(arrays.organizations, arrays.files, strict=True))


def _share(values: np.ndarray, chosen: Mask) -> float:
    return float(values[chosen].mean()) if chosen.any() else 0.0
