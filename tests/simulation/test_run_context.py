"""Tokens and sequences of stages. That every input is in the keys of a run is for tests/flows/keys to show."""

import dataclasses

import pytest

from raysim.core.errors import InputError
from raysim.core.keys import key_of
from raysim.organizations.client_stats import ClientStats
from raysim.simulation.run_context import apportion
from raysim.simulation.strategy import ClientInfo, Replay, TrainInstruction

INSTRUCTION = TrainInstruction(("a",), "model", 2, 4)


def test_tokens_and_sequences(make_context) -> None:
    context = make_context({"a": 3, "b": 3}, sequence_length=1024)
    stage = context.stage(dataclasses.replace(INSTRUCTION, organizations=("a", "b")))
    assert stage.num_sequences == 6
    assert stage.tokens_seen == {"a": 3 * 1024 * 2, "b": 3 * 1024 * 2}
    assert stage.tokens == 2 * 3 * 1024 * 2
    assert stage.key == key_of(stage.recipe)


@pytest.mark.parametrize(
    ("sequences", "fraction", "expected"),
    [(3, 1.0, 3), (3, 0.5, 2), (4, 0.5, 2), (3, 0.01, 1), (100, 0.07, 7), (100, 0.29, 29), (1, 1e-12, 1)],
)
def test_a_fraction_is_rounded_up_as_a_person_would(
    make_context, sequences: int, fraction: float, expected: int
) -> None:
    """In binary, 0.07 * 100 is a little over 7."""
    context = make_context({"a": sequences})
    assert context.stage(dataclasses.replace(INSTRUCTION, fraction=fraction)).sequences == {"a": expected}


def test_common_sequences_are_shared_out_by_tokens(make_context) -> None:
    """Streams of 610 and 310 tokens: 9 sequences of 100, of which 5.97 and 3.03 are due."""
    splits = [{"files": 10, "tokens": 600, "sequences": 6}, {"files": 10, "tokens": 300, "sequences": 3}]
    stats = {n: dataclasses.replace(s, splits={"train": t}) for (n, s), t in
             zip(make_context({"a": 6, "b": 3}).client_stats.items(), splits, strict=True)}  # fmt: skip
    context = dataclasses.replace(make_context({"a": 6, "b": 3}, sequence_length=100), client_stats=stats)
    apart = dataclasses.replace(INSTRUCTION, organizations=("a", "b"))
    together = dataclasses.replace(apart, pooled_packing=True)
    stage = context.stage(together)
    assert stage.sequences == {"a": 6, "b": 3}
    assert stage.tokens_seen == {"a": 6 * 100 * 2, "b": 3 * 100 * 2}
    half = context.stage(dataclasses.replace(together, fraction=0.5))
    assert (half.num_sequences, half.sequences) == (5, {"a": 3, "b": 2})
    assert len({context.stage(one).key for one in (apart, together)} | {half.key}) == 3


@pytest.mark.parametrize(
    ("number", "shares", "expected"),
    [(7, (1, 1, 1), (3, 2, 2)), (10, (6, 3, 1), (6, 3, 1)), (3, (100, 1, 1), (3, 0, 0)), (2, (1, 2, 2), (0, 1, 1))],
)
def test_whole_parts_in_proportion(number: int, shares: tuple[int, ...], expected: tuple[int, ...]) -> None:
    assert apportion(number, dict(zip("abc", shares, strict=True))) == dict(zip("abc", expected, strict=True))


def test_a_strategy_knows_clients_by_their_stats(make_context) -> None:
    """b has the fewest lines, 6. Of a's six lines, each twice, 6 of 12 draws miss one with 6 * 5 / (12 * 11)."""
    splits = {"train": {"sequences": 3, "tokens": 200}}
    client_stats = {
        "a": ClientStats("a", "ta", "va", splits, (), {}, 3, ((2, 6),)),
        "b": ClientStats("b", "tb", "vb", splits, (), {}, 0, ((1, 6),)),
    }
    expected = round(6 * (1 - 6 * 5 / (12 * 11)) / 6, 9)
    clients = dataclasses.replace(make_context({"a": 3}), client_stats=client_stats).federation.clients
    assert clients == (ClientInfo("a", 3, 200, expected, 0.25), ClientInfo("b", 3, 200, 1.0, 0.0))


def test_equal_diversities_tie(make_context) -> None:
    """No line occurs twice in any of them; the sums are rounded in another way for each size."""
    context = make_context({"a": 3})
    one = context.client_stats["a"]
    client_stats = {str(n): dataclasses.replace(one, line_spectrum=((1, n),)) for n in range(3, 400, 7)}
    clients = dataclasses.replace(context, client_stats=client_stats).federation.clients
    assert {client.diversity for client in clients} == {1.0}


def test_what_is_replayed_is_a_share_of_what_was_trained_on(make_context) -> None:
    context = make_context({"a": 40, "b": 3}, sequence_length=100)
    later = dataclasses.replace(INSTRUCTION, organizations=("b",), fraction=0.5, replay=Replay(("a",), 0.07))
    stage = context.stage(later)
    assert stage.sequences == {"b": 2, "a": 2}  # half of 40, of which 1.4
    assert (stage.own_sequences, stage.num_sequences) == (2, 4)
    assert stage.tokens_seen == {"b": 2 * 100 * 2, "a": 2 * 100 * 2}


def test_an_app_of_flowers_replays_nothing(make_context) -> None:
    context = make_context({"a": 3, "b": 3}, backend="flower", app="flower_apps:app")
    with pytest.raises(InputError, match=r"replay: backend flower reads an organization's own files; leave it out"):
        context.stage(dataclasses.replace(INSTRUCTION, replay=Replay(("b",), 0.5)))
