from raysim.corpus.files import SourceFile
from raysim.corpus.neutral import is_neutral, neutral_files


def test_one_public_file_in_ten_is_set_aside_by_its_text() -> None:
    files = [SourceFile(f"{i}.py", f"x = {i}\n", "r") for i in range(2000)]
    aside = neutral_files(files, 1)
    assert 150 < len(aside) < 250
    assert all(is_neutral(SourceFile("elsewhere.py", source.text, "another"), 1) for source in aside)
    assert set(aside) != set(neutral_files(files, 2))
    assert set(neutral_files(files[:1000], 1)) == set(aside) & set(files[:1000])
