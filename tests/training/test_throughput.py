"""Speeds from hand-computed numbers, and the names that devices give themselves."""

import pytest

from raysim.training.models import build_model
from raysim.training.throughput import Speed, flop_per_token, peak_flop_per_s


def test_utilization_is_six_flop_a_parameter_and_token_over_the_peak() -> None:
    """124e6 parameters, 500,000 tokens in 2 s on 989 TFLOP/s: 6 * 124e6 * 250e3 = 1.86e14, 18.8 % of the peak."""
    speed = Speed(500_000, 2.0, 0.01, 7, 6 * 124_000_000, 989e12)
    assert speed.tokens_per_s == 250_000
    assert speed.flop_utilization == pytest.approx(1.86e14 / 989e12)
    assert speed.facts() == {
        "tokens": 500_000,
        "seconds": 2.0,
        "tokens_per_s": 250_000.0,
        "data_seconds": 0.01,
        "peak_memory_bytes": 7,
        "flop_utilization": 0.1881,
    }


def test_frozen_parameters_have_no_gradient(gpt2_spec) -> None:
    """Forward and backward through all of them, 4 each; 2 more for the embedding's 300 rows of 16 alone."""
    spec = gpt2_spec()
    model = build_model(spec.settings, spec.vocab_size, spec.bos_id, spec.context)
    total = sum(p.numel() for p in model.parameters())
    assert flop_per_token(model) == 6 * total
    for name, parameter in model.named_parameters():
        parameter.requires_grad = name == "transformer.wte.weight"
    assert flop_per_token(model) == 4 * total + 2 * 300 * 16


def test_utilization_is_left_out_where_the_peak_is_not_known() -> None:
    speed = Speed(10, 0.0, 0.0, 1, 5)
    assert speed.tokens_per_s == 0
    assert speed.flop_utilization is None
    assert "flop_utilization" not in speed.facts()


@pytest.mark.parametrize(
    ("name", "tera"),
    [
        ("NVIDIA H100 80GB HBM3", 989),
        ("NVIDIA H100 PCIe", 756),
        ("NVIDIA H100 NVL", 835),
        ("NVIDIA H200", 989),
        ("NVIDIA A100-SXM4-80GB", 312),
        ("NVIDIA A100 80GB PCIe", 312),
        ("NVIDIA L4", 121),
        ("NVIDIA L40S", 362),
        ("NVIDIA A10G", 70),
        ("NVIDIA GeForce RTX 3060", None),
        ("NVIDIA L40", None),
    ],
)
def test_peaks_by_the_name_of_a_device(name: str, tera: float | None) -> None:
    assert peak_flop_per_s(name) == (tera and tera * 1e12)
