import pyarrow as pa

from raysim.analysis.results import RunResults
from raysim.report.sections.update_sizes import section
from raysim.tables.io import schema, write_table
from raysim.tables.results import open_run


def test_bytes_saved_and_what_was_cut_are_means_over_rounds(build_run):
    folder = build_run(without=("fedyogi",))
    place = {"seed": 1, "strategy": "fedavg", "order": "a + b", "model": "m", "average": "n", "raw_bytes": 4000}
    top = [
        {**place, "organization": "a", "round": n, "form": "top_k", "bytes": 80, "update_norm": 2.0 * n, "cut_norm": n}
        for n in (1, 2)
    ]
    write_table(folder, "update_sizes", pa.Table.from_pylist(top, schema("update_sizes")))
    found = section(RunResults(open_run(folder)))
    assert found is not None
    assert found.tables[0].rows == [("fedavg: a + b", "a", "top_k", "80 B", "4 kB", "98.0 %", "3", "1.5", "–")]
    assert "simulated" not in found.note
    masked = {**top[0], "strategy": "secure", "form": "masked", "bytes": 2000, "clipped": 3}
    write_table(folder, "update_sizes", pa.Table.from_pylist([*top, masked], schema("update_sizes")))
    found = section(RunResults(open_run(folder)))
    assert found is not None
    assert tuple(found.tables[0].rows[1])[2:] == ("masked", "2 kB", "4 kB", "50.0 %", "2", "1", "3.0")
    assert "protects nobody from whoever runs it" in found.note


def test_nothing_is_said_where_whole_weights_were_sent(run):
    assert section(RunResults(open_run(run))) is None
