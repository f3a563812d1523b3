import csv
import gzip
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from examples import scaled
from hypothesis import given, settings
from hypothesis import strategies as st
from shared import made_once

from raysim.core.errors import InputError
from raysim.corpus.corpus import Drop
from raysim.corpus.sources import SourceReading, SourceSettings, read_source

RECORDS: list[dict[str, Any]] = [
    {"repo_name": "acme/b", "path": "m.py", "copies": "1", "content": "b = 1\r\n", "license": "mit"},
    {"repo_name": "acme/a", "path": "m.py", "copies": "3", "content": 'a = "é"\n\n,"\n', "license": "apache-2.0"},
]
EXPECTED = [
    ("acme/a/m.py", 'a = "é"\n\n,"\n', "acme/a", "apache-2.0"),
    ("acme/b/m.py", "b = 1\r\n", "acme/b", "mit"),
]


POINTER = "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n"
PIECES = [
    b"\x00",
    b"\r",
    b'"',
    b"\n",
    b",",
    b"content",
    b"path,",
    b"\xff\xfe",
    b"[" * 2000,
    b'{"path": [[]]}\n',
    b"1e999",
]


def json_lines(records: list[Any]) -> bytes:
    return b"".join(json.dumps(record).encode() + b"\n" for record in records)


def read(folder: Path, *names: str, **settings: Any) -> SourceReading:
    return read_source(SourceSettings(files=list(names), **settings), folder)


def rows(reading: SourceReading) -> list[tuple[str, str, str, str | None]]:
    return [(f.path, f.text, f.repository, f.licence) for f in reading.files]


