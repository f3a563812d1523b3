import pyarrow as pa

from raysim.analysis.results import RunResults
from raysim.report.sections.study_counts import section
from raysim.tables.io import read_table, schema, write_table
from raysim.tables.results import open_run


def test_counts_of_final_models_are_averaged_over_seeds(build_run):
    folder = build_run(seeds=(1, 2), perplexity=False)
    models = [m for m in read_table(folder, "models").to_pylist() if m["strategy"] == "centralized" and m["final"]]
    rows = [
        {
            "model": m["model"],
            "kind": "function",
            "owner": owner,
            "simian": True,
            "prompts": 10,
            "samples": 50,
            "fragments": 4 * m["seed"],
            "lines": 30 * m["seed"],
            "fragments_per_prompt": 0.4 * m["seed"],
            "lines_per_prompt": 3.0 * m["seed"],
        }
        for m in models
        for owner in ("", "meta")
    ]
    write_table(folder, "study_counts", pa.Table.from_pylist(rows, schema("study_counts")))
    found = section(RunResults(open_run(folder)))
    assert found is not None
    assert list(found.tables[0].rows) == [("centralized", "function", "6.0", "45.0", "0.60", "4.50")]
    assert "without case and curly braces" in found.note


def test_nothing_is_said_where_nothing_was_counted(run):
    assert section(RunResults(open_run(run))) is None
