"""`raysim check`: what a person would look at before generated code is used."""

from collections.abc import Iterable, Sequence

from raysim.scan.code_findings import COPIED, COPIED_ABOUT, CodeFinding, fingerprint
from raysim.scan.command import Input, Lexing, run_scan
from raysim.scan.corpora import CodeCollection
from raysim.scan.excerpts import GENERATED
from raysim.scan.linting import UNPARSABLE, LintFinding, lint, require_linter
from raysim.scan.reading import Reader


class CheckedCode:
    """Code whose findings were collected.

    Attributes:
        findings: by file and line.
        rules: what each rule is about that they name, and those that were looked for without a finding.
        num_files: that were read.
    """

    def __init__(self, findings: Iterable[CodeFinding], rules: dict[str, str], num_files: int) -> None:
        self.findings = sorted(findings, key=lambda one: (one.path, one.start, one.rule, one.message))
        self.rules = dict(sorted(rules.items()))
        self.num_files = num_files


def check(
    paths: Sequence[str], corpora: Sequence[str], references: Sequence[str], where: Input, min_lines: int
) -> CheckedCode:
    """Whether code parses, which of the linter's security rules it breaks, and whose lines it repeats.

    Args:
        paths: of the code.
        corpora: ``NAME=PATH`` of owners; none: nobody's lines are looked for.
        references: public code, which is nobody's.
        where: which files of folders, which column of records.
        min_lines: significant lines of the shortest run.

    Raises:
        InputError: a path that cannot be read, or there is no linter.
        RunError: the linter failed.
    """
    require_linter("raysim check")
    code = where.open(GENERATED, paths)
    texts = [code.read(number).decode("utf-8", "replace") for number in range(len(code.paths))]
    code.require_something()
    linted = lint(texts)
    rules = {COPIED: COPIED_ABOUT} | {one.rule: one.about.capitalize() for one in linted}
    findings = [_finding(one, code, texts[one.number]) for one in linted]
    if corpora:
        scanned = run_scan(paths, corpora, references, where, min_lines, Reader("lines", False, False), Lexing())
        findings += scanned.code_findings("lines")
    return CheckedCode(findings, rules, len(code.paths))


def _finding(found: LintFinding, code: CodeCollection, text: str) -> CodeFinding:
    path = code.paths[found.number]
    lines = "\n".join(text.split("\n")[found.start - 1 : found.end])
    message = found.message if found.rule == UNPARSABLE else f"{found.about}: {found.message}"
    level = "error" if found.rule == UNPARSABLE else "warning"
    return CodeFinding(found.rule, level, message, path, found.start, found.end, fingerprint(found.rule, path, lines))
