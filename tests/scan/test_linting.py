"""What the linter says of a place, and what is said where there is none."""

from importlib.metadata import PackageNotFoundError

import pytest

from raysim.core.errors import InputError
from raysim.scan.linting import UNPARSABLE, LintFinding, lint, require_linter


def test_a_finding_has_its_place() -> None:
    found = lint(["x = 1\n", "import os\n\n\ndef f(x):\n    return eval(\n        x\n    )\n"])
    about = "suspicious eval usage"
    (one,) = found
    assert one == LintFinding(1, "S307", about, one.message, 5, 7)
    assert "literal_eval" in one.message


def test_what_does_not_parse_is_a_finding() -> None:
    assert {(one.rule, one.about) for one in lint(["def f(:\n"])} == {(UNPARSABLE, "does not parse")}


def test_without_the_linter(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> str:
        raise PackageNotFoundError(name)

    monkeypatch.setattr("raysim.scan.linting.versions_of", missing)
    with pytest.raises(InputError, match=r"^raysim check: .* pip install 'raysim\[effectiveness\]'"):
        require_linter("raysim check")
