import pyarrow as pa

from raysim.analysis.results import RunResults
from raysim.report.sections.adapters import section
from raysim.tables.io import read_table, schema, write_table
from raysim.tables.results import open_run

ROW = {"seed": 1, "order": "meta + google", "average": "m", "update_norm": 2.0, "step_norm": 1.0}
GAPS = {"apart": [(0.1, 0.1), (0.3, 0.3)], "exact": [(0.2, 1e-8), (0.2, 3e-8)], "stepping": [(0.04, None)] * 2}


def test_each_setting_has_its_gaps(build_run) -> None:
    """A round has a row for each client, which counts once."""
    folder = build_run()
    rows = [
        {**ROW, "strategy": strategy, "round": number, "organization": client, "model": f"{client} {number}"}
        | {"factor_gap": factors, "average_gap": made}
        for strategy, rounds in GAPS.items()
        for number, (factors, made) in enumerate(rounds, 1)
        for client in (["meta", "google"] if number == 1 else ["meta"])
    ]
    write_table(folder, "update_norms", pa.Table.from_pylist(rows, schema("update_norms")))
    found = section(RunResults(open_run(folder)))
    assert found is not None
    assert found.tables[0].rows == [
        ("apart", 2, "20 %", "30 %", "20 %"),
        ("exact", 2, "20 %", "20 %", "2e-06 %"),
        ("stepping", 2, "4 %", "4 %", "–"),
    ]


def test_nothing_is_said_without_adapters(run) -> None:
    assert section(RunResults(open_run(run))) is None
    assert read_table(run, "update_norms").num_rows == 0
