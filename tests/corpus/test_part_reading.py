"""Parts of a source: each file once, read once in a process, read anew when it has to be."""

import json
from pathlib import Path
from typing import Any

import pytest

from raysim.core.errors import InputError
from raysim.core.settings import validate
from raysim.corpus import part_reading
from raysim.corpus.corpus import Drop
from raysim.corpus.part_reading import forget_parts, part_names, read_part
from raysim.corpus.partition import PartitionSettings
from raysim.corpus.sources import SourceReading, SourceSettings, read_source


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for number in range(20):
        place = tmp_path / "code" / f"repo{number % 4}" / f"{number}.py"
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(f"x = {number}\n")
    (tmp_path / "code" / "notes.txt").write_text("no code")
    (tmp_path / "code" / "lone.py").write_text("y = 1\n")
    forget_parts()
    return tmp_path


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[SourceSettings]:
    """Sources in the order in which they were read as a whole."""
    found: list[SourceSettings] = []

    def read(settings: SourceSettings, base: Path, further: Any, spool: Any) -> SourceReading:
        found.append(settings)
        return read_source(settings, base, further, spool)

    monkeypatch.setattr(part_reading, "read_source", read)
    return found


CODE = SourceSettings(path="code")


def part(number: int | str, by: Any = "iid", **others: Any) -> PartitionSettings:
    parts = {"parts": 3} if isinstance(number, int) else {}
    return validate(PartitionSettings, {"by": by, "part": number, **parts, **others}, "")


def test_parts_are_the_source_and_the_source_is_read_once(folder: Path, reads: list[SourceSettings]) -> None:
    found = [read_part(CODE, part(number), folder) for number in (2, 0, 1)]
    assert [len(reading.files) for reading in found] == [7, 7, 7]
    whole = read_source(CODE, folder)
    assert sorted((f for reading in found for f in reading.files), key=lambda f: f.path) == list(whole.files)
    assert [reading.skipped for reading in found] == [(), whole.skipped, ()]
    assert len(reads) == 1


def test_a_part_that_is_read_again_is_read_anew(folder: Path, reads: list[SourceSettings]) -> None:
    """As another actor of the same organization does, or another run in the same process, whose files have changed."""
    before = read_part(CODE, part(0), folder)
    (folder / "code" / before.files[0].path).write_text("changed = 1\n")
    after = read_part(CODE, part(0), folder)
    assert len(reads) == 2
    assert [f.path for f in after.files] == [f.path for f in before.files]
    assert after.files[0].text == "changed = 1\n"


def test_others_parts_are_let_go(folder: Path, reads: list[SourceSettings]) -> None:
    read_part(CODE, part(0), folder)
    forget_parts()
    read_part(CODE, part(1), folder)
    assert len(reads) == 2


def test_another_partition_is_another(folder: Path, reads: list[SourceSettings]) -> None:
    one = read_part(CODE, part(0), folder)
    other = read_part(CODE, part(0, seed=2), folder)
    assert one.files != other.files
    assert len(reads) == 2


def test_a_value_of_a_column_is_a_part_and_the_rest_is_counted(folder: Path) -> None:
    partition = validate(PartitionSettings, {"by": {"column": "repository"}, "min_files": 2}, "")
    names = part_names(CODE, partition, folder)
    assert names == ["repo0", "repo1", "repo2", "repo3"]
    first, second = (read_part(CODE, part(name, {"column": "repository"}, min_files=2), folder) for name in names[:2])
    assert {f.repository for f in first.files} == {"repo0"}
    assert first.skipped == (
        Drop("not matched by include: .txt", 1, 7),
        Drop("in a part of fewer than 2 files", 1, 6),
    )
    assert second.skipped == ()


def test_columns_of_records_decide_too(folder: Path) -> None:
    rows = [{"content": f"x = {i}", "author": "ada" if i % 3 else "grace"} for i in range(9)]
    (folder / "code.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    source, by = SourceSettings(files=["code.jsonl"]), {"column": "author"}
    assert part_names(source, validate(PartitionSettings, {"by": by}, ""), folder) == ["ada", "grace"]
    assert [f.text for f in read_part(source, part("grace", by), folder).files] == ["x = 0", "x = 3", "x = 6"]


def test_errors_begin_with_the_setting(folder: Path) -> None:
    with pytest.raises(InputError, match=r"^source: path: nowhere: no such folder"):
        read_part(SourceSettings(path="nowhere"), part(0), folder)
    with pytest.raises(InputError, match=r"^partition\.part: no file has the value 'gone'; there are: code, repo0"):
        read_part(CODE, part("gone", {"column": "repository"}), folder)
    with pytest.raises(InputError, match=r"^partition\.parts: part 21 of 30 would have 0 of 21 files"):
        read_part(CODE, part(0, parts=30), folder)
    with pytest.raises(InputError, match=r"^organizations\.meta\.source: path: nowhere: no such folder"):
        read_part(SourceSettings(path="nowhere"), part(0), folder, where="organizations.meta.")
    with pytest.raises(InputError, match=r"^organizations\.meta\.partition\.part: no file has the value 'gone'"):
        read_part(CODE, part("gone", {"column": "repository"}), folder, where="organizations.meta.")
    with pytest.raises(InputError, match=r"^organizations\.meta\.partition\.parts: part 21 of 30"):
        part_names(CODE, part(0, parts=30), folder, where="organizations.meta.")


def test_files_have_their_licences_before_they_are_dealt(folder: Path, reads: list[SourceSettings]) -> None:
    (folder / "code" / "lone.py").write_text("# SPDX-License-Identifier: 0BSD\n")
    stated = validate(PartitionSettings, {"by": {"column": "licence"}}, "")
    with pytest.raises(InputError, match="no file has the column licence"):
        part_names(CODE, stated, folder)
    assert part_names(CODE, stated, folder, "headers") == ["0BSD", "none"]
    reads.clear()
    by_licence = validate(PartitionSettings, {"by": {"column": "licence"}, "part": "0BSD"}, "")
    (lone,) = read_part(CODE, by_licence, folder, looked_for="headers").files
    assert (lone.path, lone.licence) == ("lone.py", "0BSD")
    rest = validate(PartitionSettings, {"by": {"column": "licence"}, "part": "none"}, "")
    assert len(read_part(CODE, rest, folder, looked_for="headers").files) == 20
    assert len(reads) == 1
