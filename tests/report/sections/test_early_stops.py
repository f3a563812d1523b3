"""What the report says of rounds that ended early."""

from math import log
from typing import Any

import pyarrow as pa

from raysim.analysis.results import RunResults
from raysim.report.run_page import write_run_page
from raysim.report.sections.early_stops import section
from raysim.tables.io import schema, write_table
from raysim.tables.results import open_run

PERPLEXITIES = [8.0, 4.0, 5.0, 6.0]


def rows(strategy: str, kept: int) -> list[dict[str, Any]]:
    place = {"seed": 1, "strategy": strategy, "order": "meta + google", "rounds": 9}
    return [
        place
        | {"round": number, "model": f"m{number}", "loss": log(perplexity), "improved": number <= 2}
        | {"kept": number == kept, "last": number == 4}
        for number, perplexity in enumerate(PERPLEXITIES, start=1)
    ]


def test_a_row_a_run_with_its_last_and_its_best_round(build_run) -> None:
    folder = build_run()
    assert section(RunResults(open_run(folder))) is None
    table = [*rows("fedavg", 4), *rows("fedyogi", 2)]
    write_table(folder, "validations", pa.Table.from_pylist(table, schema("validations")))
    found = section(RunResults(open_run(folder)))
    assert found is not None
    assert found.tables[0].rows == [
        ("fedavg: meta + google", 1, 4, 9, 4, "6.000", "6.000", "4.000"),
        ("fedyogi: meta + google", 1, 4, 9, 2, "4.000", "6.000", "4.000"),
    ]
    assert "epsilon" not in found.note
    assert "Rounds that end by validation" in write_run_page(folder).read_text("utf-8")


def test_of_private_settings_it_says_what_is_not_accounted_for(build_run) -> None:
    folder = build_run()
    write_table(folder, "validations", pa.Table.from_pylist(rows("fedavg", 4), schema("validations")))
    claim = {"seed": 1, "strategy": "fedavg", "order": "meta + google", "round": 1, "unit": "sequence", "epsilon": 1.0}
    claim |= {"organization": "meta", "delta": 1e-5, "noise_multiplier": 1.0, "sampling_rate": 1.0, "sampling": "none"}
    claim |= {"accountant": "PLD", "assumptions": "some"}
    write_table(folder, "privacy", pa.Table.from_pylist([claim], schema("privacy")))
    found = section(RunResults(open_run(folder)))
    assert found is not None
    assert "neither these losses nor the choice that they make are accounted for in epsilon" in found.note
