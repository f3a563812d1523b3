"""Generated code is looked at for what does not parse, what is dangerous, and whose it is."""

from pathlib import Path

import pytest

from raysim.core.errors import InputError
from raysim.scan.check import check
from raysim.scan.command import Input

LINES = [f"value_{number} = {number}\n" for number in range(8)]
WHERE = Input(None, "content")


@pytest.fixture
def generated(tmp_path: Path) -> Path:
    folder = tmp_path / "generated"
    folder.mkdir()
    (folder / "broken.py").write_text("def f(:\n    pass\n")
    (folder / "copied.py").write_text("x = 0\n" + "".join(LINES))
    (folder / "dangerous.py").write_text("def f(x):\n    return eval(x)\n")
    (folder / "fine.py").write_text("def f(x):\n    return x\n")
    return folder


def test_each_kind_is_found(generated: Path, tmp_path: Path) -> None:
    acme = tmp_path / "acme"
    acme.mkdir()
    (acme / "a.py").write_text("".join(LINES))
    found = check([str(generated)], [f"acme={acme}"], [], WHERE, 6)
    kinds = {(one.path, one.rule, one.level) for one in found.findings}
    assert kinds == {
        ("broken.py", "invalid-syntax", "error"),
        ("copied.py", "copied-code", "warning"),
        ("dangerous.py", "S307", "warning"),
    }
    assert {one.rule for one in found.findings} == found.rules.keys()
    assert found.num_files == 4
    assert next(one for one in found.findings if one.rule == "copied-code").start == 2


def test_nobodys_lines_are_looked_for_without_owners(generated: Path) -> None:
    found = check([str(generated)], [], [], WHERE, 6)
    assert {one.path for one in found.findings} == {"broken.py", "dangerous.py"}


def test_code_that_cannot_be_read_is_no_code_without_findings(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_bytes(b"\xe9 = 1\n")
    with pytest.raises(InputError, match="none of its files can be read"):
        check([str(tmp_path)], [], [], WHERE, 6)
