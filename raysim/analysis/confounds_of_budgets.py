"""Confounds of training: the sides of a contrast were not trained alike, or one was not tuned."""

from collections.abc import Callable

from raysim.analysis.arms import FULL, is_whole
from raysim.analysis.budgets import SAME_LOSS, SAME_RATE, SAME_TOKENS
from raysim.analysis.confound_checks import ArmContrast, Check
from raysim.analysis.leakage_contrasts import F3_LOSS
from raysim.analysis.loss_contrasts import F2_LOSS


def training_losses(compared: ArmContrast) -> Check:
    """Whether one side fits its training text better, whatever the setting."""
    about = "training losses"
    if compared.name == F3_LOSS:  # equal by its construction
        return Check(about)
    losses = [budget.training_loss for budget in compared.budgets or ()]
    if len(losses) < 2 or losses[0] is None or losses[1] is None:
        return Check(about, known=False)
    if abs(losses[0] - losses[1]) <= SAME_LOSS:
        return Check(about)
    follows = "" if compared.name == F2_LOSS else ", and a model that is fitted further gives away more by that alone"
    return Check(about, f"training losses are apart ({losses[0]:.2f} against {losses[1]:.2f} nats){follows}")


def dropouts(compared: ArmContrast) -> Check:
    """Whether dropout differs."""
    about = "dropout"
    if not (spent := compared.budgets):
        return Check(about, known=False)
    one, other = (budget.dropout for budget in spent)
    return Check(about, "" if abs(one - other) <= 1e-9 else f"dropout differs ({one:g} against {other:g})")


def learning_rates(compared: ArmContrast) -> Check:
    """Whether the mean learning rates differ by more than 10 %."""
    return _by_ratio(
        compared,
        "mean learning rate",
        "mean_rate",
        SAME_RATE,
        lambda ratio: f"{ratio:.2f} times the mean learning rate",
    )


def exposures(compared: ArmContrast) -> Check:
    """Whether the sides have seen other amounts of any organization's tokens."""
    about = "tokens of each organization"
    if not (spent := compared.budgets):
        return Check(about, known=False)
    one, other = (budget.tokens_seen for budget in spent)
    ratios = {name: one[name] / other[name] for name in one if other.get(name)}
    apart = {name: ratio for name, ratio in ratios.items() if abs(ratio - 1) > SAME_TOKENS}
    if not apart:
        return Check(about)
    name = max(apart, key=lambda name: abs(apart[name] - 1))
    return Check(about, f"{apart[name]:.2f} times the tokens of {name}")


def sequential_steps(compared: ArmContrast) -> Check:
    """Whether one side took more optimizer steps one after the other."""

    def tell(ratio: float) -> str:
        tokens = _ratio(compared, "tokens")
        equal = tokens is not None and abs(tokens - 1) <= SAME_TOKENS
        return f"{'equal exposures, yet ' if equal else ''}{ratio:.2f} times the steps in sequence"

    return _by_ratio(compared, "steps in sequence", "steps_in_sequence", SAME_TOKENS, tell)


def tokens_in_all(compared: ArmContrast) -> Check:
    """F7: whether the models that never saw the owner are trained less in all."""
    return _by_ratio(
        compared,
        "tokens in all",
        "tokens",
        SAME_TOKENS,
        lambda ratio: f"models without the owner saw {1 / ratio:.2f} times the tokens in all, so are fitted less",
    )


def tuning(compared: ArmContrast) -> Check:
    """F2: whether the side that is worse was run at one setting alone, so its rates were chosen elsewhere or never.

    Settings of one strategy are told from each other by their arms. A point of a sweep does not know of the others.
    """
    worse = (compared.ours if compared.value > 0 else compared.theirs) or compared.ours
    results, about = compared.results, "tuning of learning rates"
    if not worse or results.run.manifest.get("point"):
        return Check(about, known=False)
    strategies = results.strategy_names
    name = strategies.get(worse[0].strategy, worse[0].strategy)
    alike = {
        m.arm
        for m in results.reached_models
        if strategies.get(m.strategy, m.strategy) == name and m.fraction == FULL and is_whole(results, m)
    }
    if len(alike) > 1:
        return Check(about)
    gain = "smaller" if compared.value > 0 else "larger"
    return Check(
        about, f"{name} was run at one setting: unless its learning rates were tuned before, the gap may be {gain}"
    )


def _by_ratio(compared: ArmContrast, about: str, name: str, same: float, tell: Callable[[float], str]) -> Check:
    """Whether the sides have spent the same of `name`, within the share `same`; else what `tell` says of the ratio."""
    ratio = _ratio(compared, name)
    if ratio is None:
        return Check(about, known=False)
    return Check(about, "" if abs(ratio - 1) <= same else tell(ratio))


def _ratio(compared: ArmContrast, name: str) -> float | None:
    """First side over second of what they have spent of `name`; None where that is not known."""
    if not (spent := compared.budgets):
        return None
    one, other = (float(getattr(budget, name)) for budget in spent)
    return one / other if one and other else None
