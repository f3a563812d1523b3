"""SARIF as other tools read it."""

import json

from sarif_pydantic import Sarif

from raysim.scan.code_findings import CodeFinding
from raysim.scan.sarif import as_sarif

RULES = {"S307": "Suspicious eval usage", "copied-code": "Copied."}
FINDINGS = [
    CodeFinding("copied-code", "warning", "6 lines that are in acme: a.py", "some folder/\u00e4.py", 3, 9, "ab" * 16),
    CodeFinding("S307", "error", "eval", "b.py", 1, 1, "cd" * 16),
]


def test_another_reader_finds_what_was_written() -> None:
    read = Sarif.model_validate_json(as_sarif(FINDINGS, RULES, "0.1.0"))
    assert read.version == "2.1.0"
    (run,) = read.runs
    assert run.tool.driver.name == "raysim"
    assert run.results
    assert [(one.rule_id, one.level, one.message.text) for one in run.results] == [
        (one.rule, one.level, one.message) for one in FINDINGS
    ]
    places = [one.locations[0].physical_location for one in run.results if one.locations]
    assert [place.region.start_line for place in places if place and place.region] == [3, 1]


def test_rules_and_places_are_named_as_the_standard_asks() -> None:
    """Sections 3.27.6 (an index into the rules), 3.10 (a URI) and 3.27.17 (fingerprints)."""
    (run,) = json.loads(as_sarif(FINDINGS, RULES, "0.1.0"))["runs"]
    rules = run["tool"]["driver"]["rules"]
    for result, finding in zip(run["results"], FINDINGS, strict=True):
        assert rules[result["ruleIndex"]]["id"] == result["ruleId"] == finding.rule
        assert result["partialFingerprints"] == {"raysim/1": finding.fingerprint}
    assert run["results"][0]["locations"][0]["physicalLocation"] == {
        "artifactLocation": {"uri": "some%20folder/%C3%A4.py"},
        "region": {"startLine": 3, "endLine": 9},
    }


def test_nothing_found_is_a_run_without_results() -> None:
    (run,) = json.loads(as_sarif([], RULES, "0.1.0"))["runs"]
    assert run["results"] == []
