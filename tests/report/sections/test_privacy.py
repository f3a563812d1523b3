"""What the page says of guarantees."""

import pyarrow as pa

from raysim.analysis.results import RunResults
from raysim.report.sections.privacy import section
from raysim.tables.io import schema, write_table
from raysim.tables.results import open_run


def row(seed: int, number: int, unit: str, organization: str, epsilon: float | None) -> dict[str, object]:
    names = {"seed": seed, "strategy": unit, "order": "a + b", "round": number, "unit": unit}
    mechanism = {"delta": 1e-5, "noise_multiplier": 1.25, "sampling_rate": 0.1, "sampling": "Poisson"}
    said = {"accountant": "RDP", "assumptions": f"as {unit} has it"}
    return {**names, "organization": organization, "epsilon": epsilon, **mechanism, **said}


def test_the_last_round_of_each_with_unit_and_assumptions(build_run):
    folder = build_run(seeds=(1, 2))
    assert section(RunResults(open_run(folder)), []) is None
    rows = [row(s, n, "organization", "", float(n)) for s in (1, 2) for n in (1, 2)]
    rows += [row(1, 1, "sequence", name, None if name == "b" else 7.5) for name in ("a", "b")]
    write_table(folder, "privacy", pa.Table.from_pylist(rows, schema("privacy")))
    found = section(RunResults(open_run(folder)), [])
    assert found is not None
    assert [cells[1:6] for cells in found.tables[0].rows] == [
        ("organization", "each organization", 2, "2.00", "1e-05"),
        ("sequence", "a", 1, "7.50", "1e-05"),
        ("sequence", "b", 1, "unbounded", "1e-05"),
    ]
    assert found.tables[0].rows[0][7] == "Poisson, 0.1"
    assert "Unit organization: as organization has it." in found.note
    assert "A file is no unit" in found.note


def test_audits_stand_beside_what_is_claimed(build_run):
    folder = build_run()
    place = {"seed": 1, "order": "a + b", "organization": "a", "model": "m", "unit": "sequence", "delta": 1e-5}
    counts = {"canaries": 60, "guesses": 20, "correct": 15}
    rows = [
        {**place, **counts, "strategy": "dp_sgd", "claimed_epsilon": 8.0, "audited_epsilon": 0.25, "verdict": "within"},
        {**place, **counts, "strategy": "fedavg", "claimed_epsilon": None, "audited_epsilon": 1.5, "verdict": "none"},
    ]
    found = section(RunResults(open_run(folder)), rows)
    assert found is not None
    assert found.tables[0].rows == [
        ("dp_sgd: a + b", 1, "a", "0.25", "8.00", "1e-05", "15 of 20, of 60 coins", "within"),
        ("fedavg: a + b", 1, "a", "1.50", "–", "1e-05", "15 of 20, of 60 coins", "none"),
    ]
    assert "one audit in twenty" in found.note
