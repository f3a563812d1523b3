"""The study's counts against a script of its own: brute force, on the study's records and files of generated code."""

import gzip
import json
import random
from collections.abc import Callable
from pathlib import Path

import pytest
from examples import scaled
from hypothesis import given, settings
from hypothesis import strategies as st

from raysim.corpus.files import SourceFile
from raysim.corpus.lines import LineRules
from raysim.corpus.sources import SourceSettings, read_source
from raysim.matching.line_index import build_index
from raysim.matching.study_counts import ANY, StudyCount, study_counts

SECRET = b"secret"


def compared(text: str, simian: bool) -> list[str]:
    """The significant lines of a file as a clone detector compares them."""
    kept = []
    for line in text.split("\n"):
        if simian:
            line = "".join(character for character in line.lower() if character not in "{}")
        if line.strip():
            kept.append(line.strip())
    return kept


def fragments_by_hand(generated: list[str], trained: list[str], threshold: int, simian: bool) -> set[tuple[str, ...]]:
    """Distinct fragments: every line that is in some run of `threshold` lines of a training file, joined to runs."""
    files = [compared(text, simian) for text in trained]
    found = set()
    for text in generated:
        lines = compared(text, simian)
        inside = set()
        for at in range(len(lines) - threshold + 1):
            piece = lines[at : at + threshold]
            if any(piece == file[k : k + threshold] for file in files for k in range(len(file) - threshold + 1)):
                inside.update(range(at, at + threshold))
        run: list[str] = []
        for number in range(len(lines) + 1):
            if number in inside:
                run.append(lines[number])
            elif run:
                found.add(tuple(run))
                run = []
    return found


def by_hand(generated: list[str], trained: list[str], threshold: int, simian: bool) -> StudyCount:
    found = fragments_by_hand(generated, trained, threshold, simian)
    return StudyCount(len(found), sum(map(len, found)))


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[str], list[str]]:
    """A corpus as the study keeps it (gzipped JSON lines, a record a file), and files of what a model wrote."""
    folder = tmp_path_factory.mktemp("study")
    draw = random.Random(5)
    lines = [f"value_{i} = load({i})" for i in range(40)] + ["}", "{", "for x in y: {", "    return X", "return x", ""]
    texts = ["\n".join(draw.choices(lines, k=60)) for _ in range(12)]
    with gzip.open(folder / "meta_train.json.gz", "wt", encoding="utf-8") as file:
        for number, text in enumerate(texts):
            record = {
                "repo_name": "a/b",
                "path": f"{number}.py",
                "copies": "1",
                "size": str(len(text)),
                "content": text,
            }
            file.write(json.dumps({**record, "license": "mit"}) + "\n")
    (folder / "generated").mkdir()
    for number in range(30):
        parts = []
        for _ in range(draw.randint(0, 3)):
            source = draw.choice(texts).split("\n")
            at = draw.randrange(40)
            parts += [*source[at : at + draw.randint(2, 16)], f"own_{draw.randrange(3)} = 1"]
        text = "\n".join(line.upper() if draw.random() < 0.1 else line for line in parts)
        (folder / "generated" / f"{number}.py").write_text(text, encoding="utf-8")
    return folder, texts, [p.read_text(encoding="utf-8") for p in sorted((folder / "generated").iterdir())]


@pytest.mark.parametrize("rules", ["exact", "simian"])
def test_equal_an_independent_script_on_generated_files_and_records(
    study: tuple[Path, list[str], list[str]], rules: LineRules
) -> None:
    folder, _, generated = study
    files = read_source(SourceSettings(files=["meta_train.json.gz"]), folder).files
    found = study_counts(generated, {"meta": build_index(files, 6, SECRET, rules)}, 6, SECRET, rules)
    with gzip.open(folder / "meta_train.json.gz", "rt", encoding="utf-8") as file:
        trained = [json.loads(line)["content"] for line in file]
    expected = by_hand(generated, trained, 6, rules == "simian")
    assert found == {"meta": expected, ANY: expected}
    assert expected.fragments > 5


def test_the_rules_of_simian_find_more(study: tuple[Path, list[str], list[str]]) -> None:
    _, texts, generated = study
    exact, simian = (by_hand(generated, texts, 6, rules) for rules in (False, True))
    assert exact.lines != simian.lines


@pytest.fixture
def count() -> Callable[..., dict[str, StudyCount]]:
    def of(
        generated: list[str], rules: LineRules = "exact", threshold: int = 2, **trained: str
    ) -> dict[str, StudyCount]:
        indexes = {
            owner: build_index([SourceFile("f.py", text, "r")], threshold, SECRET, rules)
            for owner, text in trained.items()
        }
        return study_counts(generated, indexes, threshold, SECRET, rules)

    return of


def test_by_hand(count: Callable[..., dict[str, StudyCount]]) -> None:
    """a-b-c in two samples is one fragment; b-c, which lies within it, is none where it stands in it."""
    found = count(["a\nb\nc\nz", "q\n a\nb\n\nc", "b\nc", "c\nd"], X="a\nb\nc", Y="c\nd\nb\nc")
    assert found["X"] == StudyCount(2, 3 + 2)
    assert found["Y"] == StudyCount(2, 2 + 2)
    assert found[ANY] == StudyCount(3, 3 + 2 + 2)
    assert count([], X="a\nb") == {"X": StudyCount(0, 0), ANY: StudyCount(0, 0)}
    assert study_counts(["a"], {}, 2, SECRET, "exact") == {}


def test_rules_of_simian_by_hand(count: Callable[..., dict[str, StudyCount]]) -> None:
    generated = ["X = {1}\n}\ny = 2"]
    assert count(generated, X="x = 1\nY = 2")["X"] == StudyCount(0, 0)
    assert count(generated, "simian", X="x = 1\nY = 2")["X"] == StudyCount(1, 2)


LINES = st.lists(st.sampled_from(["a", "b", "A", "{", "b}", ""]), max_size=9).map("\n".join)


@given(st.lists(LINES, max_size=3), LINES, LINES, st.integers(1, 3), st.booleans())
@settings(max_examples=scaled(100), deadline=None)
def test_equal_brute_force(generated: list[str], x: str, y: str, threshold: int, simian: bool) -> None:
    rules: LineRules = "simian" if simian else "exact"
    indexes = {
        owner: build_index([SourceFile("f.py", text, "r")], threshold, SECRET, rules)
        for owner, text in {"X": x, "Y": y}.items()
    }
    assert study_counts(generated, indexes, threshold, SECRET, rules) == {
        "X": by_hand(generated, [x], threshold, simian),
        "Y": by_hand(generated, [y], threshold, simian),
        ANY: by_hand(generated, [x, y], threshold, simian),
    }
