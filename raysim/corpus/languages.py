"""Languages of code, told by the ending of a file's name."""

from collections.abc import Iterable
from typing import Literal

from raysim.corpus.files import SourceFile

Language = Literal["python", "java", "javascript", "c", "go", "rust"]

_OF_ENDING: dict[str, Language] = {
    "java": "java",
    **dict.fromkeys(("js", "jsx", "mjs", "cjs"), "javascript"),
    **dict.fromkeys(("c", "h"), "c"),
    "go": "go",
    "rs": "rust",
}


def language_of(path: str) -> Language:
    """The language of a file; Python where its ending is none of the others', as of a record without a path."""
    return _OF_ENDING.get(path.rpartition("/")[2].rpartition(".")[2].lower(), "python")


def languages_of(files: Iterable[SourceFile]) -> tuple[Language, ...]:
    """The languages of files, each once, in alphabetical order."""
    return tuple(sorted({language_of(source.path) for source in files}))
