"""Findings in the format that code hosts and editors show: SARIF, the Static Analysis Results Interchange Format 2.1.0.

OASIS standard, https://docs.oasis-open.org/sarif/sarif/v2.1.0/.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import quote

from raysim.scan.code_findings import CodeFinding

_SCHEMA = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/os/schemas/sarif-schema-2.1.0.json"
_FINGERPRINT = "raysim/1"


def as_sarif(findings: Sequence[CodeFinding], rules: Mapping[str, str], version: str) -> str:
    """A SARIF file, as text.

    Args:
        findings: of one run.
        rules: what each rule is about, in a sentence; those of all findings.
        version: of raysim.
    """
    numbers = {rule: number for number, rule in enumerate(rules)}
    driver = {
        "name": "raysim",
        "version": version,
        "rules": [{"id": rule, "shortDescription": {"text": about}} for rule, about in rules.items()],
    }
    run = {
        "tool": {"driver": driver},
        "columnKind": "unicodeCodePoints",
        "results": [_result(one, numbers[one.rule]) for one in findings],
    }
    return json.dumps({"$schema": _SCHEMA, "version": "2.1.0", "runs": [run]}, indent=1)


def _result(finding: CodeFinding, rule: int) -> dict[str, Any]:
    location = {
        "artifactLocation": {"uri": quote(finding.path, errors="surrogateescape")},
        "region": {"startLine": finding.start, "endLine": finding.end},
    }
    return {
        "ruleId": finding.rule,
        "ruleIndex": rule,
        "level": finding.level,
        "message": {"text": finding.message},
        "locations": [{"physicalLocation": location}],
        "partialFingerprints": {_FINGERPRINT: finding.fingerprint},
    }
