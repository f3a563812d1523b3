"""What a sample of a run's work is drawn from."""

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from raysim.experiment.verify import draw

KINDS = {f"{kind} {n}": kind for kind, count in {"match": 63, "train": 25, "losses": 63, "generate": 63, "initial": 1,
                                                 "tokenizer": 1}.items() for n in range(count)}  # fmt: skip


def test_a_sample_of_three_has_training_in_it() -> None:
    drawn = Counter(KINDS[key] for key in draw(KINDS, 3))
    assert drawn == {"train": 1, "generate": 1, "losses": 1}


def test_every_kind_comes_before_a_second_of_any() -> None:
    assert Counter(KINDS[key] for key in draw(KINDS, 6)) == dict.fromkeys(KINDS.values(), 1)
    drawn = Counter(KINDS[key] for key in draw(KINDS, 10))
    assert drawn == {"train": 2, "generate": 2, "losses": 2, "match": 2, "initial": 1, "tokenizer": 1}


def test_a_sample_is_another_one_of_another_store() -> None:
    assert draw(KINDS, 9) == draw(dict(reversed(KINDS.items())), 9)
    assert draw(KINDS, 9) != draw({key: kind for key, kind in KINDS.items() if key != "match 1"}, 9)


@given(st.dictionaries(st.text(max_size=3), st.sampled_from(["train", "match", "of a plugin"])), st.integers(1, 9))
def test_a_sample_is_as_large_as_asked(kinds: dict[str, str], sample: int) -> None:
    drawn = draw(kinds, sample)
    assert len(drawn) == min(sample, len(kinds))
    assert drawn <= kinds.keys()
    assert drawn <= draw(kinds, sample + 1)
    assert draw(kinds, None) == kinds.keys()