def write_all_formats(folder: Path) -> list[str]:
    data = json_lines(RECORDS)
    (folder / "r.jsonl").write_bytes(data)
    (folder / "r.jsonl.gz").write_bytes(gzip.compress(data))
    (folder / "r.json.gz").write_bytes(gzip.compress(data))
    (folder / "zipped.jsonl").write_bytes(gzip.compress(data))
    (folder / "unzipped.json.gz").write_bytes(data)
    (folder / "bom.jsonl").write_bytes(b"\xef\xbb\xbf" + data)
    pq.write_table(pa.Table.from_pylist(RECORDS), folder / "r.parquet")
    pq.write_table(
        pa.table({k: pa.array([r[k] for r in RECORDS]).dictionary_encode() for k in RECORDS[0]}), folder / "d.parquet"
    )
    with (folder / "r.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(RECORDS[0]))
        writer.writeheader()
        writer.writerows(RECORDS)
    return sorted(p.name for p in folder.iterdir())


def write_texts(folder: Path, texts: list[str]) -> list[str]:
    """The same texts as the only column of a file of each format."""
    table = pa.table({"content": texts})
    pq.write_table(table, folder / "t.parquet")
    pq.write_table(pa.table({"content": [text.encode() for text in texts]}), folder / "b.parquet")
    (folder / "t.jsonl").write_bytes(json_lines(table.to_pylist()))
    with (folder / "t.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([["content"], *([text] for text in texts)])
    return ["b.parquet", "t.csv", "t.jsonl", "t.parquet"]


def test_every_format_gives_the_same_files(tmp_path: Path) -> None:
    names = write_all_formats(tmp_path)
    assert len(names) == 9
    assert {name: rows(read(tmp_path, name)) for name in names} == dict.fromkeys(names, EXPECTED)


def test_further_columns_are_read_where_they_are_asked_for(tmp_path: Path) -> None:
    """A number in CSV is text anyway; what is empty or no value of a column is not there."""
    found = [{"content": "x", "author": "ada", "year": 2019}, {"content": "y", "author": " ", "year": None}]
    (tmp_path / "r.jsonl").write_bytes(json_lines([{**row, "odd": {"a": 1}} for row in found]))
    pq.write_table(pa.Table.from_pylist(found), tmp_path / "r.parquet")
    (tmp_path / "r.csv").write_text("content,author,year\nx,ada,2019\ny, ,\n")
    for name in ("r.jsonl", "r.parquet", "r.csv"):
        asked = read_source(SourceSettings(files=[name]), tmp_path, ["year", "author", "odd", "content"])
        assert [f.columns for f in asked.files] == [
            (("year", "2019"), ("author", "ada"), ("content", "x")),
            (("content", "y"),),
        ]
        assert [f.columns for f in read(tmp_path, name).files] == [(), ()]


def test_record_without_a_path_is_named_after_its_file_and_number(tmp_path: Path) -> None:
    (tmp_path / "r.jsonl").write_bytes(json_lines([{"content": "x", "repo_name": "acme"}, {"content": "y"}]))
    assert rows(read(tmp_path, "r.jsonl")) == [("r.jsonl#1", "x", "acme", None), ("r.jsonl#2", "y", "r.jsonl", None)]


def test_names_tell_files_of_one_name_apart_and_hold_no_absolute_path(tmp_path: Path) -> None:
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "r.jsonl").write_bytes(json_lines([{"content": "x"}]))
    reading = read(Path("/"), str(tmp_path / "a/r.jsonl"), str(tmp_path / "b/r.jsonl"))
    assert [f.path for f in reading.files] == ["a/r.jsonl#1", "b/r.jsonl#1"]


def test_records_of_one_path_stay_apart(tmp_path: Path) -> None:
    (tmp_path / "r.jsonl").write_bytes(json_lines([{"content": "x", "path": "m.py"}, {"content": "y", "path": "m.py"}]))
    assert [f.path for f in read(tmp_path, "r.jsonl").files] == ["m.py (r.jsonl#1)", "m.py (r.jsonl#2)"]


def test_column_can_be_named(tmp_path: Path) -> None:
    (tmp_path / "r.jsonl").write_bytes(json_lines([{"code": "x"}]))
    assert [f.text for f in read(tmp_path, "r.jsonl", column="code").files] == ["x"]


def test_include_applies_to_the_paths_of_records(tmp_path: Path) -> None:
    records = [{"content": "x", "path": "a/m.py"}, {"content": "y", "path": "b/m.py"}, {"content": "z", "path": "r.md"}]
    (tmp_path / "r.jsonl").write_bytes(json_lines(records))
    assert [f.path for f in read(tmp_path, "r.jsonl").files] == ["a/m.py", "b/m.py"]
    reading = read(tmp_path, "r.jsonl", include=["a/**"])
    assert [f.path for f in reading.files] == ["a/m.py"]
    assert reading.skipped == (Drop("not matched by include: .md", 1, 1), Drop("not matched by include: .py", 1, 1))
    assert read(tmp_path, "r.jsonl", include=["a/**"], exclude=["a/**"]).skipped[0] == Drop("left out by exclude", 1, 1)


def test_broken_lines_are_counted_and_the_rest_is_read(tmp_path: Path) -> None:
    good = json_lines([{"content": "x"}])
    lines = [good, b'{"content": \n', b"[1]\n", b'{"content": "\xe9"}\n', b"\n", json_lines([{"content": None}])]
    lines += [b'{"content": "\\ud800"}\n', json_lines([{"content": " "}]), good]
    (tmp_path / "r.jsonl").write_bytes(b"".join(lines))
    reading = read(tmp_path, "r.jsonl")
    assert [f.path for f in reading.files] == ["r.jsonl#1", "r.jsonl#9"]
    assert {d.reason: d.files for d in reading.skipped} == {
        "empty": 1,
        "line is no JSON object": 1,
        "line is not valid JSON": 1,
        "not UTF-8": 2,
        "record without text in column 'content'": 1,
    }


def test_a_byte_order_mark_is_no_text_in_any_format(tmp_path: Path) -> None:
    table = pa.table({"content": ["\ufeffx = 1", "y = 2"]})
    pq.write_table(table, tmp_path / "r.parquet")
    (tmp_path / "r.jsonl").write_bytes(json_lines(table.to_pylist()))
    (tmp_path / "r.csv").write_text("content\n\ufeffx = 1\ny = 2\n", encoding="utf-8")
    for name in ("r.parquet", "r.jsonl", "r.csv"):
        assert [f.text for f in read(tmp_path, name).files] == ["x = 1", "y = 2"]


def test_csv_rows_are_bad_on_their_own(tmp_path: Path) -> None:
    (tmp_path / "r.csv").write_bytes(b'content,path\n123,a.py\n"x,y",b.py,c\n\xe9,d.py\n"tab\tq",e.py\n')
    reading = read(tmp_path, "r.csv")
    assert [(f.path, f.text) for f in reading.files] == [("a.py", "123"), ("e.py", "tab\tq")]
    assert {d.reason: d.files for d in reading.skipped} == {
        "CSV row with the wrong number of columns": 1,
        "not UTF-8": 1,
    }


def test_csv_records_are_numbered_as_in_the_file(tmp_path: Path) -> None:
    (tmp_path / "r.csv").write_text('content,other\n"a\nb",1\nx,2,3\nc,4\n')
    assert [f.path for f in read(tmp_path, "r.csv").files] == ["r.csv#1", "r.csv#3"]


def test_long_csv_cells_are_whole(tmp_path: Path) -> None:
    text = "x = 1\n" * 500_000
    with (tmp_path / "r.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([["content"], ["short"], [text]])
    assert sorted(len(f.text) for f in read(tmp_path, "r.csv").files) == [5, len(text)]


@pytest.mark.parametrize("name", ["r.jsonl", "r.csv", "r.parquet"])
def test_missing_column_names_file_and_columns(tmp_path: Path, name: str) -> None:
    write_all_formats(tmp_path)
    with pytest.raises(InputError, match=rf"{name}: no column 'code'; it has content, "):
        read(tmp_path, name, column="code")


def test_broken_record_files_are_named(tmp_path: Path) -> None:
    data = gzip.compress(json_lines(RECORDS * 50))
    (tmp_path / "cut.json.gz").write_bytes(data[: len(data) // 2])
    (tmp_path / "bad.parquet").write_bytes(b"PAR1 nothing")
    (tmp_path / "text.jsonl").write_bytes(b"no json\nat all\n")
    (tmp_path / "empty.csv").write_bytes(b"")
    for name in ("cut.json.gz", "bad.parquet", "text.jsonl", "empty.csv"):
        with pytest.raises(InputError, match=name):
            read(tmp_path, name)


def test_a_line_that_unpacks_without_end_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("raysim.corpus.records._MOST_LINE_BYTES", 1 << 20)
    good = json_lines([{"content": "x" * 1_000_000}])
    (tmp_path / "r.jsonl").write_bytes(good)
    assert len(read(tmp_path, "r.jsonl").files) == 1
    (tmp_path / "bomb.json.gz").write_bytes(gzip.compress(good + bytes(10 << 20)))
    with pytest.raises(InputError, match=r"bomb\.json\.gz: line 2 has more than 1 MiB"):
        read(tmp_path, "bomb.json.gz")


def test_a_deep_record_costs_itself_alone(tmp_path: Path) -> None:
    deep = [b'{"content": "y", "more": ' + b"[" * n + b"]" * n + b"}\n" for n in (101, 100_000)]
    (tmp_path / "r.jsonl").write_bytes(b"".join([*deep, *json_lines([{"content": "x"}]).splitlines(keepends=True)]))
    reading = read(tmp_path, "r.jsonl")
    assert [file.text for file in reading.files] == ["x"]
    assert {drop.reason: drop.files for drop in reading.skipped} == {"line is not valid JSON": 2}


@pytest.mark.parametrize(
    ("name", "data", "words"),
    [
        ("r.csv", b"content,content\nx,y\n", "has the column 'content' 2 times"),
        ("r.csv", b"content,path,license,path\nx,y,z,w\n", "has the column 'path' 2 times"),
        ("r.csv", b'"content,path\nx,y\n', "broken CSV file: its first row"),
        ("r.csv", b"c\xffode,path\nx,y\n", "no column 'content'"),
        ("r.csv", "content\nx = 1\n".encode("utf-16"), "is UTF-16; save it as UTF-8"),
        ("r.jsonl", "{}\n".encode("utf-32"), "is UTF-32; save it as UTF-8"),
        ("r.jsonl", POINTER.encode(), "a Git LFS pointer"),
        ("r.parquet", POINTER.encode(), "a Git LFS pointer"),
        ("r.json.gz", POINTER.encode(), "a Git LFS pointer"),
    ],
)
def test_what_is_no_file_of_records_is_said_in_a_line(tmp_path: Path, name: str, data: bytes, words: str) -> None:
    (tmp_path / name).write_bytes(data)
    with pytest.raises(InputError, match=words) as raised:
        read(tmp_path, name)
    assert "\n" not in str(raised.value)


def test_a_column_that_nobody_reads_may_be_there_twice(tmp_path: Path) -> None:
    (tmp_path / "r.csv").write_text("other,content,other\na,x,b\n")
    assert [f.text for f in read(tmp_path, "r.csv").files] == ["x"]
    pq.write_table(pa.table([["x"], ["y"]], ["content", "content"]), tmp_path / "r.parquet")
    with pytest.raises(InputError, match="has the column 'content' 2 times"):
        read(tmp_path, "r.parquet")


@pytest.mark.parametrize(("name", "data"), [("r.csv", b"content\nx\n"), ("r.jsonl", b'{"content": "x", "path": " "}')])
def test_include_needs_records_with_paths(tmp_path: Path, name: str, data: bytes) -> None:
    (tmp_path / name).write_bytes(data)
    assert [f.text for f in read(tmp_path, name).files] == ["x"]
    with pytest.raises(InputError, match="include chooses records by their path, and none has one"):
        read(tmp_path, name, include=["**/*.py"])


def test_pointers_marks_and_line_ends_are_known_in_every_format(tmp_path: Path) -> None:
    texts = [POINTER, "\ufeffa = 1\rb = 2\r\n", "fine = 1\n"]
    for name in write_texts(tmp_path, texts):
        reading = read(tmp_path, name)
        assert [f.text for f in reading.files] == ["a = 1\nb = 2\r\n", "fine = 1\n"], name
        assert [(drop.reason[:17], drop.files) for drop in reading.skipped] == [("a Git LFS pointer", 1)], name


def _write_good_files(folder: Path) -> None:
    write_all_formats(folder)


@given(data=st.data())
@settings(max_examples=scaled(100), deadline=None)
def test_damaged_record_files_are_read_or_refused_in_a_line(
    data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """No other error, whatever bytes of a good file are others, gone, there twice, or new."""
    folder = made_once(tmp_path_factory, "records", _write_good_files)
    name = data.draw(st.sampled_from(sorted(file.name for file in folder.iterdir())))
    content = bytearray((folder / name).read_bytes())
    for _ in range(data.draw(st.integers(0, 5))):
        at = data.draw(st.integers(0, len(content)))
        gone = data.draw(st.integers(0, 20))
        content[at : at + gone] = data.draw(st.binary(max_size=20) | st.sampled_from(PIECES))
    damaged = tmp_path_factory.mktemp("damaged")
    (damaged / name).write_bytes(content)
    include = data.draw(st.none() | st.just(["**/*.py"]))
    said = ""
    try:
        reading = read(damaged, name, include=include)
        assert all(file.text.strip() and file.path.strip() for file in reading.files)
    except InputError as error:
        said = str(error)
    assert "\n" not in said


def test_a_dataset_never_runs_code_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setattr("builtins.input", lambda _: "y")
    (tmp_path / "set").mkdir()
    (tmp_path / "set" / "set.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\n")
    hub = {"name": "set", "split": "train", "column": "code"}
    with pytest.raises(InputError, match=r"cannot be loaded: Dataset scripts are no longer supported"):
        read_source(SourceSettings.model_validate({"hub": hub}), tmp_path)
    assert not (tmp_path / "ran").exists()


def test_hub_reads_a_local_dataset_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from datasets import config

    monkeypatch.setattr(config, "HF_DATASETS_CACHE", tmp_path / "cache")
    (tmp_path / "set").mkdir()
    (tmp_path / "set/train.jsonl").write_bytes(json_lines([{"code": "x = 1", "repo_name": "acme"}, {"code": "y"}]))
    hub = {"name": "set", "split": "train", "column": "code"}
    reading = read_source(SourceSettings.model_validate({"hub": hub}), tmp_path)
    assert rows(reading) == [("set#1", "x = 1", "acme", None), ("set#2", "y", "set", None)]
    further = read_source(SourceSettings.model_validate({"hub": hub}), tmp_path, ["repo_name"])
    assert [f.columns for f in further.files] == [(("repo_name", "acme"),), ()]
    with pytest.raises(InputError, match=r"no column 'body'; it has code, repo_name; set hub\.column"):
        read_source(SourceSettings.model_validate({"hub": hub | {"column": "body"}}), tmp_path)
    with pytest.raises(InputError, match="split test"):
        read_source(SourceSettings.model_validate({"hub": hub | {"split": "test"}}), tmp_path)
