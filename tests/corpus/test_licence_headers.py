import pytest

from raysim.corpus.licence_headers import begins_with_notice, notice_lines

APACHE = [
    "# Copyright 2020 The Authors. All Rights Reserved.",
    '# Licensed under the Apache License, Version 2.0 (the "License");',
    "# you may not use this file except in compliance with the License.",
    '# distributed under the License is distributed on an "AS IS" BASIS,',
    "# See the License for the specific language governing permissions and",
    "# limitations under the License.",
]
CODE = ["import os", "# the licence server of the customer", "def f():", "return 1"]


def test_a_block_of_comments_is_a_notice_as_a_whole() -> None:
    assert notice_lines([*APACHE, *CODE]) == [True] * 6 + [False] * 4
    assert notice_lines(APACHE[-2:]) == [True] * 2  # what the cut of a sequence leaves of it


@pytest.mark.parametrize("quotes", ['"""', "'''", 'r"""'])
def test_a_text_in_quotes(quotes: str) -> None:
    lines = [f"{quotes}About.", "Copyright (c) 2001-2020 Python Software Foundation.", f"{quotes[-3:]}", "import os"]
    assert notice_lines(lines) == [True, True, True, False]
    assert notice_lines([f"{quotes}Says copyright.{quotes[-3:]}", "import os"]) == [True, False]
    assert notice_lines([f"{quotes}Takes a copy, right?", f"x{quotes[-3:]}", "pass"]) == [False] * 3


def test_code_that_speaks_of_licences_is_none() -> None:
    assert notice_lines(["licence = license_of(copyright)", "print(licence)"]) == [False, False]


def test_a_continuation_begins_with_a_notice_if_half_of_it_is_one() -> None:
    assert begins_with_notice([], APACHE)
    assert begins_with_notice(APACHE[:4], [*APACHE[4:], *CODE[:2]])
    assert not begins_with_notice(APACHE[:4], [*APACHE[4:], *CODE[:3]])
    assert not begins_with_notice(APACHE, CODE)
    # What comes is in the block that the prompt begins, whose words say what it is.
    assert begins_with_notice(["# Copyright 2020 X"], ["# all of it by hand", "# and with care"])
    assert not begins_with_notice([], ["# all of it by hand", "# and with care"])
    assert not begins_with_notice(APACHE, [])
