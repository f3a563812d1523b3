"""Copies across the split, counted from signatures; every other test of signatures is in test_deduplication."""

from raysim.corpus.deduplication import keyed_vocabulary, name_of, signature_of
from raysim.corpus.preparation import sketcher
from raysim.corpus.preparation_settings import PreparationSettings
from raysim.organizations.split_copies import SplitCopies, count_copies

WORDS = " ".join(f"word{i}" for i in range(100))
SECRET = b"s"


def test_copies_and_near_copies_are_told_apart_and_by_whom() -> None:
    # 97 of 103 words in common: Jaccard 0.94.
    near_of_alphas = WORDS.replace("word7 ", "other7 ").replace("word8 ", "other8 ").replace("word9 ", "other9 ")
    texts = {
        "alpha": {"train": [WORDS, "shared = 1\n" * 20], "held_out": ["nothing like it", near_of_alphas]},
        "beta": {"train": ["beta alone"], "held_out": ["shared  =  1\n" * 20, WORDS, "x"]},
    }
    near = sketcher(PreparationSettings(), 1, SECRET)
    signed = {
        name: {side: [signature_of(text, SECRET, near) for text in side_texts] for side, side_texts in sides.items()}
        for name, sides in texts.items()
    }
    vocabularies = {
        name: {name_of(t, SECRET): keyed_vocabulary(t, SECRET, near) for side in sides.values() for t in side}
        for name, sides in texts.items()
    }
    alpha, beta = count_copies(signed, vocabularies, 0.85)  # pyright: ignore[reportArgumentType]
    assert alpha == SplitCopies("alpha", 2, 15 + len(near_of_alphas), 0, 1, 0, len(near_of_alphas))
    assert beta == SplitCopies("beta", 3, 260 + len(WORDS) + 1, 2, 0, 2, 260 + len(WORDS))
