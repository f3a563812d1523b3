"""The goldfish loss beside a reference in plain integers, and what it does to a passage that is trained on."""

from collections.abc import Callable, Sequence

import numpy as np
import pytest
import torch
from train_requests import make_request

from raysim.core.errors import InputError
from raysim.core.settings import validate
from raysim.training.goldfish import GoldfishSettings, goldfish_loss, kept_targets
from raysim.training.model_host import ModelSpec
from raysim.training.models import build_model
from raysim.training.request import TrainerSettings, TrainTask, Update
from raysim.training.torch_engine import TorchTrainer
from raysim.training.weights import assign, flatten

SETTINGS = GoldfishSettings(k=3, context=4)


def drawn(rows: int, length: int, vocab_size: int = 300) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(7).integers(0, vocab_size, (rows, length)))


def counts(context: Sequence[int], k: int) -> bool:
    """Whether a token counts that has these before it, in integers of any size."""
    state = 0
    for token in context:
        state = (state * 0x5851F42D4C957F2D + token + 1) % 2**64
    # As of signed integers: a right shift repeats the sign, and the upper half does not matter to the bits below.
    signed = state - 2**64 if state >= 2**63 else state
    state = ((signed ^ (signed >> 32)) * 0x2545F4914F6CDD1D) % 2**64
    return (state >> 33) % 2**30 % k != 0


def test_tokens_are_left_out_by_what_is_before_them() -> None:
    ids = drawn(5, 40)
    kept = kept_targets(ids, SETTINGS)
    for row, found in zip(ids.tolist(), kept.tolist(), strict=True):
        assert found[:3] == [True] * 3
        assert found[3:] == [counts(row[place - 4 : place], 3) for place in range(4, 40)]


def test_one_in_k_is_left_out() -> None:
    for k in (2, 4, 50):
        kept = kept_targets(drawn(100, 513), GoldfishSettings(k=k))[:, 12:]
        share = 1 - kept.double().mean().item()
        assert share == pytest.approx(1 / k, abs=4 * np.sqrt((1 / k) * (1 - 1 / k) / kept.numel()))


def test_a_copy_loses_the_same_tokens() -> None:
    passage = drawn(1, 30)[0]
    first, second = torch.cat([passage, drawn(1, 9)[0]]), torch.cat([drawn(1, 7)[0], passage])
    at_first, at_second = (kept_targets(ids[None], SETTINGS)[0] for ids in (first, second))
    assert not at_first.all()
    assert at_first[3:29].tolist() == at_second[10:36].tolist()


def test_a_row_shorter_than_the_context_counts_whole() -> None:
    assert kept_targets(drawn(2, 4), SETTINGS).all()
    assert not kept_targets(drawn(64, 6), SETTINGS).all()


def test_the_loss_is_the_mean_of_what_counts() -> None:
    ids = drawn(4, 20, 11)
    logits = torch.randn(4, 20, 11, generator=torch.Generator().manual_seed(1), dtype=torch.float64).float()
    kept, rows = kept_targets(ids, SETTINGS), []
    for row in range(4):
        nats = [
            -torch.log_softmax(logits[row, place].double(), 0)[ids[row, place + 1]].item()
            for place in range(19)
            if kept[row, place]
        ]
        rows.append(sum(nats) / len(nats))
    assert goldfish_loss(logits, ids, SETTINGS).item() == pytest.approx(np.mean(rows), rel=1e-6)
    halves = [goldfish_loss(logits[part], ids[part], SETTINGS).item() for part in (slice(2), slice(2, 4))]
    assert np.mean(halves) == pytest.approx(np.mean(rows), rel=1e-6)


def test_what_is_left_out_is_not_learnt(
    gpt2_spec: Callable[..., ModelSpec], make_task: Callable[..., TrainTask]
) -> None:
    """A model that is trained on one passage alone recites it; with the goldfish loss it misses what was left out."""
    passage = drawn(1, 64)
    kept, nats = kept_targets(passage, SETTINGS)[0], {}
    for goldfish in (None, SETTINGS):
        spec = gpt2_spec(dropout=0.0)
        model = build_model(spec.settings, spec.vocab_size, spec.bos_id, spec.context, seed=5)
        task = make_task(epochs=300, horizon_epochs=300, batch_size=1, learning_rate=1e-2, goldfish=goldfish)
        sequences = passage.numpy().astype(np.int32)
        *_, update = TorchTrainer(model).train(make_request(task, sequences, flatten(model)))
        assert isinstance(update, Update)
        assign(model, update.weights)
        with torch.no_grad():
            logits = model(input_ids=passage).logits[0, :-1]
        nats[goldfish] = torch.nn.functional.cross_entropy(logits, passage[0, 1:], reduction="none")
    assert nats[None].max() < 1
    assert nats[SETTINGS][kept].max() < 1
    assert nats[SETTINGS][~kept].min() > 3


def test_it_is_in_the_key_where_it_is_asked_for() -> None:
    plain, goldfish = TrainerSettings(), TrainerSettings(goldfish=GoldfishSettings())
    assert "goldfish" not in plain.recipe()
    assert goldfish.recipe()["goldfish"] == {"k": 4, "context": 13}
    assert goldfish.canonical().goldfish == GoldfishSettings()


def test_an_app_of_flowers_has_a_loss_of_its_own() -> None:
    with pytest.raises(InputError, match=r"goldfish: an app of Flower's has a loss of its own"):
        validate(TrainerSettings, {"backend": "flower", "app": "flower_apps:app", "goldfish": {"k": 4}}, "trainer")
