"""The verdict of an audit: what a model was shown to give away of each corpus, and how sure that is.

The models below are the published schema of `raysim audit --json` (`raysim schema --of audit`).
"""

from typing import Literal

import numpy as np
import pydantic

from raysim.analysis.arms import exclusive_lines, measured
from raysim.analysis.arrays import Mask
from raysim.analysis.attacks import attacks_table
from raysim.analysis.reached_models import ReachedModel, finals
from raysim.analysis.results import RunResults
from raysim.analysis.statistics import wilson

MIN_FILES = 10
"""Fewer files than that say nothing of a corpus."""
MIN_NON_MEMBERS = 100
"""Fewer files of non-members do not tell a false positive rate of 1 %: it would be less than one of them. Chunks of one
file are not independent."""
PRIMARY_SCORE = "min_k_plus_plus"
"""The attack whose figures are given; chosen before anything was seen (Zhang et al., arXiv 2404.02936)."""


class Proportion(pydantic.BaseModel):
    """A share with its 95 % Wilson interval."""

    value: float = pydantic.Field(description="in [0, 1]")
    low: float
    high: float
    trials: int = pydantic.Field(description="what was counted as independent: files")


class MembershipVerdict(pydantic.BaseModel):
    """Whether the model's scores tell what it was trained on from what it was not."""

    members: int
    non_members: int
    score: str = pydantic.Field(default=PRIMARY_SCORE, description="the attack, chosen beforehand")
    auc: float | None = pydantic.Field(default=None, description="0.5 is guessing")
    auc_low: float | None = None
    auc_high: float | None = None
    blind_auc: float | None = pydantic.Field(default=None, description="of a guess from the words alone: the control")
    true_positives: Proportion | None = pydantic.Field(default=None, description="found at 1 % false positives")
    verdict: Literal["shows membership", "shows nothing", "refused"]
    why: str = pydantic.Field(default="", description="of a refusal")


class CorpusVerdict(pydantic.BaseModel):
    """What was found of one owner's code."""

    organization: str
    prompts: int = pydantic.Field(description="from its training text")
    lines: float | None = pydantic.Field(default=None, description="exclusive lines a prompt that the model gives away")
    leaking: Proportion | None = pydantic.Field(default=None, description="of its prompts: answered with such a line")
    control: Proportion | None = pydantic.Field(default=None, description="the same of prompts from held-out code")
    membership: MembershipVerdict | None = None
    verdict: Literal["gives code away", "nothing beyond the control", "gives lines away, without a control", "refused"]
    why: str = pydantic.Field(default="", description="of the verdict")


class AuditReport(pydantic.BaseModel):
    """What an audit found."""

    format: Literal[1] = 1
    model: str = pydantic.Field(description="the folder that was audited")
    folder: str = pydantic.Field(description="run folder with tables and report")
    corpora: list[CorpusVerdict]


def audit_report(results: RunResults, model: str) -> AuditReport:
    """The verdicts on a model that came trained; from the tables of its run."""
    given = [m for m in finals(results.reached_models) if m.family == "given"]
    found = [_corpus(results, given[0], name) for name in results.organizations] if given else []
    return AuditReport(model=model, folder=str(results.run.path), corpora=found)


def _corpus(results: RunResults, model: ReachedModel, organization: str) -> CorpusVerdict:
    arrays = results.prompts
    membership = _membership(results, model, organization)
    reached = measured(results, [model])
    own = np.array([name == organization for name in arrays.organizations], dtype=np.bool_)
    if not reached or not own.any():
        return CorpusVerdict(
            organization=organization,
            prompts=0,
            membership=membership,
            verdict="refused",
            why="its code gives no prompt of the kinds that were asked for",
        )
    lines = exclusive_lines(results, reached, arrays.owners.index(organization))
    inside = own & arrays.from_training
    leaking, control = _share(results, lines, inside), _share(results, lines, own & ~arrays.from_training)
    verdict, why = _verdict(leaking, control)
    return CorpusVerdict(
        organization=organization,
        prompts=int(inside.sum()),
        lines=float(lines[inside].mean()) if inside.any() else None,
        leaking=leaking,
        control=control,
        membership=membership,
        verdict=verdict,
        why=why,
    )


Emission = Literal["gives code away", "nothing beyond the control", "gives lines away, without a control", "refused"]


def _verdict(leaking: Proportion | None, control: Proportion | None) -> tuple[Emission, str]:
    if leaking is None or leaking.trials < MIN_FILES:
        files = leaking.trials if leaking else 0
        return "refused", f"its prompts come from {files} files, and {MIN_FILES} are needed"
    if control is None or control.trials < MIN_FILES:
        files = control.trials if control else 0
        lacking = f"held-out prompts come from {files} files, and a control needs {MIN_FILES} (--held-out)"
        if leaking.value:
            return "gives lines away, without a control", f"{lacking}: common code may explain it"
        return "refused", f"it gave no line away, at most {leaking.high:.0%} of prompts would; {lacking}"
    if leaking.low > control.high:
        return "gives code away", f"{leaking.value:.0%} of its prompts against {control.value:.0%} of held-out ones"
    return "nothing beyond the control", f"{leaking.value:.0%} of its prompts, {control.value:.0%} of held-out ones"


def _share(results: RunResults, lines: np.ndarray, chosen: Mask) -> Proportion | None:
    """Proportion of prompts with a line, with their files as trials: prompts of one file are not independent."""
    if not chosen.any():
        return None
    files = len({file for file, mine in zip(results.prompts.files, chosen, strict=True) if mine})
    value = float((lines[chosen] > 0).mean())
    low, high = wilson(value * files, files)
    return Proportion(value=value, low=low, high=high, trials=files)


def _membership(results: RunResults, model: ReachedModel, organization: str) -> MembershipVerdict | None:
    rows = [
        row
        for row in attacks_table(results.run).to_pylist()
        if row["model"] == model.model and row["organization"] == organization and row["score"] == PRIMARY_SCORE
    ]
    if not rows:
        return None
    (row,) = rows
    facts = {"members": row["members"], "non_members": row["non_members"]}
    if (known := row["non_member_files"]) < MIN_NON_MEMBERS:
        why = f"non-members of {known} files, and {MIN_NON_MEMBERS} are needed to speak of 1 % false positives"
        return MembershipVerdict(**facts, verdict="refused", why=why)
    found, files = row["tpr_at_1_fpr"], row["member_files"]
    low, high = wilson(found * files, files)
    return MembershipVerdict(
        **facts,
        auc=row["auc"],
        auc_low=row["low"],
        auc_high=row["high"],
        blind_auc=row["blind_auc"],
        true_positives=Proportion(value=found, low=low, high=high, trials=files),
        verdict="shows membership" if row["verdict"] == "shows membership" else "shows nothing",
    )
