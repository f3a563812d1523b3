import pyarrow as pa

from raysim.analysis.results import RunResults
from raysim.report.sections.uploads import section
from raysim.tables.io import read_table, schema, write_table
from raysim.tables.results import open_run


def test_uploads_stand_beside_the_average_of_their_last_round(build_run):
    folder = build_run(seeds=(1, 2), without=("fedyogi",))
    models = [
        m for m in read_table(folder, "models").to_pylist() if m["strategy"] == "fedavg" and m["moment"] == "round"
    ]
    probed = {"prompts": 8, "covered": 4.0, "exposure": 7.0, "training_loss": 0.5}
    rows = [
        {
            **{name: m[name] for name in ("seed", "strategy", "order")},
            **probed,
            "round": m["index"],
            "organization": "meta",
            "model": f"sent {m['seed']} {m['index']}",
            "average": m["model"],
            "exclusive": 2.0 + m["seed"] if m["final"] else 99.0,
        }
        for m in models
    ]
    write_table(folder, "uploads", pa.Table.from_pylist(rows, schema("uploads")))
    results = RunResults(open_run(folder))
    found = section(results)
    assert found is not None
    ((setting, organization, number, exclusive, covered, exposure, loss),) = found.tables[0].rows
    assert (setting, organization, number) == ("fedavg: meta + microsoft + google", "meta", 10)
    averages = {m["model"] for m in models if m["final"]}
    prompts = {p["prompt"] for p in read_table(folder, "prompts").to_pylist() if p["organization"] == "meta"}
    mine = [
        s
        for s in read_table(folder, "samples").to_pylist()
        if s["model"] in averages and s["owner"] == "meta" and s["prompt"] in prompts
    ]
    assert exclusive == f"3.50 / {sum(s['exclusive'] for s in mine) / 2 / len(prompts):.2f}"
    assert covered == f"4.00 / {sum(s['covered'] for s in mine) / 2 / len(prompts):.2f}"
    assert exposure == "7.0 / –"
    fitted = [results.measures(model)["training_loss", "meta"] for model in averages]
    assert loss == f"0.500 / {sum(fitted) / 2:.3f}"


def test_nothing_is_said_where_nothing_was_probed(run):
    assert section(RunResults(open_run(run))) is None
