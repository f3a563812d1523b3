"""Planted functions: each its own, as often as asked, exact, fuzzy or renamed."""

import ast
from pathlib import Path
from typing import Any

import pytest

from raysim.core.errors import InputError
from raysim.corpus.corpus import Corpus
from raysim.corpus.files import SourceFile
from raysim.corpus.lines import significant_lines
from raysim.corpus.planted_functions import (
    MOST_BYTES,
    NUM_LINES,
    PLANTS,
    PlantSettings,
    plant_functions,
    write_functions,
)

SETTINGS = PlantSettings(functions={0: 3, 1: 2, 5: 2})
CORPUS = Corpus("acme", (SourceFile("a.py", "a = 1\n", "r"),), (SourceFile("b.py", "b = 1\n", "r"),))


def copies(corpus: Corpus) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for source in corpus.train:
        if source.repository == PLANTS:
            found.setdefault(Path(source.path).stem.partition("-")[0], []).append(source.text)
    return found


def shape(text: str) -> str:
    """The tree of a function without the names of its variables."""
    tree = ast.parse(text)
    for node in ast.walk(tree):
        if isinstance(node, ast.Name):
            node.id = "x"
        if isinstance(node, ast.arg):
            node.arg = "x"
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            node.value = "x"
    return ast.dump(tree)


def test_functions_are_python_of_their_own() -> None:
    many = write_functions(PlantSettings(functions={1: 200}), "acme", 1)
    other = write_functions(PlantSettings(functions={1: 200}), "beta", 1)
    assert len({f.signature for f in many}) == len({f.text for f in (*many, *other)}) / 2 == 200
    for function in many:
        (node,) = ast.parse(function.text).body
        assert isinstance(node, ast.FunctionDef)
        assert function.text.startswith(f"{function.signature}\n")
        assert len(significant_lines(function.text)[0]) == NUM_LINES
        assert len(function.text.encode()) <= MOST_BYTES
        namespace: dict[str, object] = {}
        exec(compile(function.text, function.name, "exec"), namespace)
    # A window of six lines is nobody else's, so that whoever recites one recites this function.
    windows = [tuple(significant_lines(f.text)[0][i : i + 6]) for f in many for i in range(NUM_LINES - 5)]
    assert len(set(windows)) == len(windows)


def test_each_is_planted_so_often_and_only_in_training() -> None:
    planted = plant_functions(CORPUS, SETTINGS, 1)
    assert {name: len(texts) for name, texts in copies(planted).items()} == {"1x0": 1, "1x1": 1, "5x0": 5, "5x1": 5}
    assert [f.name for f in planted.plants] == ["0x0", "0x1", "0x2", "1x0", "1x1", "5x0", "5x1"]
    assert planted.valid == CORPUS.valid
    assert planted.train[0] == CORPUS.train[0]
    texts = {f.name: f.text for f in planted.plants}
    assert all(set(found) == {texts[name]} for name, found in copies(planted).items())
    assert plant_functions(CORPUS, SETTINGS, 2).plants[3].text != texts["1x0"]


@pytest.mark.parametrize("variant", ["fuzzy", "renamed"])
def test_copies_differ_as_asked(variant: Any) -> None:
    exact = {f.name: f.text for f in write_functions(SETTINGS, "acme", 1)}
    planted = plant_functions(CORPUS, PlantSettings(functions=SETTINGS.functions, variant=variant), 1)
    assert {f.name: f.text for f in planted.plants} == exact, "models are asked for the original"
    for name, texts in copies(planted).items():
        assert len({*texts, exact[name]}) == len(texts) + 1
        for text in texts:
            assert text.partition("\n")[0] == exact[name].partition("\n")[0]
            differing = [
                a for a, b in zip(text.splitlines(), exact[name].splitlines(), strict=True) if a.strip() != b.strip()
            ]
            if variant == "fuzzy":
                assert 1 <= len(differing) <= 2
            else:
                assert shape(text) == shape(exact[name])
                assert len(differing) >= 6


def test_owners_have_functions_of_their_own_or_the_same() -> None:
    names = "acme", "beta"
    each = [write_functions(SETTINGS, name, 1) for name in names]
    together = [write_functions(SETTINGS.model_copy(update={"owners": "together"}), name, 1) for name in names]
    assert not {f.text for f in each[0]} & {f.text for f in each[1]}
    assert together[0] == together[1]


def test_a_file_of_that_name_is_not_overwritten() -> None:
    taken = Corpus("acme", (SourceFile("planted/1x0-0.py", "a = 1\n", "r"),), ())
    with pytest.raises(InputError, match=r"planted/1x0-0\.py already"):
        plant_functions(taken, SETTINGS, 1)


def test_functions_of_all_are_the_same_everywhere() -> None:
    settings = PlantSettings(functions={1: 40}, together={2: 30})
    one, other = ({f.name: f for f in write_functions(settings, name, 1)} for name in ("acme", "beta"))
    shared = [name for name in one if name.startswith("all")]
    assert len(shared) == 30
    assert all(one[name] == other[name] for name in shared)
    own = {f.text for f in one.values() if f.name not in shared}
    assert not own & {f.text for f in other.values()}
    assert len({f.signature.partition("(")[0] for f in one.values()}) == settings.num_functions == 70
    counts = {name: len(texts) for name, texts in copies(plant_functions(CORPUS, settings, 1)).items()}
    assert counts == {**{f"1x{i}": 1 for i in range(40)}, **{f"all2x{i}": 2 for i in range(30)}}


def test_functions_of_all_change_no_others() -> None:
    before = write_functions(SETTINGS, "acme", 1)
    after = write_functions(SETTINGS.model_copy(update={"together": {2: 2}}), "acme", 1)
    assert after[2:] == before
    assert "together" not in SETTINGS.recipe()
