import ast
from dataclasses import replace

import pytest

from raysim.corpus.corpus import Corpus, Obfuscation
from raysim.corpus.files import SourceFile
from raysim.corpus.obfuscation.obfuscate import marked, obfuscated
from raysim.corpus.obfuscation.settings import ObfuscationSettings

CODE = "import os\nimport sys\n\n\ndef f(p):\n    # said\n    one = 1\n    two = p\n    return [one, two, os, sys]\n"
RENAME = ObfuscationSettings(rename=True)
ALL = ObfuscationSettings(rename=True, reorder=True, comments="drop", reformat=True)


@pytest.fixture
def corpus() -> Corpus:
    texts = {"a.py": CODE, "b.py": "print 'x'\n", "c.py": "# Copyright me\n" + CODE, "d.py": CODE}
    files = [SourceFile(path, text, "r", "MIT", (("k", "v"),)) for path, text in texts.items()]
    return Corpus("a", tuple(files[:3]), (files[3],), test=(files[3].named("e.py"),), truncated_at=9)


def test_off_is_as_it_was(corpus: Corpus) -> None:
    assert obfuscated(corpus, ObfuscationSettings(), 1) is corpus


def test_training_files_change_and_what_they_were_stays_beside_them(corpus: Corpus) -> None:
    new = obfuscated(corpus, ALL, 1)
    assert (new.valid, new.test, new.truncated_at) == (corpus.valid, corpus.test, 9)
    assert [source.path for source in new.train] == ["a.py", "b.py", "c.py"]
    assert [new.train[n] == corpus.train[n] for n in range(3)] == [False, True, False]
    assert new.train[0] == replace(corpus.train[0], text=new.train[0].text)
    assert new.originals == (corpus.train[0].named("a~original.py"), corpus.train[2].named("c~original.py"))
    assert new.owned == new.train + new.originals


def test_files_are_counted_by_what_became_of_them(corpus: Corpus) -> None:
    rows = {
        (row.transformation, row.outcome): (row.files, row.changes) for row in obfuscated(corpus, ALL, 1).obfuscations
    }
    names = ("rename", "reorder", "comments", "reformat")
    assert {key: files for key, (files, _) in rows.items()} == {
        **{(name, "changed"): 2 for name in names},
        **{(name, "not parsed"): 1 for name in names},
        ("comments", "licence notices"): 1,
    }
    assert rows["comments", "changed"] == (2, 2)
    assert rows["rename", "changed"] == (2, 8)
    only = obfuscated(replace(corpus, train=corpus.valid), RENAME, 1)
    assert only.obfuscations == (Obfuscation("rename", "changed", 1, 4),)


def test_equal_files_change_alike_and_by_the_seed(corpus: Corpus) -> None:
    twice = replace(corpus, train=(corpus.train[0], corpus.valid[0]))
    one, other = obfuscated(twice, ALL, 1).train
    assert one.text == other.text != obfuscated(twice, ALL, 2).train[0].text
    alone = obfuscated(replace(corpus, train=corpus.train[:1]), ALL, 1)
    assert alone.train[0].text == one.text


def test_copies_are_variants_of_their_own(corpus: Corpus) -> None:
    new = obfuscated(corpus, RENAME.model_copy(update={"copies": 4}), 1)
    variants = [source for source in new.train if source.path.startswith("a")]
    assert [source.path for source in variants] == ["a.py", "a~2.py", "a~3.py", "a~4.py"]
    assert len({source.text for source in variants}) == 4
    assert [source.path for source in new.train if source.path.startswith("b.py")] == ["b.py"]
    assert variants[0].text == obfuscated(corpus, RENAME, 1).train[0].text
    assert {row.files for row in new.obfuscations if row.outcome == "changed"} == {8}
    for source in variants:  # each does the same
        names: dict[str, object] = {}
        exec(compile(ast.parse(source.text), "v", "exec"), names)
        assert names["f"](3)[:2] == [1, 3]  # type: ignore[operator]
    assert len(new.originals) == 2


@pytest.mark.parametrize(
    ("path", "expected"), [("a.py", "a~2.py"), ("b.c/d.e.go", "b.c/d.e~2.go"), ("b.c/make", "b.c/make~2"), ("x", "x~2")]
)
def test_a_mark_leaves_the_ending(path: str, expected: str) -> None:
    assert marked(path, "2") == expected


def test_what_is_no_python_or_would_be_nothing_stays_as_it_is(corpus: Corpus) -> None:
    files = SourceFile("a.go", CODE, "r"), SourceFile("only.py", "# said\n", "r")
    new = obfuscated(replace(corpus, train=files), ALL.model_copy(update={"copies": 3}), 1)
    assert new.train == files
    assert new.originals == ()
    counted = {(row.transformation, row.outcome): row.files for row in new.obfuscations}
    for name in ("rename", "reorder", "comments", "reformat"):
        assert counted[name, "not Python"] == 1
    assert counted["comments", "nothing would be left"] == 1


def test_what_is_trained_on_is_named_by_what_it_was_as_well(corpus: Corpus) -> None:
    """Lines of the originals are compared with, so two originals with one variant are two corpora."""
    drop = ObfuscationSettings(comments="drop")
    other = replace(corpus, train=(replace(corpus.train[0], text=CODE.replace("# said", "# told")), *corpus.train[1:]))
    one, two = obfuscated(corpus, drop, 1), obfuscated(other, drop, 1)
    assert one.train == two.train
    assert one.train_fingerprint == two.train_fingerprint
    assert one.trained_fingerprint != two.trained_fingerprint
    untouched = replace(corpus, train=corpus.train[1:2])
    assert obfuscated(untouched, ALL, 1).trained_fingerprint == untouched.trained_fingerprint
