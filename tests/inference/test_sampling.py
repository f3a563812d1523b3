import numpy as np
import pytest
import torch
from scipy import stats
from transformers import (
    LogitsProcessorList,
    RepetitionPenaltyLogitsProcessor,
    TemperatureLogitsWarper,
    TopPLogitsWarper,
)

from raysim.inference.sampling import draw, penalise_repetition, sample_uniforms


def reference_draw(scaled: torch.Tensor, uniform: float, top_p: float) -> int:
    """Softmax, full sort, nucleus, inverse CDF; one row, in float64."""
    mass, order = scaled.double().softmax(0).sort(descending=True, stable=True)
    total = 0.0
    nucleus: list[float] = []
    for m in mass.tolist():
        nucleus.append(m)
        total += m
        if total >= top_p:
            break
    target, running = uniform * total, 0.0
    for rank, m in enumerate(nucleus):
        running += m
        if running > target:
            return int(order[rank])
    return int(order[len(nucleus) - 1])


@pytest.mark.parametrize("top_p", [0.1, 0.6, 0.95, 1.0])
@pytest.mark.parametrize("vocabulary", [5, 64, 500])
def test_same_uniform_gives_the_token_of_the_plain_reference(vocabulary: int, top_p: float) -> None:
    random = torch.Generator().manual_seed(vocabulary)
    # From a nucleus of one to one of hundreds.
    scale = torch.tensor([0.01, 0.3, 1, 3, 10, 30]).repeat(20)[:, None]
    logits = torch.randn(120, vocabulary, generator=random) * scale
    uniforms = torch.rand(120, dtype=torch.float64, generator=random)
    tokens = draw(logits, uniforms, 0.7, top_p)
    assert tokens.tolist() == [
        reference_draw(row / 0.7, float(u), top_p) for row, u in zip(logits, uniforms, strict=True)
    ]


def test_tied_tokens_are_drawn_in_the_order_of_their_ids() -> None:
    logits = torch.tensor([[0.0, 2.0, 2.0, -50.0, 2.0]]).repeat(3, 1)
    uniforms = torch.tensor([0.1, 0.5, 0.9], dtype=torch.float64)
    assert draw(logits, uniforms, 1.0, 0.9).tolist() == [1, 2, 4]


def test_tokens_tied_at_the_end_of_the_nucleus_enter_in_the_order_of_their_ids() -> None:
    """Four of equal mass, of which three make 0.6."""
    uniforms = (torch.arange(300, dtype=torch.float64) + 0.5) / 300
    tokens = draw(torch.zeros(300, 4), uniforms, 1.0, 0.6)
    assert torch.bincount(tokens, minlength=4).tolist() == [100, 100, 100, 0]


@pytest.mark.parametrize("top_p", [0.6, 1.0])
def test_a_row_does_not_depend_on_the_others(top_p: float) -> None:
    """Nuclei of one, of a few and of hundreds take different ways."""
    random = torch.Generator().manual_seed(9)
    logits = torch.randn(40, 500, generator=random) * torch.tensor([0.1, 1.5, 4, 60]).repeat(10)[:, None]
    uniforms = torch.rand(40, dtype=torch.float64, generator=random)
    together = draw(logits, uniforms, 0.6, top_p)
    alone = [int(draw(logits[row : row + 1], uniforms[row : row + 1], 0.6, top_p)) for row in range(40)]
    assert together.tolist() == alone


@pytest.mark.parametrize("uniform", [0.0, 1 - 2**-53])
def test_extreme_uniforms_stay_inside_the_nucleus(uniform: float) -> None:
    logits = torch.log(torch.tensor([[0.5, 0.3, 0.15, 0.05]]))
    token = int(draw(logits, torch.tensor([uniform], dtype=torch.float64), 1.0, 0.7))
    assert token == (0 if uniform == 0 else 1)


def test_zero_temperature_takes_the_likeliest() -> None:
    logits = torch.tensor([[0.0, 3.0, 1.0]])
    assert draw(logits, torch.tensor([0.99], dtype=torch.float64), 0, 1.0).tolist() == [1]


def test_draws_follow_the_distribution_of_transformers() -> None:
    random = torch.Generator().manual_seed(3)
    logits = torch.randn(1, 40, generator=random) * 2
    seen = torch.tensor([[1, 5, 7, 7, 30]])
    processors = LogitsProcessorList(
        [RepetitionPenaltyLogitsProcessor(1.3), TemperatureLogitsWarper(0.8), TopPLogitsWarper(0.8)]
    )
    expected = processors(seen, logits.clone()).softmax(1)[0].numpy().astype(np.float64)  # type: ignore[arg-type]
    draws = 20_000
    uniforms = torch.from_numpy(np.random.Generator(np.random.Philox(1)).random(draws))
    scores = penalise_repetition(logits.clone(), seen, 1.3).expand(draws, -1)
    counts = np.bincount(draw(scores, uniforms, 0.8, 0.8).numpy(), minlength=40)
    inside = expected > 0
    assert counts[~inside].sum() == 0
    wanted = expected[inside] / expected[inside].sum() * draws
    assert stats.chisquare(counts[inside], wanted).pvalue > 0.001


def test_penalty_equals_that_of_transformers() -> None:
    random = torch.Generator().manual_seed(4)
    logits, seen = torch.randn(6, 30, generator=random), torch.randint(0, 30, (6, 12), generator=random)
    wanted = RepetitionPenaltyLogitsProcessor(1.1)(seen, logits.clone())  # type: ignore[arg-type]
    assert torch.equal(penalise_repetition(logits.clone(), seen, 1.1), wanted)


def test_each_sample_has_a_stream_of_its_own() -> None:
    both = sample_uniforms(7, ["p", "q"], 2, 5)
    assert len(np.unique(both)) == 20
    assert np.array_equal(sample_uniforms(7, ["q"], 2, 5), both[2:])  # whoever shares the batch
    assert np.array_equal(sample_uniforms(7, ["p", "q"], 2, 3), both[:, :3])  # however long
    assert np.array_equal(sample_uniforms(7, ["p"], 1, 5), both[:1])  # however many
    assert not np.isin(sample_uniforms(8, ["p", "q"], 2, 5), both).any()


def test_golden_uniforms() -> None:
    """Other values mean other samples: raise GENERATION_VERSION."""
    assert sample_uniforms(1, ["0123456789abcdef"], 1, 2).tolist() == [[0.038740997500818275, 0.4721534713641493]]


def test_golden_draws() -> None:
    """Other tokens for the same logits and uniforms: raise GENERATION_VERSION."""
    logits = ((torch.arange(600) * 7919) % 601).float().view(3, 200) / 601 * torch.tensor([[1.0], [8.0], [60.0]])
    uniforms = torch.tensor([0.25, 0.5, 0.75], dtype=torch.float64)
    assert draw(logits, uniforms, 0.6, 0.6).tolist() == [79, 106, 59]
