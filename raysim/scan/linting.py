"""Known-bad patterns in code: what the security rules of the linter Ruff say of it.

Ruff, not Bandit, whose rules it implements: one call takes any number of files, at thousands a second, and it comes as
one program without dependencies; Bandit walks each file in Python. A pattern is a reason to look, not a hole.
"""

import json
import subprocess
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError
from pathlib import Path

from raysim.core.errors import InputError, RunError
from raysim.core.keys import versions_of

RULES, IGNORED = ("S",), ("S101",)
"""flake8-bandit's, without the one against assertions, which are no danger in a solution."""

UNPARSABLE = "invalid-syntax"


@dataclass(frozen=True)
class LintFinding:
    """What the linter says of a place.

    Attributes:
        number: of the program.
        rule: for example ``S602``, or `UNPARSABLE`.
        about: the rule's own name; of what does not parse, that.
        message: of the linter, which may quote the code.
        start: first line, from 1.
        end: last line.
    """

    number: int
    rule: str
    about: str
    message: str
    start: int
    end: int


def require_linter(where: str) -> str:
    """The linter's version.

    Args:
        where: what needs it, for messages.

    Raises:
        InputError: there is no Ruff.
    """
    try:
        return versions_of("ruff")
    except PackageNotFoundError:
        raise InputError(
            f"{where}: generated code is checked by the linter ruff: pip install 'raysim[effectiveness]'"
        ) from None


def lint(programs: Iterable[str]) -> list[LintFinding]:
    """What the linter finds in programs, which are numbered from 0; in the order of its own report.

    Raises:
        RunError: the linter failed.
    """
    from ruff.__main__ import find_ruff_bin

    with tempfile.TemporaryDirectory(prefix="raysim-lint-") as folder:
        for number, program in enumerate(programs):
            (Path(folder) / f"{number}.py").write_text(program, encoding="utf-8", errors="surrogatepass")
        command = [find_ruff_bin(), "check", "--isolated", "--no-cache", "--quiet", "--exit-zero", "--ignore-noqa"]
        command += ["--output-format", "json", "--select", ",".join(RULES), "--ignore", ",".join(IGNORED), folder]
        done = subprocess.run(command, capture_output=True, text=True, check=False, env={})  # noqa: S603 - our arguments
    if done.returncode:
        raise RunError(f"the linter ruff failed: {done.stderr.strip().splitlines()[-1] if done.stderr else '?'}")
    return [
        LintFinding(
            int(Path(found["filename"]).stem),
            rule := found["code"] or UNPARSABLE,
            "does not parse" if rule == UNPARSABLE else _name(found["url"]),
            found["message"],
            found["location"]["row"],
            found["end_location"]["row"],
        )
        for found in json.loads(done.stdout)
    ]


def _name(url: str | None) -> str:
    """A rule's own name, which its address ends with; its messages quote the code."""
    return (url or "").rstrip("/").rpartition("/")[2].replace("-", " ")
