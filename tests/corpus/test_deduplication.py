"""Which files are left out, against every pair of files compared by its text."""

from collections.abc import Mapping, Sequence

import hypothesis.strategies as st
import pytest
from datasketch import MinHash, MinHashLSH
from examples import scaled
from hypothesis import given, settings

from raysim.core.keys import seed_of
from raysim.corpus.deduplication import (
    Across,
    DeduplicationSettings,
    Match,
    decide,
    keyed_vocabulary,
    name_of,
    signature_of,
    suspects,
)
from raysim.corpus.filters import content_hash
from raysim.corpus.near_duplicates import words_of
from raysim.corpus.preparation import sketcher
from raysim.corpus.preparation_settings import PreparationSettings

JACCARD = 0.8
PREPARATION = PreparationSettings(near_dedup_jaccard=JACCARD, near_dedup_min_words=3)

Texts = Mapping[str, Sequence[str]]


def dropped(texts: Texts, across: Across, match: Match = "exact", secret: bytes = b"s") -> dict[str, dict[str, str]]:
    """Text and reason of what each organization leaves out, found as a run finds it: from keyed hashes."""
    near = sketcher(PREPARATION, 1, secret) if match == "near" else None
    prompt_stats = {name: [signature_of(text, secret, near) for text in own] for name, own in texts.items()}
    vocabularies = {
        name: {
            name_of(text, secret): keyed_vocabulary(text, secret, near)
            for text in texts[name]
            if near and name_of(text, secret) in suspected
        }
        for name, suspected in suspects(prompt_stats).items()
    }
    found = decide(prompt_stats, vocabularies, DeduplicationSettings(across=across, match=match), JACCARD)
    return {
        name: {text: found[name][name_of(text, secret)] for text in own if name_of(text, secret) in found[name]}
        for name, own in texts.items()
    }


def words(start: int, stop: int) -> str:
    return " ".join(f"word{i}" for i in range(start, stop))


HAND: dict[str, list[str]] = {
    "a": ["x = 1\n", "only a"],
    "b": ["x  =\t1", "y = 2", "only b"],
    "c": ["x=1", "y =2\n\n", "y = 2", "only c"],
}


def test_keep_leaves_nothing_out() -> None:
    assert dropped(HAND, "keep") == {"a": {}, "b": {}, "c": {}}


def test_first_owner_by_hand() -> None:
    reason = "copy of an earlier organization's file"
    assert dropped(HAND, "first_owner") == {
        "a": {},
        "b": {"x  =\t1": reason},
        "c": {"x=1": reason, "y =2\n\n": reason, "y = 2": reason},
    }


def test_drop_all_by_hand() -> None:
    reason = "copy of another organization's file"
    assert dropped(HAND, "drop_all") == {
        "a": {"x = 1\n": reason},
        "b": {"x  =\t1": reason, "y = 2": reason},
        "c": {"x=1": reason, "y =2\n\n": reason, "y = 2": reason},
    }


def test_copies_within_one_organization_are_not_its_matter() -> None:
    for across in ("first_owner", "drop_all"):
        assert dropped({"a": ["x = 1", "x  = 1"], "b": ["y"]}, across, "near") == {"a": {}, "b": {}}


# Each chain link is 0.905 like its neighbour, the ends are 0.82 alike.
CHAIN = {"a": [words(0, 100)], "b": [words(5, 105)], "c": [words(10, 110)]}


