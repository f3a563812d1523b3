"""Canaries: which there are, where they stand, and what they change."""

import ast
from collections import Counter

import pydantic
import pytest

from raysim.core.errors import InputError
from raysim.corpus.canaries import CANARIES, CanarySettings, draw_secrets, make_canaries, plant
from raysim.corpus.corpus import Corpus
from raysim.corpus.files import SourceFile

SETTINGS = CanarySettings(repeats=(0, 1, 3), count=2, alphabet="abcd", length=5)
STATEMENTS = '''"""A docstring
of two lines."""
import os
@decorated
@twice
def f():
    """Another."""
    return (1,
2)
TEXT = """not
a statement
"""; x = 1
y = 2; z = \\
3
class A:
    a = 1'''
CORPUS = Corpus(
    "alpha",
    (
        SourceFile("a.py", STATEMENTS, "r"),
        SourceFile("b.py", "one = 1\r\ntwo = 2\r\n", "r"),
        SourceFile("c.py", "no python (", "r"),
        SourceFile("d.py", "one = 1\rtwo = '''\n'''\r\n", "r"),
    ),
    (SourceFile("v.py", "three = 3\n", "r"),),
)


def occurrences(corpus: Corpus, settings: CanarySettings = SETTINGS) -> dict[str, int]:
    whole = "".join(source.text for source in corpus.train)
    return {canary.name: whole.count(settings.text(canary.secret)) for canary in corpus.canaries}


def test_there_are_so_many_of_each_number_of_repeats() -> None:
    canaries = make_canaries(SETTINGS, "alpha", 1)
    assert [canary.name for canary in canaries] == ["0x0", "0x1", "1x0", "1x1", "3x0", "3x1"]
    assert len({canary.secret for canary in canaries}) == 6
    assert all(len(canary.secret) == 5 and set(canary.secret) <= set("abcd") for canary in canaries)


def test_secrets_follow_from_seed_and_organization() -> None:
    found = [
        make_canaries(SETTINGS, name, seed) for name, seed in (("alpha", 1), ("alpha", 1), ("beta", 1), ("alpha", 2))
    ]
    assert found[0] == found[1]
    assert len({canary.secret for canaries in found[1:] for canary in canaries}) == 18


def test_a_crowded_space_is_used_up_without_a_double() -> None:
    """Seven of the eight secrets that there are."""
    settings = CanarySettings(repeats=(1,), count=7, alphabet="ab", length=3)
    assert len({canary.secret for canary in make_canaries(settings, "alpha", 1)}) == 7


def test_secrets_are_drawn_uniformly() -> None:
    """1000 of 1024: each of the four letters a quarter of the time, at every place."""
    drawn = [secret for _, secret in zip(range(1000), draw_secrets(SETTINGS, 3, {"aaaaa"}), strict=False)]
    assert len(set(drawn)) == 1000
    assert "aaaaa" not in drawn
    for place in range(5):
        assert all(225 <= count <= 275 for count in Counter(secret[place] for secret in drawn).values())


@pytest.mark.parametrize("place", ["files", "lines"])
def test_each_stands_in_the_training_split_as_often_as_stated(place: str) -> None:
    settings = SETTINGS.model_copy(update={"place": place})
    planted = plant(CORPUS, settings, 1)
    assert occurrences(planted) == {canary.name: canary.repeats for canary in planted.canaries}
    assert planted.valid == CORPUS.valid
    assert planted == plant(CORPUS, settings, 1)


def test_files_of_their_own_leave_the_others_as_they_are() -> None:
    planted = plant(CORPUS, SETTINGS, 1)
    assert planted.train[:4] == CORPUS.train
    assert len({source.path for source in planted.train}) == len(planted.train) == 4 + 2 + 6
    assert {source.repository for source in planted.train[4:]} == {CANARIES}


def test_lines_stand_between_statements() -> None:
    """What parses still does, with a statement for each canary and the old ones as they were."""
    settings = CanarySettings(repeats=(4,), count=10, place="lines")
    planted = plant(CORPUS, settings, 1)
    assert [source.path for source in planted.train] == ["a.py", "b.py", "c.py", "d.py"]
    for before, after in zip(CORPUS.train, planted.train, strict=True):
        assert before.text != after.text
        if before.path == "c.py":
            continue
        kept = [line for line in ast.unparse(ast.parse(after.text)).split("\n") if not line.startswith("API_KEY = ")]
        assert "\n".join(kept) == ast.unparse(ast.parse(before.text))
    lines = {line for source in planted.train for line in source.text.split("\n")}
    assert {settings.text(canary.secret).rstrip("\n") for canary in planted.canaries} <= lines


def test_the_fingerprint_changes_with_what_is_planted_and_with_nothing_else() -> None:
    never = plant(CORPUS, CanarySettings(repeats=(0,)), 1)
    assert never.train_fingerprint == CORPUS.train_fingerprint
    found = [plant(CORPUS, SETTINGS, seed) for seed in (1, 2)]
    assert len({CORPUS.train_fingerprint, *(corpus.train_fingerprint for corpus in found)}) == 3
    assert {corpus.valid_fingerprint for corpus in found} == {CORPUS.valid_fingerprint}


def test_a_file_of_that_name_is_refused() -> None:
    corpus = Corpus("alpha", (SourceFile("canaries/1x0-0.py", "x", "r"),), CORPUS.valid)
    with pytest.raises(InputError, match=r"canaries\.place: there is a file canaries/1x0-0\.py already"):
        plant(corpus, SETTINGS, 1)


def test_who_has_canaries() -> None:
    assert SETTINGS.planted_in("alpha")
    chosen = CanarySettings(organizations=("beta",))
    assert [chosen.planted_in(name) for name in ("alpha", "beta")] == [False, True]


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"repeats": [1, 1]}, "named twice"),
        ({"repeats": []}, "at least 1 item"),
        ({"repeats": [-1]}, "greater than or equal to 0"),
        ({"format": "API_KEY = 1"}, r"\{secret\} in it once"),
        ({"format": "{secret}{secret}"}, r"\{secret\} in it once"),
        ({"format": "x\n{secret}"}, "one line"),
        ({"alphabet": "abca"}, "each once"),
        ({"alphabet": "a b"}, "no blank"),
        ({"alphabet": "a"}, "at least 2 characters"),
        ({"alphabet": "ab", "length": 2, "count": 2, "repeats": [1, 2]}, "4 canaries need more than the 4 secrets"),
    ],
)
def test_what_cannot_be_planted(wrong: dict[str, object], said: str) -> None:
    with pytest.raises(pydantic.ValidationError, match=said):
        CanarySettings.model_validate(wrong)
