"""What a zero of leakage is worth: the most that so few files allow, and whether the models were fitted at all."""

from collections.abc import Sequence
from dataclasses import dataclass

from raysim.analysis.arms import given, measured
from raysim.analysis.arrays import Mask
from raysim.analysis.fit import Fit, fit_of
from raysim.analysis.reached_models import ReachedModel
from raysim.analysis.results import RunResults
from raysim.analysis.statistics import wilson


@dataclass(frozen=True)
class Zero:
    """No line was given away.

    Attributes:
        high: upper end of the 95 % Wilson interval of the share of prompts that give one away, with their files as
            trials.
        fit: of the models.
    """

    high: float
    fit: Fit

    @property
    def mark(self) -> str:
        """For a cell of a table: '≤31 %†'; † marks models that are undertrained, ? those of which it is not known."""
        return f"≤{100 * self.high:.0f} %{'†' if self.fit == 'undertrained' else '' if self.fit else '?'}"

    @property
    def text(self) -> str:
        """For a sentence: '≤ 31 % of prompts; undertrained'."""
        return f"≤ {100 * self.high:.0f} % of prompts; {self.fit or 'fit not known'}"


def zero_of(results: RunResults, models: Sequence[ReachedModel], organizations: Sequence[str], used: Mask) -> Zero:
    """What it is worth that models gave no line away.

    Args:
        results: the run.
        models: that gave none.
        organizations: whose training text they may have fitted.
        used: bool ``[P]``, prompts that count, as far as all of the models were given them.
    """
    arrays = results.prompts
    chosen = used & (given(results, measured(results, models)) > 0)
    files = {
        place for place, mine in zip(zip(arrays.organizations, arrays.files, strict=True), chosen, strict=True) if mine
    }
    return Zero(wilson(0, len(files))[1], fit_of(results, models, organizations))


def zero_of_setting(results: RunResults, models: Sequence[ReachedModel]) -> Zero | None:
    """Of a setting as a whole: None where it gave an exclusive line away, or memorization was not measured."""
    reached = measured(results, models)
    arrays = results.prompts
    if not reached or not arrays.from_training.any():
        return None
    rows = [arrays.model_index[m.model] for m in reached]
    if arrays.exclusive[rows][:, arrays.from_training].any():
        return None
    seen = [name for name in results.organizations if any(name in m.organizations for m in reached)]
    return zero_of(results, reached, seen, arrays.from_training)