@pytest.fixture
def strict(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(f"{__name__}.JACCARD", 0.9)
    monkeypatch.setattr(f"{__name__}.PREPARATION", PREPARATION.model_copy(update={"near_dedup_jaccard": 0.9}))


def test_what_is_left_out_drops_no_other(strict: None) -> None:
    reason = "near-copy of an earlier organization's file"
    assert dropped(CHAIN, "first_owner", "near") == {"a": {}, "b": {words(5, 105): reason}, "c": {}}
    assert dropped(CHAIN, "first_owner", "exact") == {"a": {}, "b": {}, "c": {}}


def test_near_copies_of_each_other_all_go(strict: None) -> None:
    assert all(dropped(CHAIN, "drop_all", "near").values())


def test_near_finds_exact_copies_of_few_words_too() -> None:
    assert dropped({"a": ["x y"], "b": ["x  y"]}, "drop_all", "near") == {
        "a": {"x y": "copy of another organization's file"},
        "b": {"x  y": "copy of another organization's file"},
    }


def alike(one: str, other: str, match: Match) -> bool:
    if content_hash(one) == content_hash(other):
        return True
    left, right = set(words_of(one)), set(words_of(other))
    enough = min(len(words_of(one)), len(words_of(other))) >= PREPARATION.near_dedup_min_words
    return match == "near" and enough and len(left & right) >= JACCARD * len(left | right) and met(left, right)


def met(left: set[str], right: set[str]) -> bool:
    """Whether datasketch's own index, of plain words, has one for a candidate of the other: it misses some pairs."""
    seed = seed_of(1, "near-duplicates") % 2**32
    index = MinHashLSH(threshold=JACCARD, num_perm=256, weights=(0.1, 0.9))
    one, other = (MinHash(num_perm=256, seed=seed) for _ in range(2))
    one.update_batch([word.encode() for word in left])
    other.update_batch([word.encode() for word in right])
    index.insert("left", one)
    return index.query(other) == ["left"]


def by_every_pair(texts: Texts, across: Across, match: Match) -> dict[str, set[str]]:
    kept: dict[str, list[str]] = {}
    found = {}
    for name, own in texts.items():
        against = kept if across == "first_owner" else {other: ts for other, ts in texts.items() if other != name}
        copies = [other for others in against.values() for other in others]
        found[name] = {text for text in own if any(alike(text, other, match) for other in copies)}
        kept[name] = [text for text in own if text not in found[name]]
    return found


FILES = st.lists(st.lists(st.sampled_from("pqrstuvwxyz"), min_size=1, max_size=9).map(" ".join), max_size=5)
CORPORA = st.fixed_dictionaries({"a": FILES, "b": FILES, "c": FILES})


@pytest.mark.parametrize("across", ["first_owner", "drop_all"])
@settings(max_examples=scaled(150), deadline=None)
@given(texts=CORPORA)
def test_exact_is_every_pair(across: Across, texts: Texts) -> None:
    found = dropped(texts, across)
    assert {name: set(reasons) for name, reasons in found.items()} == by_every_pair(texts, across, "exact")


@pytest.mark.parametrize("across", ["first_owner", "drop_all"])
@settings(max_examples=scaled(60), deadline=None)
@given(texts=CORPORA)
def test_near_is_every_pair(across: Across, texts: Texts) -> None:
    found = dropped(texts, across, "near")
    assert {name: set(reasons) for name, reasons in found.items()} == by_every_pair(texts, across, "near")


@settings(max_examples=scaled(40), deadline=None)
@given(texts=CORPORA, secret=st.binary(min_size=1, max_size=64))
def test_no_decision_depends_on_the_secret(texts: Texts, secret: bytes) -> None:
    for match in ("exact", "near"):
        assert dropped(texts, "first_owner", match, secret) == dropped(texts, "first_owner", match)


def test_signatures_tell_nothing_without_the_secret() -> None:
    text, near = words(0, 20), [sketcher(PREPARATION, 1, secret) for secret in (b"1", b"2")]
    one, other = (signature_of(text, secret, n) for secret, n in zip((b"1", b"2"), near, strict=True))
    assert one.num_bytes == other.num_bytes
    assert not {one.name, one.content, *one.bands} & {other.name, other.content, *other.bands}
    words_of_one, words_of_other = (keyed_vocabulary(text, s, n) for s, n in zip((b"1", b"2"), near, strict=True))
    assert len(words_of_one) == len(words_of_other) == 20
    assert not words_of_one & words_of_other
