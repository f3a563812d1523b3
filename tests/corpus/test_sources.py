import ast
import os
import random
import re
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from raysim.core.errors import InputError
from raysim.core.settings import validate
from raysim.corpus.corpus import Drop
from raysim.corpus.sources import SourceReading, SourceSettings, read_source


def write(folder: Path, files: Mapping[str, str | bytes]) -> Path:
    for path, content in files.items():
        target = folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content if isinstance(content, bytes) else content.encode())
    return folder


def read(base: Path, **settings: object) -> SourceReading:
    return read_source(SourceSettings.model_validate(settings), base)


def paths(reading: SourceReading) -> list[str]:
    return [source.path for source in reading.files]


def test_folder_is_read_sorted_with_its_sub_folders_as_repositories(tmp_path: Path) -> None:
    write(tmp_path / "acme", {"z.py": "z = 1\r\n", "lib/b/a.py": "a", "lib/a.py": "b", "lib/notes.txt": "no"})
    reading = read(tmp_path, path="acme")
    assert [(f.path, f.text, f.repository) for f in reading.files] == [
        ("lib/a.py", "b", "lib"),
        ("lib/b/a.py", "a", "lib"),
        ("z.py", "z = 1\r\n", "acme"),
    ]


def test_single_source_file_is_a_path_too(tmp_path: Path) -> None:
    write(tmp_path, {"acme/one.py": "x"})
    assert paths(read(tmp_path, path="acme/one.py")) == ["one.py"]


def test_unusable_files_are_counted_by_reason(tmp_path: Path) -> None:
    write(tmp_path, {"latin.py": "é = 1".encode("latin-1"), "empty.py": b"", "blank.py": b" \n\t\n", "good.py": "x"})
    (tmp_path / "dead.py").symlink_to(tmp_path / "gone.py")
    reading = read(tmp_path, path=".")
    assert paths(reading) == ["good.py"]
    assert reading.skipped == (
        Drop("empty", 2, 4),
        Drop("not UTF-8", 1, 5),
        Drop("unreadable: No such file or directory", 1, 0),
    )


def test_encodings_that_files_declare_are_read(tmp_path: Path) -> None:
    text = "# coding: latin-1\nname = 'é'\r\n"
    write(tmp_path, {"latin.py": text.encode("latin-1"), "utf8.py": text, "marked.py": b"\xef\xbb\xbfx"})
    reading = read(tmp_path, path=".")
    assert {f.path: f.text for f in reading.files} == {"latin.py": text, "utf8.py": text, "marked.py": "x"}
    assert reading.skipped == ()


@pytest.mark.skipif(sys.platform != "linux", reason="other systems refuse such names")
@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_a_byte_order_mark_takes_no_line_and_no_function_away(encoding: str, tmp_path: Path) -> None:
    """With the mark in the text its first line was another one, and no file of it was Python."""
    code = "def one(a):\n    b = a\n    return b\n\n\ndef two(a):\n    return a\n"
    (tmp_path / "a.py").write_bytes(code.encode(encoding))
    (source,) = read(tmp_path, path=".").files
    assert source.text == code
    functions = [node.name for node in ast.walk(ast.parse(source.text)) if isinstance(node, ast.FunctionDef)]
    assert functions == ["one", "two"]


def test_file_name_that_is_not_utf8_is_counted(tmp_path: Path) -> None:
    Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9.py")).write_text("x")
    reading = read(tmp_path, path=".")
    assert (reading.files, reading.skipped) == ((), (Drop("name is not UTF-8", 1, 1),))


def test_links_back_up_end_and_linked_files_are_read_once(tmp_path: Path) -> None:
    write(tmp_path / "org", {"a/x.py": "x", "b/y.py": "y"})
    (tmp_path / "org/a/loop").symlink_to(tmp_path / "org")
    (tmp_path / "org/a/above").symlink_to(tmp_path)
    (tmp_path / "org/a/self").symlink_to(tmp_path / "org/a/self")
    (tmp_path / "org/a/copy_of_b").symlink_to(tmp_path / "org/b")
    (tmp_path / "org/b/z.py").symlink_to(tmp_path / "org/b/y.py")
    reading = read(tmp_path, path="org")
    assert paths(reading) == ["a/x.py", "b/y.py"]
    assert [(d.reason, d.files) for d in reading.skipped] == [("the same file under a second name or package", 1)]


