"""How fast training ran: what was measured of one attempt, never a result."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from raysim.training.weights import trainable

if TYPE_CHECKING:
    import torch

PEAK_FLOP_PER_S: dict[str, float] = {
    "H100 PCIe": 756e12,
    "H100 NVL": 835e12,
    "H100": 989e12,
    "H200": 989e12,
    "A100": 312e12,
    "L40S": 362e12,
    "L4": 121e12,
    "A10G": 70e12,
}
"""Peak of dense bf16 matrix products, by what is in a device's name, longest name first (NVIDIA's data sheets, which
mostly print twice as much, for sparse ones)."""


def peak_flop_per_s(device: str) -> float | None:
    """The bf16 peak of a device, by the name that it gives itself; None: not known."""
    words = device.upper()
    found = [name for name in PEAK_FLOP_PER_S if all(part in words.split() for part in name.upper().split())]
    # NVIDIA writes "NVIDIA A100-SXM4-80GB" as well as "NVIDIA H100 80GB HBM3".
    found = found or [name for name in PEAK_FLOP_PER_S if f" {name.upper()}-" in f" {words}"]
    return PEAK_FLOP_PER_S[max(found, key=len)] if found else None


def flop_per_token(model: "torch.nn.Module") -> int:
    """FLOP of training on a token: 4 a parameter, and 2 more for each that is trained, for its gradient.

    So 6 where all are (Kaplan et al. 2020, arXiv 2001.08361). Neither attention is counted nor what activation
    checkpointing computes twice.
    """
    return 4 * sum(p.numel() for p in model.parameters()) + 2 * sum(p.numel() for p in trainable(model))


@dataclass(frozen=True)
class Speed:
    """What one attempt at a stage took.

    Attributes:
        tokens: trained on in this attempt, over all ranks.
        seconds: of the training loop; what its caller does with events is not counted.
        data_seconds: of these, waiting for batches: the most that any rank did.
        peak_memory_bytes: the most of any rank: of the device on a GPU, else of the process since it began.
        flop_per_token: of training; see `flop_per_token`.
        peak_flop_per_s: of all devices together, or None where it is not known.
    """

    tokens: int
    seconds: float
    data_seconds: float
    peak_memory_bytes: int
    flop_per_token: int
    peak_flop_per_s: float | None = None

    @property
    def tokens_per_s(self) -> float:
        return self.tokens / self.seconds if self.seconds else 0.0

    def facts(self) -> dict[str, float]:
        """For the stage log; utilization only where the peak is known."""
        facts: dict[str, float] = {
            "tokens": self.tokens,
            "seconds": round(self.seconds, 3),
            "tokens_per_s": round(self.tokens_per_s, 1),
            "data_seconds": round(self.data_seconds, 3),
            "peak_memory_bytes": self.peak_memory_bytes,
        }
        if self.flop_utilization is not None:
            facts["flop_utilization"] = round(self.flop_utilization, 4)
        return facts

    @property
    def flop_utilization(self) -> float | None:
        """Model FLOP a second over the peak of the devices.

        (Chowdhery et al. 2022, arXiv 2204.02311, appendix B, call it MFU and add attention, so true use is higher.)
        """
        return self.flop_per_token * self.tokens_per_s / self.peak_flop_per_s if self.peak_flop_per_s else None
