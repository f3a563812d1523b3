"""YAML 1.2 as a person writes it: what is a word, what is a number, and where an error is."""

import contextlib
import json
import subprocess
import sys
from datetime import timedelta
from pathlib import Path
from typing import Any

import hypothesis
import hypothesis.strategies as st
import pytest
from examples import scaled

from raysim.core.errors import InputError
from raysim.core.yaml_files import dump_yaml, load_yaml, parse_yaml, yaml_text


def aliases(form: str, key: str = "") -> str:
    """Nine nested levels of nine aliases each: 9 to the power of 9 once written out."""
    lines = ["a0: &a0 {x: 1}"]
    for level in range(9):
        inner = ", ".join(key.format(n) + f"*a{level}" for n in range(9))
        lines.append(f"a{level + 1}: &a{level + 1} {form.format(inner)}")
    return "\n".join(lines)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("on", "on"),
        ("yes", "yes"),
        ("No", "No"),
        ("off", "off"),
        ("y", "y"),
        ("true", True),
        ("False", False),
        ("~", None),
        ("3e-3", 3e-3),
        ("1E5", 1e5),
        ("2.", 2.0),
        ("-.5", -0.5),
        ("017", 17),
        ("0o17", 15),
        ("1_000", 1000),
        ("1:30", "1:30"),
        ("16 KB", "16 KB"),
        ("20 %", "20 %"),
        ("&x [1, 2]", [1, 2]),
        ("", None),
    ],
)
def test_scalars(text: str, value: Any) -> None:
    found = parse_yaml(text, "here")
    assert (found, type(found)) == (value, type(value))


def test_keys_may_be_words_that_yaml_1_1_reads_as_booleans() -> None:
    assert parse_yaml("on: 1\nno: 2\n'yes': 3\ntrue: 4", "here") == {"on": 1, "no": 2, "yes": 3, True: 4}


def test_anchors_and_merges() -> None:
    assert parse_yaml("a: &x {k: 1, l: 2}\nb: {<<: *x, l: 3}\nc: *x", "here")["b"] == {"k": 1, "l": 3}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a: 1\nb:\n  c: 2\n  c: 3\n", ["x.yaml, line 4, column 3", "'c' is named twice"]),
        ("{a: 1, a: 2}", ["line 1, column 8", "'a' is named twice"]),
        ("a:\n- [1,\n", ["line 3, column 1", "not valid YAML"]),
        ("a: 1\n\tb: 2", ["line 2, column 1", "cannot start any token"]),
        ("a: b: c", ["line 1, column 5"]),
        ("a: *b", ["line 1, column 4", "undefined alias 'b'"]),
        ("a: 1\nb: \x07", ["line 2, column 4", "not allowed"]),
        ("a: 1\n---\nb: 2", ["line 2", "another document"]),
        ("a: 2026-13-45", ["line 1, column 4", "'2026-13-45' is no timestamp"]),
        ("a: -_", ["line 1, column 4", "'-_' is no int"]),
        ("a: !!bool x", ["line 1, column 4", "'x' is no bool"]),
        ("a: &b [*b]", ["line 1", "inside itself"]),
        ("a: &b {c: *b}", ["line 1", "inside itself"]),
        ("? {a: 1}\n: 2", ["line 1, column 3", "unhashable"]),
        ('"\\U00110000"', ["x.yaml: not valid YAML"]),
        ("[" * 1200, ["line 1, column 51", "nested too deeply; at most 50 levels"]),
        ("[" * 5000, ["nested too deeply"]),
        ("{a: " * 5000, ["nested too deeply"]),
        ("- " * 5000 + "a", ["nested too deeply"]),
        ("? " * 5000 + "a", ["nested too deeply"]),
        ("".join(f"{' ' * n}a:\n" for n in range(200)), ["nested too deeply"]),
        (aliases("[{}]"), ["aliases repeat more than 100,000 characters"]),
        (aliases("{{{}}}", "k{}: "), ["aliases repeat more than 100,000 characters"]),
        (aliases("{{<<: [{}]}}"), ["aliases repeat more than 100,000 characters"]),
        (f"a: &a {'x' * 1000}\nb: [{'*a, ' * 200}]", ["line 2", "aliases repeat more than 100,000 characters"]),
        ("a" * 300_001, ["longer than 300,000 characters"]),
        ("a: 0x" + "F" * 4000, ["line 1, column 4", "'0xFFF", "...", "is no int"]),
        ("a: " + "9" * 4000, ["line 1, column 4", "'9999", "...", "is no int"]),
        (f"{'k' * 900}: 1\n{'k' * 900}: 2", ["line 2", "'kkk", "...", "is named twice"]),
    ],
)
def test_what_is_broken_says_where(text: str, words: list[str]) -> None:
    with pytest.raises(InputError) as raised:
        parse_yaml(text, "x.yaml")
    assert all(word in str(raised.value) for word in ["x.yaml", *words]), raised.value
    assert len(str(raised.value)) < 300


