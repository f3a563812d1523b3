import pytest

from raysim.corpus.obfuscation.comments import drop_comments
from raysim.corpus.obfuscation.python_text import PythonText, edited


def without_comments(text: str) -> tuple[str, int]:
    edits, notices = drop_comments(PythonText(text))
    return edited(text, edits), notices


def test_comments_go_and_take_their_lines_with_them() -> None:
    text = (
        "# begins\n\nx = 1  # one\ny = '# no comment'\ndef f():\n    # inside\n    return [  # open\n        1,\n"
        "        # between\n        2,\n    ]\n    # behind\n\t# odd\nz = '''\n# text\n'''   # end"
    )
    wanted = "\nx = 1\ny = '# no comment'\ndef f():\n    return [\n        1,\n        2,\n    ]\nz = '''\n# text\n'''"
    assert without_comments(text) == (wanted, 0)
    assert without_comments(wanted) == (wanted, 0)


@pytest.mark.parametrize(
    "comment",
    [
        "# type: ignore[x]",
        "# noqa: E501",
        "#noqa",
        "# pragma: no cover",
        "# pylint: disable=x",
        "# fmt: off",
        "# nosec",
    ],
)
def test_what_tools_read_stays(comment: str) -> None:
    for text in (f"x = 1  {comment}\n", f"{comment}\nx = 1\n"):
        assert without_comments(text) == (text, 0)


def test_what_python_and_the_shell_read_stays_where_they_read_it() -> None:
    text = "#!/usr/bin/python\n# vim: set fileencoding=utf-8 :\nx = 1\n"
    assert without_comments(text) == (text, 0)
    assert without_comments("x = 1\n#!no\ny = 2\n# coding: utf-8\n")[0] == "x = 1\ny = 2\n"


def test_licence_notices_stay_whole_and_are_counted() -> None:
    notice = "# Copyright 2020 Jane Roe\n#\n# You may use this.\n"
    text = f"{notice}\n# Another block.\nimport os\n\n# SPDX-License-Identifier: MIT\nx = 1  # copyright of x\n"
    kept, notices = without_comments(text)
    assert kept == f"{notice}\nimport os\n\n# SPDX-License-Identifier: MIT\nx = 1  # copyright of x\n"
    assert notices == 3
