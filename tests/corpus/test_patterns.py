import pytest

from raysim.corpus.patterns import compile_pattern, selector


@pytest.mark.parametrize(
    ("pattern", "path", "expected"),
    [
        ("**/*.py", "a.py", True),
        ("**/*.py", "a/b/c.py", True),
        ("**/*.py", "a/b/c.pyi", False),
        ("*.py", "a/b.py", False),
        ("torch/nn/**", "torch/nn/modules/linear.py", True),
        ("torch/nn/**", "torch/nn", False),
        ("torch/nn/**", "torch/nnx/a.py", False),
        ("a/**/b.py", "a/b.py", True),
        ("a/**/b.py", "a/x/y/b.py", True),
        ("a/*/b.py", "a/x/y/b.py", False),
        ("a?.py", "ab.py", True),
        ("a?.py", "a/.py", False),
        ("[ab].py", "b.py", True),
        ("[!ab].py", "b.py", False),
        ("a.py", "aXpy", False),
        ("a+(b).py", "a+(b).py", True),
    ],
)
def test_pattern_matches_the_paths_it_describes(pattern: str, path: str, expected: bool) -> None:
    assert (compile_pattern(pattern).fullmatch(path) is not None) is expected


def test_exclude_wins_over_include() -> None:
    selected = selector(["**/*.py"], ["tests/**"])
    assert selected("src/a.py")
    assert not selected("tests/a.py")