def test_linked_folder_outside_is_followed_once(tmp_path: Path) -> None:
    write(tmp_path, {"org/a.py": "a", "disk/b.py": "b"})
    (tmp_path / "org/first").symlink_to(tmp_path / "disk")
    (tmp_path / "org/second").symlink_to(tmp_path / "disk")
    assert paths(read(tmp_path, path="org")) == ["a.py", "first/b.py"]


def test_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.py")
    write(tmp_path, {"a.py": "a"})
    assert paths(read(tmp_path, path=".")) == ["a.py"]


def test_include_and_exclude_choose_paths(tmp_path: Path) -> None:
    write(tmp_path, dict.fromkeys(("a/b/c.py", "a/c.py", "a/c.c", "d.py", "a/test/t.py"), "x"))
    assert paths(read(tmp_path, path=".", include=["a/**"], exclude=["**/test/**"])) == ["a/b/c.py", "a/c.py"]
    assert paths(read(tmp_path, path=".", include=["**/*.c"])) == ["a/c.c"]


def test_what_no_pattern_asks_for_is_counted_by_ending(tmp_path: Path) -> None:
    names = ("a.py", "a.ipynb", "b/c.ipynb", "b/stub.pyi", "run", "b/.bashrc", "b/test/t.py", "b/test/t.pyi")
    for name in (*names, ".git/objects/ab", "b/__pycache__/a.pyc"):
        write(tmp_path, {name: "xy"})
    (tmp_path / "dead.txt").symlink_to(tmp_path / "gone.txt")
    expected = {"left out by exclude": 1, ".ipynb": 2, ".pyi": 1, "no ending": 2}
    reading = read(tmp_path, path=".", exclude=["**/test/**", "**/.git/**"])
    assert {drop.reason.removeprefix("not matched by include: "): drop.files for drop in reading.skipped} == expected
    assert {drop.num_bytes for drop in reading.skipped} == {2, 4}


def test_packages_are_counted_by_ending_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path, {"plainpackage/__init__.py": "x = 1", "plainpackage/native.so": "y", "plainpackage/py.typed": ""})
    monkeypatch.syspath_prepend(tmp_path)
    reading = read(tmp_path, packages=["plainpackage"])
    assert [d.reason for d in reading.skipped] == ["not matched by include: .so", "not matched by include: .typed"]


def test_many_endings_are_counted_together(tmp_path: Path) -> None:
    for name in (*(f"page.{number}" for number in range(30)), "a.txt", "b.txt", "a.py"):
        write(tmp_path, {name: "x"})
    skipped = read(tmp_path, path=".").skipped
    assert len(skipped) == 13
    assert Drop("not matched by include: .txt", 2, 2) in skipped
    assert Drop("not matched by include: other endings", 19, 19) in skipped


def test_a_pointer_and_utf16_are_told(tmp_path: Path) -> None:
    write(
        tmp_path,
        {"a.py": b"version https://git-lfs.github.com/spec/v1\noid sha256:ab\n", "b.py": "b = 'é'".encode("utf-16")},
    )
    reading = read(tmp_path, path=".")
    assert [(file.path, file.text) for file in reading.files] == [("b.py", "b = 'é'")]
    assert [drop.reason for drop in reading.skipped] == ["a Git LFS pointer, not the file (git lfs pull fetches it)"]


def test_hidden_folders_and_environments_are_left_out_unless_asked_for(tmp_path: Path) -> None:
    write(tmp_path, dict.fromkeys((".git/h.py", "env/lib/site-packages/s.py", "a.py"), "x"))
    assert paths(read(tmp_path, path=".")) == ["a.py"]
    assert len(read(tmp_path, path=".", exclude=[]).files) == 3


