"""What a base is trained on, and what nobody is."""

from raysim.corpus.files import SourceFile
from raysim.corpus.public_split import split_public
from raysim.corpus.split import SplitSettings, split_of

FILES = [SourceFile(f"{i}.py", f"value = {i}\n" * 10, "stdlib") for i in range(200)]
SPLIT = SplitSettings(train=0.6, valid=0.2, test=0.2)


def test_files_fall_as_they_do_at_organizations() -> None:
    public = split_public(FILES, SPLIT, None, 3)
    assert {f.path for f in public.trained} == {f.path for f in FILES if split_of(f.text, SPLIT, 3) == "train"}
    assert {f.path for f in public.held_out} == {f.path for f in FILES} - {f.path for f in public.trained}
    assert 50 < len(public.held_out) < 110


def test_a_limit_takes_files_and_leaves_the_held_out_ones() -> None:
    whole, limited = split_public(FILES, SPLIT, None, 3), split_public(FILES, SPLIT, 2000, 3)
    assert 1800 < sum(f.num_bytes for f in limited.trained) <= 2000
    assert set(limited.trained) < set(whole.trained)
    assert limited.held_out == whole.held_out


def test_empty_files_and_data_are_neither() -> None:
    odd = [SourceFile("empty.py", "", "stdlib"), SourceFile("data.py", "x" * 1_000_001, "stdlib")]
    public = split_public([*FILES, *odd], SPLIT, None, 3)
    assert not set(odd) & {*public.trained, *public.held_out}
