"""An organization that gives nothing to ask about goes through every measure; one that has nothing is refused."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from drive import raysim
from problem_files import ADD, write
from splits import splitting_seed

from raysim.sandbox.sandbox import enough, in_force
from raysim.tables.io import read_table

FUNCTIONS = "".join(
    f"def work_{i}(a, b):\n    total = a * {i} + b\n    for k in range({i}):\n        total += k\n    return total\n\n"
    for i in range(60)
)
HEADER = "# Copyright (c) the authors of this file.\n# Licensed under the Apache License.\n" * 9

ODD: dict[str, Callable[[int], str]] = {
    "no docstring": lambda number: f"# {number}\n{FUNCTIONS}",
    "Python 2": lambda number: f"# {number}\n{FUNCTIONS.replace('return', 'print')}",
    "one line a file": lambda number: f"x = {[number * i for i in range(20)]}\n",
    "headers": lambda number: f"{HEADER}# {number}\n",
}
"""Files without a function to ask about; some without a window of lines of their own."""
QUICKLY = "headers", "the same path"
"""In `make test`: one that has neither functions nor lines of its own, and one of which everything is another's."""

PLANTED: dict[str, Any] = {
    "canaries": {"repeats": [0, 1], "count": 1},
    "plants": {"functions": {0: 1, 1: 1}},
    "sequence_canaries": {"count": 10},
}
"""What the measures of what was planted need."""

NONE: dict[str, tuple[dict[str, str], str]] = {
    "empty": ({}, "nothing matches `**/*.py`; it holds no files"),
    "other endings": (
        {"a.h": "int f(int);\n", "b.h": "int g(int);\n"},
        "it holds 2 .h files: write include: ['**/*.h']",
    ),
    "one file": ({"a.py": FUNCTIONS}, "1 files left of 1 files read"),
    "pointers": ({f"{n}.py": f"version https://git-lfs.github.com/spec/v1\nsize {n}\n" for n in "ab"}, "2 a Git LFS"),
    "numbers": ({f"{n}.py": f"{n} = {list(range(9_000))}\n" for n in "ab"}, "2 a line over 1000 characters"),
    "hardly anything": ({f"{n}.py": f"{n} = 1\n" for n in "ab"}, "less than one sequence"),
}
"""What an organization has of which nothing can be trained on, and what is said of it."""


def _experiment(
    tiny: Callable[..., Path], folder: Path, sources: dict[str, Path], planted: bool = True, **changes: Any
) -> Path:
    """Of these organizations, with all measures that there are."""
    write(folder / "problems.jsonl", ADD)
    memorization = {
        "prompts": {"function": 2, "held_out": 1},
        "samples": 2,
        "new_tokens": 16,
        "min_lines": 2,
        "extraction": {"passages": 2, "prefix_tokens": [8], "suffix_tokens": 8},
        "renamed": {},
    }
    solving = {"problems": str(folder / "problems.jsonl"), "samples": 1, "k": 1, "new_tokens": 16}
    measure = {"perplexity": {}, "membership": {"chunk_tokens": 32}, "memorization": memorization}
    return tiny(
        organizations={
            name: {"source": {"path": str(path)}, "agreement": {"share": "data"}} for name, path in sources.items()
        },
        strategies=["single", "centralized", {"incremental": {"orders": [list(sources)]}}, {"fedavg": {"rounds": 1}}],
        **(PLANTED if planted else {}),
        **changes,
        measure=measure | ({"pass_at_k": solving} if enough(in_force()) else {}),
    )


@pytest.mark.parametrize(
    "odd", [pytest.param(odd, marks=[] if odd in QUICKLY else pytest.mark.stress) for odd in (*ODD, "the same path")]
)
def test_every_measure_works_with_an_organization_that_gives_nothing_to_ask_about(
    odd: str, tiny: Callable[..., Path], tmp_path: Path, corpus_folders: dict[str, Path]
) -> None:
    folder = corpus_folders["alpha"]
    if odd in ODD:
        folder = tmp_path / "odd"
        folder.mkdir()
        for number in range(4):
            (folder / f"m{number}.py").write_text(ODD[odd](number))
    # What is planted would make the splits of one path two.
    sources = {"alpha": corpus_folders["alpha"], "odd": folder}
    path = _experiment(tiny, tmp_path, sources, planted=odd in ODD, split_seed=splitting_seed(sources))
    out = tmp_path / "out"
    ended = raysim("run", path, "--out", out)
    assert ended.returncode == 0, ended.stderr
    assert {row["organization"] for row in read_table(out, "prompts").to_pylist()} == {"alpha"}
    planted = ("canaries", "recitals", "sequence_canaries") if odd in ODD else ("extraction",)
    for name in ("losses", "membership", "clones", *planted):
        assert {row["organization"] for row in read_table(out, name).to_pylist()} == {"alpha", "odd"}, name
    for name in ("samples", "emissions", "extraction"):
        assert read_table(out, name).num_rows, name
    assert (out / "report.html").exists()


def test_nobody_gives_anything_to_ask_about(tiny: Callable[..., Path], tmp_path: Path) -> None:
    sources = {name: tmp_path / name for name in ("one", "two")}
    for name, folder in sources.items():
        folder.mkdir()
        for number in range(4):
            (folder / f"m{number}.py").write_text(f"# {name}\n{ODD['Python 2'](number)}")
    path = _experiment(tiny, tmp_path, sources, split_seed=splitting_seed(sources))
    text = path.read_text()
    path.write_text(text.replace(text[text.index("references:") : text.index("preparation:")], ""))
    ended = raysim("run", path, "--out", tmp_path / "out")
    assert ended.returncode == 0, ended.stderr
    assert read_table(tmp_path / "out", "losses").num_rows
    assert not read_table(tmp_path / "out", "prompts").num_rows
    assert "no organization has a prompt of the kinds that were asked for" in " ".join(ended.stdout.split())


@pytest.mark.parametrize("corpus", ["organizations", "references"])
def test_an_organization_without_anything_to_train_on_is_named_before_any_training(
    corpus: str, tiny: Callable[..., Path], tmp_path: Path, corpus_folders: dict[str, Path]
) -> None:
    for name, (files, said) in NONE.items():
        folder = tmp_path / name
        folder.mkdir()
        for file, text in files.items():
            (folder / file).write_text(text)
        path = _experiment(tiny, tmp_path, {"alpha": corpus_folders["alpha"], "odd": folder}, planted=False)
        ended = raysim("run", path, "--out", tmp_path / "out", "--set", f"tokenizer.train.corpus={corpus}")
        assert (ended.returncode, ended.stderr.count("\n")) == (2, 1), (name, ended.stderr)
        assert "error: organizations.odd" in ended.stderr, name
        assert said in ended.stderr, (name, ended.stderr)
        assert not (tmp_path / "out/stages.jsonl").exists()