def test_aliases_and_depth_as_people_use_them() -> None:
    text = f"a: &a {{k: {'x' * 50}}}\n" + "".join(f"b{n}: *a\nc{n}: {{<<: *a}}\n" for n in range(300))
    assert parse_yaml(text, "here")["c299"] == {"k": "x" * 50}
    value = parse_yaml("[" * 49 + "1" + "]" * 49, "here")
    for _ in range(49):
        (value,) = value
    assert value == 1


@hypothesis.settings(max_examples=scaled(100), deadline=timedelta(seconds=5))
@hypothesis.given(
    st.lists(st.tuples(st.sampled_from(["[{}]", "{{k: {}}}", "{{<<: {}}}"]), st.integers(1, 9)), max_size=30)
)
def test_trees_of_aliases_are_small_or_refused(levels: list[tuple[str, int]]) -> None:
    """What is read can be written out at once."""
    lines = ["a0: &a0 {x: 1}"]
    for number, (form, count) in enumerate(levels):
        inner = ", ".join([f"*a{number}"] * count) if form == "[{}]" else f"[{', '.join([f'*a{number}'] * count)}]"
        lines.append(f"a{number + 1}: &a{number + 1} {form.format(inner)}")
    with contextlib.suppress(InputError):
        assert len(repr(parse_yaml("\n".join(lines), "here"))) < 2_000_000


@pytest.mark.parametrize("tag", ["!!python/object/apply:os.getcwd []", "!!python/name:os.system x", "!mine {}"])
def test_nothing_is_executed(tag: str) -> None:
    with pytest.raises(InputError, match="could not determine a constructor"):
        parse_yaml(f"a: {tag}", "here")


@hypothesis.settings(deadline=None)
@hypothesis.given(text=st.text("[]{}:,&*!|>'\"%@`#-?=<~ \n\t0123abx_.eE+\\\u0085\ufeff\ud800", max_size=30))
def test_any_text_is_read_or_refused(text: str) -> None:
    with contextlib.suppress(InputError):
        parse_yaml(text, "here")


values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text("aé0.:# -'\""),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("ab:", min_size=1), inner, max_size=3),
    max_leaves=6,
)


@hypothesis.settings(deadline=None)
@hypothesis.given(value=values)
def test_json_is_read_as_what_it_was(value: Any) -> None:
    assert parse_yaml(json.dumps(value, ensure_ascii=False), "here") == value


@hypothesis.settings(deadline=None)
@hypothesis.given(text=st.text(max_size=20) | st.sampled_from(["on", "null", "1e3", "a: b", "a #b", "- a", "é", "a]b"]))
def test_text_is_written_as_itself(text: str) -> None:
    written = yaml_text(text)
    assert parse_yaml(f"{{{written}: [{written}]}}", "here") == {text: [text]}
    assert parse_yaml(f"a:\n  {written}: {written}", "here") == {"a": {text: text}}


def test_plain_text_stays_plain() -> None:
    assert [yaml_text(text) for text in ("acme", "/home/me/code", "no")] == ["acme", "/home/me/code", "no"]
    assert [yaml_text(text) for text in ("true", "7", "a: b")] == ['"true"', '"7"', '"a: b"']


def test_a_file_must_be_readable_and_hold_a_mapping(tmp_path: Path) -> None:
    (tmp_path / "good.yaml").write_text("# words\nname: é\n", encoding="utf-8")
    assert load_yaml(tmp_path / "good.yaml") == {"name": "é"}
    (tmp_path / "latin.yaml").write_bytes("name: é".encode("latin-1"))
    (tmp_path / "list.yaml").write_text("- a\n")
    (tmp_path / "long.yaml").write_text("é" * 1_000_001)
    (tmp_path / "endless.yaml").symlink_to("/dev/zero")
    for name, words in (
        ("none.yaml", "no such file"),
        ("latin.yaml", "cannot be read"),
        ("list.yaml", "expected a mapping of settings, found list"),
        (".", "cannot be read"),
        ("long.yaml", "longer than 300,000 characters"),
        ("endless.yaml", "longer than 300,000 characters"),
    ):
        with pytest.raises(InputError, match=words):
            load_yaml(tmp_path / name)


def test_the_parser_is_imported_when_it_is_needed() -> None:
    code = "import sys, raysim.core.settings, raysim.cli.main; assert not {'ruamel', 'ruamel.yaml'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_what_is_dumped_is_read_as_it_was() -> None:
    value = {"b": [1, 2.5, None, True], "a": {"on": "yes", "no": "1e-3", "text": "a: 'b' # é\n", "empty": [], "x": {}}}
    text = dump_yaml(value)
    assert parse_yaml(text, "x") == value
    assert list(parse_yaml(text, "x")) == ["b", "a"]
    assert "é" in text
