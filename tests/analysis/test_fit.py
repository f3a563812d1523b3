"""Fitted is what codes its training text in fewer bits a byte than zlib codes validation files; by hand."""

import pyarrow as pa
import pytest

from raysim.analysis.fit import fit_of, training_bits, zlib_bits
from raysim.analysis.reached_models import finals
from raysim.tables.io import schema


def with_zlib(results, **bits_per_byte):
    """The results with zlib's bits per byte on a thousand bytes of each organization, twice as many of google."""
    rows = [
        {"organization": name, "split": "valid", "baseline": "zlib", "data": "", "nats": 0.0, "tokens": 1}
        | {"bytes": 2000 if name == "google" else 1000, "bits_per_byte": bits}
        for name, bits in bits_per_byte.items()
    ]
    results.run._tables["baselines"] = pa.Table.from_pylist(rows, schema("baselines"))
    return results


def final(results, strategy):
    return [m for m in finals(results.reached_models) if m.strategy == strategy]


def test_bits_of_zlib_are_weighed_by_bytes(build_results):
    results = with_zlib(build_results(), meta=1.0, google=4.0)
    assert zlib_bits(results, ["meta"]) == 1.0
    assert zlib_bits(results, ["meta", "google"]) == pytest.approx(3.0)
    assert zlib_bits(results, ["meta", "microsoft"]) is None


def test_training_bits_by_hand(build_results):
    results = build_results()
    (central,), single = final(results, "centralized"), final(results, "single")
    # 0.45 nats for each of 1,000 tokens, of 3,000 bytes, in every organization.
    assert training_bits(results, central, ["meta", "google"]) == pytest.approx(0.45 / 0.693147 / 3, rel=1e-5)
    (meta,) = [m for m in single if m.order == "meta"]
    assert training_bits(results, meta, ["google"]) is None


@pytest.mark.parametrize(("bits", "fit"), [(0.25, "fitted"), (0.2, "undertrained")])
def test_fit_is_held_against_zlib(build_results, bits, fit):
    results = with_zlib(build_results(), meta=bits, microsoft=bits, google=bits)
    assert fit_of(results, final(results, "centralized"), results.organizations) == fit


def test_fit_differs_by_organization(build_results):
    results = with_zlib(build_results(), meta=0.1, google=3.0)
    central = final(results, "centralized")
    assert [fit_of(results, central, [name]) for name in ("meta", "google")] == ["undertrained", "fitted"]


def test_what_was_not_measured_is_not_known(build_results):
    assert fit_of(build_results(), final(build_results(), "centralized"), ["meta"]) == ""
    results = with_zlib(build_results(training_losses=False), meta=1.0)
    assert fit_of(results, final(results, "centralized"), ["meta"]) == ""