def test_reading_does_not_depend_on_the_order_of_creation(tmp_path: Path) -> None:
    names = [f"{folder}/{name}.py" for folder in "abc" for name in "xyz"]
    random.Random(3).shuffle(names)
    write(tmp_path / "one", dict.fromkeys(names, "x"))
    write(tmp_path / "two", dict.fromkeys(sorted(names), "x"))
    assert read(tmp_path, path="one") == read(tmp_path, path="two")


def test_package_files_carry_its_name_and_licence() -> None:
    reading = read(Path(), packages=["pydantic"], include=["pydantic/v1/**"])
    assert "pydantic/v1/main.py" in paths(reading)
    assert all(f.path.startswith("pydantic/v1/") and f.path.endswith(".py") for f in reading.files)
    assert {(f.repository, f.licence) for f in reading.files} == {("pydantic", "MIT")}


def test_import_name_finds_the_distribution() -> None:
    by_import = read(Path(), packages=["yaml"])
    assert {f.repository for f in by_import.files} == {"PyYAML"}
    assert by_import == read(Path(), packages=["PyYAML"])


def test_package_named_twice_is_read_once() -> None:
    once, twice = read(Path(), packages=["PyYAML"]), read(Path(), packages=["yaml", "PyYAML"])
    assert once.files == twice.files
    assert sum(d.files for d in twice.skipped if "second name" in d.reason) > 0


def test_module_without_a_distribution_is_found_by_import(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path, {"plainpackage/__init__.py": "x = 1", "plainpackage/sub/m.py": "y", "plainmodule.py": "z"})
    monkeypatch.syspath_prepend(tmp_path)
    reading = read(tmp_path, packages=["plainpackage", "plainmodule"])
    assert [(f.path, f.repository) for f in reading.files] == [
        ("plainmodule.py", "plainmodule"),
        ("plainpackage/__init__.py", "plainpackage"),
        ("plainpackage/sub/m.py", "plainpackage"),
    ]


def test_two_packages_that_own_one_real_file_give_it_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path, {"onepackage/m.py": "x"})
    (tmp_path / "otherpackage").symlink_to(tmp_path / "onepackage")
    monkeypatch.syspath_prepend(tmp_path)
    reading = read(tmp_path, packages=["otherpackage", "onepackage"])
    assert paths(reading) == ["onepackage/m.py"]


def test_editable_install_is_followed_to_its_code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(
        tmp_path,
        {
            "editableproject-1.dist-info/METADATA": "Metadata-Version: 2.4\nName: editableproject\nVersion: 1\n"
            "Classifier: License :: OSI Approved :: MIT License\n",
            "editableproject-1.dist-info/RECORD": "editableproject-1.dist-info/METADATA,,\n",
            "editableproject-1.dist-info/top_level.txt": "editablecode\n",
            "editablecode/m.py": "x",
        },
    )
    monkeypatch.syspath_prepend(tmp_path)
    (source,) = read(tmp_path, packages=["editableproject"]).files
    assert (source.path, source.licence) == ("editablecode/m.py", "MIT License")


def test_stdlib_is_the_library_without_what_is_installed_or_tests_it() -> None:
    reading = read(Path(), stdlib=True)
    assert {"json/decoder.py", "os.py", "asyncio/base_events.py"} <= set(paths(reading))
    tops = {path.split("/")[0] for path in paths(reading)}
    assert not tops & {"site-packages", "dist-packages", "test", "idlelib", "lib2to3"}
    assert not any("/test/" in path or "/tests/" in path or "site-packages" in path for path in paths(reading))
    assert not any(path.startswith("_sysconfigdata") for path in paths(reading))


