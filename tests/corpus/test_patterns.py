import hypothesis
import hypothesis.strategies as st
import pytest
from examples import scaled

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


def reads(pattern: str, path: str) -> bool:
    """The meaning of a pattern, one symbol after the other, every way tried."""
    if not pattern:
        return not path
    if pattern == "/**":
        return path.startswith("/")
    if pattern.startswith("**/"):
        rest = pattern[3:]
        return reads(rest, path) or any(reads(rest, path[i + 1 :]) for i, c in enumerate(path) if c == "/")
    if pattern.startswith("**"):
        return any(reads(pattern[2:], path[i:]) for i in range(len(path) + 1))
    if pattern.startswith("*"):
        inside = len(path.partition("/")[0])
        return any(reads(pattern[1:], path[i:]) for i in range(inside + 1))
    if not path:
        return False
    symbol, end = pattern[0], pattern.find("]")
    if symbol == "?":
        return path[0] != "/" and reads(pattern[1:], path[1:])
    if symbol == "[" and end > 0:
        chosen = path[0] not in pattern[2:end] if pattern[1] == "!" else path[0] in pattern[1:end]
        return chosen and reads(pattern[end + 1 :], path[1:])
    return path[0] == symbol and reads(pattern[1:], path[1:])


SYMBOLS = st.sampled_from(["a", "b", ".", "-", "+", "(", "\\", "/", "**", "*", "?", "**/", "/**", "[ab]", "[!b]"])


@hypothesis.settings(max_examples=scaled(500), deadline=None)
@hypothesis.given(pattern=st.lists(SYMBOLS, max_size=7).map("".join), path=st.text("ab.-/", max_size=9))
def test_patterns_mean_what_their_symbols_mean(pattern: str, path: str) -> None:
    assert (compile_pattern(pattern).fullmatch(path) is not None) is reads(pattern, path)
