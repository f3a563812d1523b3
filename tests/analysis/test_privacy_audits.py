"""The table `privacy_audits`, of losses that are made up."""

from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from raysim.analysis.audited_epsilon import lower_bound
from raysim.analysis.privacy_audits import privacy_audits_table
from raysim.analysis.reached_models import ReachedModel
from raysim.analysis.results import RunResults
from raysim.tables.io import schema, write_table
from raysim.tables.results import open_run

CANARIES = 60


def audited(folder: Path, tables: dict[str, list[dict[str, Any]]]) -> list[dict[str, Any]]:
    for name, rows in tables.items():
        write_table(folder, name, pa.Table.from_pylist(rows, schema(name)))
    return privacy_audits_table(RunResults(open_run(folder))).to_pylist()


def losses(model: str, organization: str, falls: float) -> list[dict[str, Any]]:
    """Even canaries are in, and lose `falls` nats; of each its own loss is another."""
    place = {"model": model, "organization": organization}
    return [
        place | {"canary": c, "included": c % 2 == 0, "nats": 100.0 * c - falls * (c % 2 == 0)} for c in range(CANARIES)
    ]


def claims(strategy: str, unit: str, organization: str, order: str) -> list[dict[str, Any]]:
    row = {"seed": 1, "strategy": strategy, "order": order, "unit": unit, "organization": organization, "delta": 1e-3}
    how = {"noise_multiplier": 1.0, "sampling_rate": 1.0, "sampling": "none", "accountant": "PLD", "assumptions": ""}
    return [{**row, **how, "round": number, "epsilon": float(number)} for number in (1, 2)]


@pytest.fixture
def run(build_run) -> tuple[Path, ReachedModel, ReachedModel, str]:
    """A run, its final models of two federated settings, and what all started from."""
    folder = build_run()
    models = RunResults(open_run(folder)).reached_models
    fedavg, fedyogi = (next(m for m in models if m.strategy == s and m.final) for s in ("fedavg", "fedyogi"))
    return folder, fedavg, fedyogi, next(m.model for m in models if m.moment == "initial")


def test_falls_of_losses_are_guessed_by_and_held_against_the_last_claim(run) -> None:
    folder, fedavg, fedyogi, start = run
    rows = [
        *losses(start, "meta", 0.0),
        *losses(fedavg.model, "meta", 5.0),
        *losses(fedyogi.model, "meta", 0.0),
    ]
    private = claims("fedavg", "sequence", "meta", fedavg.order)
    found = {row["strategy"]: row for row in audited(folder, {"sequence_canaries": rows, "privacy": private})}
    assert set(found) == {"fedavg", "fedyogi"}
    row = found["fedavg"]
    assert (row["canaries"], row["guesses"], row["correct"]) == (60, 20, 20)
    assert (row["claimed_epsilon"], row["delta"], row["verdict"]) == (2.0, 1e-3, "within the claim")
    assert row["audited_epsilon"] == pytest.approx(lower_bound(60, 20, 20, 1e-3))
    # Nothing tells its canaries apart: of equal scores the first are taken for out and the last for in.
    assert (found["fedyogi"]["correct"], found["fedyogi"]["audited_epsilon"]) == (10, 0.0)
    assert (found["fedyogi"]["claimed_epsilon"], found["fedyogi"]["verdict"]) == (None, "nothing claimed")


def test_a_bound_above_the_claim_says_so(run) -> None:
    folder, fedavg, _, start = run
    rows = [*losses(start, "meta", 0.0), *losses(fedavg.model, "meta", 5.0)]
    small = [{**row, "epsilon": 0.1} for row in claims("fedavg", "sequence", "meta", fedavg.order)]
    (row,) = audited(folder, {"sequence_canaries": rows, "privacy": small})
    assert row["verdict"] == "above the claim"


def test_a_guarantee_of_another_unit_is_not_audited(run) -> None:
    folder, fedavg, _, start = run
    rows = [*losses(start, "meta", 0.0), *losses(fedavg.model, "meta", 5.0)]
    other = claims("fedavg", "organization", "", fedavg.order)
    assert audited(folder, {"sequence_canaries": rows, "privacy": other}) == []
    assert audited(folder, {"sequence_canaries": rows[:CANARIES], "privacy": []}) == []
