import os
import sys
from pathlib import Path

import pytest

from raysim.core.errors import InputError
from raysim.corpus.corpus import Drop
from raysim.corpus.file_licences import UNRECOGNIZED, LicenceTexts, find_licences, only_agreed, spdx_header
from raysim.corpus.files import SourceFile
from raysim.corpus.reading import SourceReading

MIT = """MIT License

Copyright (c) 2026 Somebody Else

Permission is hereby granted, free of charge, to any person obtaining a copy of this software and associated
documentation files (the "Software"), to deal in the Software without restriction, including without limitation
the rights to use, copy, modify, merge, publish, distribute, sublicense, and/or sell copies of the Software, and
to permit persons to whom the Software is furnished to do so, subject to the following conditions:

The above copyright notice and this permission notice shall be included in all copies or substantial portions of
the Software.

THE SOFTWARE IS PROVIDED "AS IS", WITHOUT WARRANTY OF ANY KIND, EXPRESS OR IMPLIED, INCLUDING BUT NOT LIMITED TO
THE WARRANTIES OF MERCHANTABILITY, FITNESS FOR A PARTICULAR PURPOSE AND NONINFRINGEMENT. IN NO EVENT SHALL THE
AUTHORS OR COPYRIGHT HOLDERS BE LIABLE FOR ANY CLAIM, DAMAGES OR OTHER LIABILITY, WHETHER IN AN ACTION OF
CONTRACT, TORT OR OTHERWISE, ARISING FROM, OUT OF OR IN CONNECTION WITH THE SOFTWARE OR THE USE OR OTHER
DEALINGS IN THE SOFTWARE.
"""


@pytest.mark.parametrize(
    ("text", "licence"),
    [
        ("# SPDX-License-Identifier: apache-2.0\nx = 1\n", "Apache-2.0"),
        ("#!/bin/sh\n# Copyright\n# SPDX-License-Identifier: MIT OR GPL-2.0-only\r\n", "MIT OR GPL-2.0-only"),
        ("/* SPDX-License-Identifier: BSD-3-Clause */\n", "BSD-3-Clause"),
        ("<!-- SPDX-License-Identifier: MIT -->\n", "MIT"),
        ('"""SPDX-License-Identifier: MIT"""\n', "MIT"),
        ("# SPDX-License-Identifier: MIT\n# SPDX-License-Identifier: Apache-2.0\n", "MIT; Apache-2.0"),
        ("# SPDX-License-Identifier: LicenseRef-Ours\n", "LicenseRef-Ours"),
        ("# SPDX-License-Identifier:\nx = 1\n", None),
        ("# licensed under MIT\n", None),
        ("x = 1\n" * 30 + "HEADER = '# SPDX-License-Identifier: MIT'\n", None),
    ],
)
def test_headers(text: str, licence: str | None) -> None:
    assert spdx_header(text) == licence


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """Repositories with licence texts, one within another, one that nobody knows, one with two."""
    texts = {
        "LICENSE": MIT,
        "strange/COPYING.txt": "Do as you please on Mondays.",
        "both/LICENSE-MIT": MIT,
        "both/LICENSE-OURS": "Ours.",
        "code/license_checker.py": "x = 1\n",
    }
    for path, text in texts.items():
        (tmp_path / path).parent.mkdir(exist_ok=True)
        (tmp_path / path).write_text(text)
    return tmp_path


def files(**paths: str) -> SourceReading:
    return SourceReading(tuple(SourceFile(path, text, "r") for path, text in paths.items()), (Drop("empty", 1, 0),))


def test_texts_are_known_by_their_words(tree: Path) -> None:
    texts = LicenceTexts(tree)
    above = {path: texts.above(path) for path in ("a.py", "c/d/e.py", "strange/f.py", "both/g.py")}
    unknown = UNRECOGNIZED
    assert above == {"a.py": "MIT", "c/d/e.py": "MIT", "strange/f.py": unknown, "both/g.py": f"MIT; {unknown}"}


def test_only_folders_above_files_that_need_it_are_looked_at(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A source of one file does not have all that lies beside it walked through, nor any folder twice."""
    looked, scandir = list[str](), os.scandir

    def look(place: Path):
        looked.append(str(Path(place).relative_to(tree)))
        return scandir(place)

    monkeypatch.setattr(os, "scandir", look)
    stated = SourceFile("both/a.py", "x\n", "r", licence="PSF-2.0")
    found = find_licences(SourceReading((*files(**{"a.py": "x\n", "b.py": "x\n"}).files, stated), ()), "texts", tree)
    assert [one.licence for one in found.files] == ["MIT", "MIT", "PSF-2.0"]
    assert looked == ["."]


def test_a_licence_is_looked_for_where_it_is_asked_for(tree: Path) -> None:
    stated = SourceFile("a.py", "# SPDX-License-Identifier: 0BSD\n", "r", licence="PSF-2.0")
    read = files(**{"b.py": "# SPDX-License-Identifier: 0BSD\n", "c/d/e.py": "x\n", "strange/f.py": "x\n"})
    reading = SourceReading((stated, *read.files), read.skipped)
    found = {
        kind: [f.licence for f in find_licences(reading, kind, tree).files] for kind in ("stated", "headers", "texts")
    }
    assert found == {
        "stated": ["PSF-2.0", None, None, None],
        "headers": ["PSF-2.0", "0BSD", None, None],
        "texts": ["PSF-2.0", "0BSD", "MIT", UNRECOGNIZED],
    }
    assert find_licences(reading, "texts", None).files[2].licence is None
    assert find_licences(reading, "texts", tree).skipped == reading.skipped


def test_without_the_package_there_is_advice(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "identify.identify", None)
    with pytest.raises(InputError, match=r"find_licences: .* pip install 'raysim\[licences\]'"):
        LicenceTexts(tree).above("a.py")


def test_only_what_is_agreed_to_is_kept() -> None:
    """The stricter of what a source states and what a file says of itself decides."""
    reading = SourceReading(
        (
            SourceFile("kept.py", "x = 1\n", "r", licence="mit"),
            SourceFile("said.py", "# SPDX-License-Identifier: MIT\n", "r"),
            SourceFile("stricter.py", "# SPDX-License-Identifier: GPL-3.0-only\n", "r", licence="MIT"),
            SourceFile("other.py", "y = 1\n", "r", licence="GPL-3.0-only"),
            SourceFile("silent.py", "z = 1\n", "r"),
        ),
        (Drop("empty", 1, 0),),
    )
    assert only_agreed(reading, None) == reading
    agreed = only_agreed(reading, ("MIT",))
    assert [f.path for f in agreed.files] == ["kept.py", "said.py"]
    assert [drop.to_json() for drop in agreed.skipped] == [
        {"reason": "empty", "files": 1, "bytes": 0},
        {"reason": "licence not agreed to: GPL-3.0-only", "files": 2, "bytes": 46},
        {"reason": "licence not agreed to: not stated", "files": 1, "bytes": 6},
    ]


def test_a_licence_that_is_a_whole_text_is_short_in_its_reason() -> None:
    reading = SourceReading((SourceFile("a.py", "x\n", "r", licence="Terms " * 100),), ())
    (drop,) = only_agreed(reading, ("MIT",)).skipped
    assert len(drop.reason) < 120