def test_stdlib_is_short_for_the_setting() -> None:
    assert validate(SourceSettings, "stdlib", "x.yaml") == SourceSettings(stdlib=True)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"path": "nowhere"}, "path: nowhere: no such folder"),
        ({"packages": ["no-such-package-here"]}, "'no-such-package-here' is not installed"),
        ({"files": ["nowhere.jsonl"]}, "nowhere.jsonl: no such file"),
        ({"files": ["a.jsonl", "./a.jsonl"]}, "a.jsonl is listed 2 times"),
        ({"files": ["table.xlsx"]}, "table.xlsx: not a record file"),
        ({"path": "a.jsonl"}, "a.jsonl is a record file; write files:"),
    ],
)
def test_missing_sources_are_input_errors_that_name_them(
    tmp_path: Path, settings: dict[str, object], message: str
) -> None:
    write(tmp_path, {"a.jsonl": '{"content": "x"}\n', "table.xlsx": "x"})
    with pytest.raises(InputError, match=message.replace(".", r"\.")):
        read(tmp_path, **settings)


@pytest.mark.parametrize(
    "raw",
    [{}, {"path": "a", "stdlib": True}, {"packages": []}, {"path": "a", "column": "c"}, "torch", {"pth": "a"}],
)
def test_source_is_exactly_one_kind(raw: object) -> None:
    with pytest.raises(InputError):
        validate(SourceSettings, raw, "x.yaml")


def test_command_line_paths_become_record_files_or_folders() -> None:
    assert SourceSettings.at("a/b.json.gz", "code") == SourceSettings(files=["a/b.json.gz"], column="code")
    assert SourceSettings.at("a/b") == SourceSettings(path="a/b")


@pytest.mark.parametrize(
    ("files", "include", "message"),
    [
        (
            ["train.parquet"],
            None,
            "nothing matches `**/*.py`; it holds train.parquet: write files: [code/train.parquet]",
        ),
        (["a.csv", "sub/b.jsonl.gz"], None, "it holds a.csv and 1 more record files: write files: [code/a.csv,"),
        (
            ["1.jsonl", "2.jsonl", "3.jsonl"],
            None,
            "it holds 1.jsonl and 2 more record files: write files: [code/**/*.jsonl]",
        ),
        (["A.java", "B.java", "c.md"], None, "it holds 2 .java files, 1 .md file: write include: ['**/*.java']"),
        (["a.py"], ["src/**"], "nothing matches `src/**`; it holds 1 .py file: write include: ['**/*.py']"),
        (["Makefile"], None, "it holds 1 files without an ending: name another"),
        ([], None, "it holds no files: name another"),
        ([".git/x.py"], None, "it holds no files"),
    ],
)
def test_a_folder_without_wanted_files_says_what_it_holds(
    tmp_path: Path, files: list[str], include: list[str] | None, message: str
) -> None:
    (tmp_path / "code").mkdir()
    write(tmp_path, {f"code/{name}": "x" for name in files})
    with pytest.raises(InputError, match=re.escape(message)):
        read(tmp_path, path="code", include=include)


def test_record_files_are_named_by_globs(tmp_path: Path) -> None:
    row = '{"content": "x = NUMBER"}\n'
    for name in "ba":
        write(tmp_path, {f"data/{name}.jsonl": row.replace("NUMBER", name)})
    write(tmp_path, {"[x].jsonl": row, "data/notes.md": "x"})
    assert paths(read(tmp_path, files=["data/*"])) == ["a.jsonl#1", "b.jsonl#1"]
    assert paths(read(tmp_path, files=["**/[a].jsonl", "[x].jsonl"])) == ["[x].jsonl#1", "a.jsonl#1"]
    for given, message in {
        "data/*.csv": "files: data/*.csv: no record file matches (looked for",
        "data": "files: data is a folder; write path: data, or files: [data/*.parquet]",
    }.items():
        with pytest.raises(InputError, match=re.escape(message)):
            read(tmp_path, files=[given])
    with pytest.raises(InputError, match="listed 2 times"):
        read(tmp_path, files=["data/*", "data/a.jsonl"])
