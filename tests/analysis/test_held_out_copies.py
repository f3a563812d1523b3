"""Cautions and losses without files that are trained on nearly as they are; by hand."""

import pyarrow as pa
import pytest
from run_tables import ORGANIZATIONS

from raysim.analysis.gains import gains
from raysim.analysis.held_out_copies import bits_without_copies, copied_in, copy_cautions
from raysim.analysis.reached_models import finals
from raysim.tables.io import schema


def with_copies(results, **copied):
    """The results, in which of each of six files of ten lines as many are trained on by others as `copied` says."""
    rows = [
        {"organization": name, "split": "valid", "file": f"{name}/valid_{number}.py", "lines": 10}
        | {"own": 0, "others": lines, "trained": lines, "public": 0}
        for name in ORGANIZATIONS
        for number, lines in enumerate(copied.get(name, [0] * 6))
    ]
    results.run._tables["held_out_copies"] = pa.Table.from_pylist(rows, schema("held_out_copies"))
    return results


def test_a_file_is_a_copy_from_half_of_its_lines_on(build_results):
    found = copied_in(with_copies(build_results(memorization=False), meta=[5, 4, 10, 0, 0, 0]))
    assert found["meta"].copies == {"meta/valid_0.py", "meta/valid_2.py"}
    assert found["meta"].share == pytest.approx(19 / 60)
    assert found["google"].copies == frozenset()


def test_who_has_copies_is_cautioned(build_results):
    (only,) = copy_cautions(with_copies(build_results(memorization=False), meta=[5, 4, 10, 0, 0, 0]))
    assert only.startswith("32% of the validation lines of meta stand in others' training splits, and 2 of the 6 valid")
    assert (
        copy_cautions(with_copies(build_results(memorization=False)))
        == copy_cautions(build_results(memorization=False))
        == []
    )


def test_losses_without_copies_by_hand(build_results):
    results = with_copies(build_results(memorization=False), meta=[10, 10, 0, 0, 0, 0], google=[10] * 6)
    (central,) = [m for m in finals(results.reached_models) if m.strategy == "centralized"]
    rows = [
        row
        for row in results.run.losses.to_pylist()
        if row["model"] == central.model and row["organization"] == "meta" and row["split"] == "valid"
    ]
    rows = [row for row in rows if row["file"] not in ("meta/valid_0.py", "meta/valid_1.py")]
    bits = sum(row["nats"] for row in rows) / 0.6931471805599453 / sum(row["bytes"] for row in rows)
    assert bits_without_copies(results, [central], "meta") == pytest.approx(bits)
    assert bits_without_copies(results, [central], "google") is None
    found = {(gain.organization, gain.strategy): gain for gain in gains(results)}
    assert found["meta", "centralized"].together_without_copies == pytest.approx(bits)
    assert found["microsoft", "fedavg"].together_without_copies == pytest.approx(found["microsoft", "fedavg"].together)


def test_without_the_table_nothing_is_known(build_results):
    assert all(gain.together_without_copies is None for gain in gains(build_results(memorization=False)))
