"""What intervals of counterfactuals are worth: tables with known effects, prompts of unequal memorability, five seeds.

docs/methods.md has the figures of the long form.
"""

import numpy as np
import pytest
from simulated_leaks import OWNER, Leaks, draw
from simulated_studies import KINDS


def tally(number: int, leaks: Leaks, seed: int = 5) -> dict[str, float]:
    """Shares, of `number` tables: intervals issued, and those that hold the true effect; mean estimates.

    `untrained` is of models never trained on the owner, `trained` of those that were.
    """
    rng = np.random.default_rng(seed)
    held, issued, effects = ({"trained": [], "untrained": []} for _ in range(3))
    for _ in range(number):
        for row in draw(rng, leaks):
            name = "trained" if row.trained else "untrained"
            if name == "untrained" and row.trained_on != "left":
                continue  # the other one's contrast is the same, with the sign turned
            assert row.effect is not None
            issued[name].append(row.issued)
            effects[name].append(row.effect)
            if row.low is not None and row.high is not None:
                held[name].append(row.low <= (leaks.effect if row.trained else 0.0) <= row.high)
    found = {f"{name} issued": float(np.mean(values)) for name, values in issued.items()}
    found |= {f"{name} effect": float(np.mean(values)) for name, values in effects.items()}
    return found | {f"{name} held": float(np.mean(values)) for name, values in held.items() if values}


@pytest.mark.parametrize("kind", list(KINDS))
def test_of_a_model_never_trained_on_the_owner_the_interval_holds_zero(kind: str) -> None:
    found = tally(60, Leaks(kind))
    assert found["untrained held"] >= 0.93
    assert found["untrained issued"] > 0.2


def test_what_training_adds_is_found() -> None:
    leaks = Leaks(trained=4.0)
    found = tally(60, leaks)
    assert found["trained held"] >= 0.9
    assert found["trained effect"] == pytest.approx(leaks.effect, rel=0.1)
    assert abs(found["untrained effect"]) < leaks.effect / 20
    assert all(row.low is not None and row.low > 0 for row in draw(np.random.default_rng(1), leaks) if row.trained)


def test_the_rows_are_those_of_the_three_models() -> None:
    rows = draw(np.random.default_rng(1), Leaks())
    assert [(row.trained_on, row.trained, row.seeds, row.prompts) for row in rows] == [
        (OWNER, True, 5, 120), ("left", False, 5, 120), ("right", False, 5, 120),
    ]  # fmt: skip


def test_below_five_seeds_there_is_no_interval() -> None:
    rows = draw(np.random.default_rng(1), Leaks(seeds=4))
    assert [row.note for row in rows] == ["too few seeds: 4, 5 are needed"] * 3
    assert all(row.low is None and row.high is None and row.effect is not None for row in rows)


@pytest.mark.stress
@pytest.mark.parametrize("files", [20, 60])
@pytest.mark.parametrize("kind", list(KINDS))
def test_a_thousand_tables(kind: str, files: int) -> None:
    found = tally(1000, Leaks(kind, files=files))
    print(f"\n{kind}, {files} files: {found}")
    # Of twenty files, one in six with any effect, none has ten that differ.
    assert found.get("untrained held", 1.0) >= 0.93
    assert files == 20 or found["untrained issued"] > 0.4
