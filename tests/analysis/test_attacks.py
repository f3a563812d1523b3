"""The table `attacks`, on rows made by hand."""

import numpy as np
import pyarrow as pa
import pytest
from measured_tables import audited

from raysim.analysis.attacks import attacks_table, verdict_of
from raysim.analysis.auc import area, interval
from raysim.analysis.reached_models import finals
from raysim.analysis.results import RunResults
from raysim.tables.io import read_table, schema, write_table
from raysim.tables.results import open_run


@pytest.fixture(scope="module")
def results(build_run):
    return RunResults(open_run(audited(build_run())))


def test_an_auc_is_the_share_of_pairs_won(results):
    attack = next(row for row in attacks_table(results.run).to_pylist() if row["score"] == "loss")
    rows = [
        row
        for row in results.run.table("membership").to_pylist()
        if (row["model"], row["organization"]) == (attack["model"], attack["organization"])
    ]
    pairs = [a["loss"] < b["loss"] for a in rows for b in rows if a["member"] and not b["member"]]
    assert attack["auc"] == pytest.approx(sum(pairs) / 400)
    assert [attack[name] for name in ("members", "non_members", "member_files", "non_member_files")] == [20] * 4
    guesses = [row for row in results.run.table("blind").to_pylist() if row["organization"] == attack["organization"]]
    pairs = [
        a["score"] > b["score"]
        for a in guesses
        for b in guesses
        if a["member"] and not b["member"] and a["fold"] == b["fold"]
    ]
    assert attack["blind_auc"] == pytest.approx(sum(pairs) / 200)
    assert attack["gain"] == pytest.approx(attack["auc"] - attack["blind_auc"])
    assert attack["gain_low"] < attack["gain"] < attack["gain_high"]


def test_every_score_is_read_in_its_direction(results):
    """Lower for members: loss, zlib; higher: min_k, min_k_plus_plus. At 1 %, none of 20 non-members may be taken."""
    lower = {"loss": True, "zlib": True, "min_k": False, "min_k_plus_plus": False}
    tables = [results.run.table(name).to_pylist() for name in ("membership", "blind")]
    for attack in attacks_table(results.run).to_pylist()[:8]:
        rows = [r for r in tables[0] if (r["model"], r["organization"]) == (attack["model"], attack["organization"])]
        sign = -1 if lower[attack["score"]] else 1
        members, others = ([sign * r[attack["score"]] for r in rows if r["member"] == one] for one in (True, False))
        assert attack["auc"] == pytest.approx(sum(a > b for a in members for b in others) / 400)
        assert attack["tpr_at_1_fpr"] == pytest.approx(sum(a > max(others) for a in members) / 20)


def test_the_interval_of_the_gain_is_paired_by_file(results):
    attack = next(row for row in attacks_table(results.run).to_pylist() if row["score"] == "loss")
    rows, guesses = (
        sorted(
            (r for r in results.run.table(name).to_pylist() if attack.items() >= {k: r[k] for k in keys}.items()),
            key=lambda r: r["file"],
        )
        for name, keys in (("membership", ("model", "organization")), ("blind", ("organization",)))
    )
    member = np.array([row["member"] for row in rows])
    own = area(np.array([-row["loss"] for row in rows]), member)
    guess = area(np.array([row["score"] for row in guesses]), member, [row["fold"] for row in guesses])
    assert own is not None
    assert guess is not None
    expected = interval(own.value - guess.value, own.influence - guess.influence, member, [r["file"] for r in rows])
    assert (attack["gain_low"], attack["gain_high"]) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("low", "auc", "gained", "verdict"),
    [
        (0.6, 0.7, (0.1, 0.3), "shows membership"),
        (0.45, 0.7, (0.1, 0.3), "shows nothing"),
        (0.6, 0.7, (-0.1, 0.5), "shows nothing"),
        (None, 1.0, None, "shows membership"),
        (None, 0.5, None, "shows nothing"),
    ],
)
def test_it_takes_both_to_show_membership(low, auc, gained, verdict):
    """An interval above 0.5, and a gain above 0; without an interval, as where all are told apart, the values."""
    assert verdict_of({"low": low, "auc": auc}, 0.2, gained) == verdict
    assert verdict_of({"low": low, "auc": auc}, None, None) == "no baseline"


def test_guesses_at_other_units_are_no_baseline(build_run):
    folder = audited(build_run())
    write_table(folder, "blind", read_table(folder, "blind").slice(1))
    found = {(row["organization"], row["verdict"]) for row in attacks_table(open_run(folder)).to_pylist()}
    assert sum(verdict == "no baseline" for _, verdict in found) == 1


def test_an_attack_shows_membership_where_there_is_any(results):
    members = {point.model: point.organizations for point in finals(results.reached_models)}
    found = {}
    for row in attacks_table(results.run).to_pylist():
        took_part = row["organization"] in members[row["model"]]
        found.setdefault((row["score"], took_part), []).append(row["verdict"] == "shows membership")
    assert all(found["loss", True])
    assert all(found["min_k_plus_plus", True])
    for pair in (("loss", False), ("zlib", True), ("zlib", False)):
        assert sum(found[pair]) <= len(found[pair]) / 10


def test_scores_that_are_no_numbers_attack_nobody(build_run):
    """A model that has diverged tells no member from another file; other models are judged as they were."""
    folder = audited(build_run())
    before = attacks_table(open_run(folder)).to_pylist()
    rows = read_table(folder, "membership").to_pylist()
    diverged = rows[0]["model"]
    spoilt = [row | ({"loss": float("nan")} if row["model"] == diverged and row["member"] else {}) for row in rows]
    write_table(folder, "membership", pa.Table.from_pylist(spoilt, schema("membership")))
    after = attacks_table(open_run(folder)).to_pylist()
    assert after == [row for row in before if (row["model"], row["score"]) != (diverged, "loss")]
