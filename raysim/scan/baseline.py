"""Baselines: findings that are known, so that only new ones are reported."""

import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from raysim.core.errors import InputError, os_errors
from raysim.core.json_text import parse_json
from raysim.scan.code_findings import CodeFinding

_FORMAT = "raysim baseline 1"


def write_baseline(path: Path, findings: Sequence[CodeFinding]) -> None:
    """Writes down `findings` as known: a JSON file of which a line changes where a finding comes or goes."""
    names = sorted((one.path, one.rule, one.fingerprint) for one in findings)
    rows = [{"path": path, "rule": rule, "fingerprint": name} for path, rule, name in names]
    body = {"format": _FORMAT, "findings": rows}
    with os_errors(path):
        path.write_text(json.dumps(body, indent=1) + "\n", encoding="utf-8")


def read_baseline(path: Path) -> Counter[str]:
    """Fingerprints of known findings, and how many of each there are.

    Raises:
        InputError: it is no baseline, or cannot be read.
    """
    try:
        with os_errors(path):
            body = parse_json(path.read_bytes())
        if body["format"] == _FORMAT:
            return Counter(str(row["fingerprint"]) for row in body["findings"])
    except (ValueError, KeyError, TypeError):
        pass
    raise InputError(f"--baseline {path}: is no baseline; write one with --write-baseline {path}")


def new_findings(findings: Sequence[CodeFinding], known: Counter[str]) -> list[CodeFinding]:
    """Those that are not known; of equal ones as many as are more than were known, the last ones."""
    left, new = Counter(known), []
    for one in findings:
        left[one.fingerprint] -= 1
        if left[one.fingerprint] < 0:
            new.append(one)
    return new
