from raysim.corpus.files import SourceFile
from raysim.corpus.near_duplicates import near_duplicates, words_of


def words(start: int, stop: int) -> str:
    return " ".join(f"word{i}" for i in range(start, stop))


def files(*texts: str) -> list[SourceFile]:
    return [SourceFile(f"{i}.py", text, "r") for i, text in enumerate(texts)]


def drops(*texts: str, jaccard: float = 0.85, min_words: int = 10) -> set[int]:
    return near_duplicates(files(*texts), jaccard, min_words, num_permutations=256, seed=1)


def test_words_are_runs_of_letters_digits_and_underscores() -> None:
    assert words_of("def f_1(x=é): return x+1") == ["def", "f_1", "x", "return", "x", "1"]


def test_similar_files_are_dropped_and_the_first_is_kept() -> None:
    # 100 of 102 words are shared: Jaccard 0.98.
    assert drops(words(0, 100), words(500, 600), words(1, 102)) == {2}


def test_the_exact_index_decides_at_the_threshold() -> None:
    # 95 words shared of 105 in all: Jaccard 0.905.
    pair = (words(0, 100), words(5, 105))
    assert drops(*pair, jaccard=0.9) == {1}
    assert drops(*pair, jaccard=0.91) == set()


def test_a_dropped_file_drops_no_other() -> None:
    # Each is 0.905 from its neighbour, the outer two 0.82 from each other.
    assert drops(words(0, 100), words(5, 105), words(10, 110), jaccard=0.9) == {1}


def test_files_of_few_words_are_never_dropped() -> None:
    assert drops(words(0, 9), words(0, 9)) == set()
    assert drops(words(0, 10), words(0, 10)) == {1}
