import pyarrow as pa

from raysim.analysis.results import RunResults
from raysim.report.sections.renamed import section
from raysim.tables.io import read_table, schema, write_table
from raysim.tables.results import open_run


def test_lines_under_other_names_stand_beside_verbatim_ones_and_chance(build_run):
    folder = build_run(seeds=(1, 2), perplexity=False)
    models = {m["model"]: m for m in read_table(folder, "models").to_pylist() if m["final"]}
    samples = read_table(folder, "samples").to_pylist()
    rows = [
        {
            **{name: row[name] for name in ("model", "prompt", "sample", "owner")},
            **{"tokens": 90, "covered_tokens": 80, "lines": 10, "covered": 5, "shared": 0, "public": 0},
            "exclusive": 2 * models[row["model"]]["seed"],
            "hidden": 1,
        }
        for row in samples
        if row["model"] in models
    ]
    write_table(folder, "renamed", pa.Table.from_pylist(rows, schema("renamed")))
    owners = sorted({row["owner"] for row in rows})
    counts = {"files": 1, "tokens": 9, "covered_tokens": 1, "lines": 200, "shared": 0, "public": 0}
    control = [
        {
            "organization": one,
            "owner": owner,
            **counts,
            "covered": 100 if one == owner else 8,
            "exclusive": 4,
            "hidden": 2,
        }
        for one in owners
        for owner in owners
    ]
    write_table(folder, "renamed_chance", pa.Table.from_pylist(control, schema("renamed_chance")))
    results = RunResults(open_run(folder))
    assert {row.mean("renamed") for row in results.final_rows()} == {len(owners) * 2 * 3.0}  # of two samples
    found = section(results)
    assert found is not None
    lines, by_owner = found.tables
    prompts = {row["prompt"]: row["kind"] for row in read_table(folder, "prompts").to_pylist()}
    for label, kind, verbatim, renamed, hidden, chance in lines.rows:
        samples_a_prompt = 2
        assert renamed == f"{len(owners) * samples_a_prompt * 3:.2f}"  # the mean of seeds
        assert hidden == f"{len(owners) * samples_a_prompt:.2f}"
        assert chance == f"{len(owners) * samples_a_prompt * 10 * 0.01:.2f}"
        assert kind in prompts.values()
        assert label
        assert float(verbatim) >= 0
    assert {row[0] for row in lines.rows} >= {"centralized"}
    assert list(by_owner.rows) == [(owner, "4.00%", "2.00%", "1.00%", "50.00%") for owner in owners]


def test_nothing_is_said_where_nothing_was_looked_for(run):
    assert section(RunResults(open_run(run))) is None
