"""What an organization reads of itself beside its gains."""

import pyarrow as pa
import pytest

from raysim.analysis.gains import gains
from raysim.report.sections.organizations import facts
from raysim.tables.io import schema


@pytest.fixture
def results(build_results):
    return build_results(memorization=False)


def of_meta(results):
    return dict(facts(results, gains(results), ["meta"])["meta"])


def with_copies(results, files, trained, others):
    rows = [
        {"organization": "meta", "split": "valid", "file": f"meta/valid_{number}.py", "lines": 10}
        | {"own": 0, "others": others, "trained": trained, "public": 0}
        for number in range(files)
    ]
    results.run._tables["held_out_copies"] = pa.Table.from_pylist(rows, schema("held_out_copies"))
    return results


def test_data_and_what_left(results):
    found = of_meta(results)
    assert found["Data, train"] == "12 files, 40 kB, 14,400 tokens"
    assert found["Left out"] == "13 files by preparation"
    assert found["Lines in common"].startswith("3.0 % in public references")
    assert set(found["Left its boundary"].split(" ")) >= {"weights", "code"}
    assert "Validation code" not in found


def test_validation_code_that_is_trained_on(results):
    found = of_meta(with_copies(results, files=2, trained=6, others=3))
    text = found["Validation code"]
    assert text.startswith("30.0 % of the lines in others' training splits; 2 of 2 files for at least half in some")
    central = next(g for g in gains(results) if (g.organization, g.strategy) == ("meta", "centralized"))
    assert f"bits per byte without them: alone {central.alone_without_copies:.3f}, centralized " in text
    assert f"centralized {central.together_without_copies:.3f}" in text


def test_few_lines_in_common_say_their_share_alone(results):
    found = of_meta(with_copies(results, files=2, trained=1, others=1))
    assert found["Validation code"] == "10.0 % of the lines in others' training splits"


def test_where_nothing_is_left_without_them_that_is_said(results):
    found = of_meta(with_copies(results, files=6, trained=10, others=0))
    assert found["Validation code"].endswith("; none is left without them")


def test_what_was_taken_out_is_told_apart_from_what_stayed(results):
    rows = [
        {"organization": "meta", "category": "personal", "kind": kind, "action": action, "files": 1, "occurrences": n}
        for kind, action, n in (
            ("IBAN", "redact", 2),
            ("e-mail address", "redact", 1_200),
            ("phone number", "report", 3),
        )
    ]
    results.run._tables["redactions"] = pa.Table.from_pylist(rows, schema("redactions"))
    found = of_meta(results)
    assert found["Taken out"] == "2 of IBAN, 1,200 of e-mail address"
    assert found["Found and left in"] == "3 of phone number"


def test_what_was_written_differently_is_counted(results):
    assert "Training files written differently" not in of_meta(results)
    rows = [
        {"organization": "meta", "transformation": name, "outcome": outcome, "files": n, "changes": 9}
        for name, outcome, n in (("comments", "changed", 1_200), ("rename", "changed", 2), ("rename", "not parsed", 1))
    ]
    results.run._tables["obfuscations"] = pa.Table.from_pylist(rows, schema("obfuscations"))
    found = of_meta(results)
    assert found["Training files written differently"] == "comments: 1,200 files, rename: 2 files"
    results.run._tables["obfuscations"] = pa.Table.from_pylist(rows[2:], schema("obfuscations"))
    assert of_meta(results)["Training files written differently"] == "none"
