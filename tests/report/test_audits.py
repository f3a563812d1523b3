"""The table `attacks`, and what the page says of canaries and of membership, on rows made by hand."""

from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest

from raysim.analysis.attacks import _verdict, attacks_table
from raysim.analysis.auc import area, interval
from raysim.analysis.reached_models import finals
from raysim.analysis.results import RunResults
from raysim.report.run_page import write_run_page
from raysim.report.sections.exposure import exposure
from raysim.report.sections.membership import inference
from raysim.tables.io import read_table, schema, write_table
from raysim.tables.results import open_run

NUM_FILES = 40


def membership_rows(model, organization, strength, rng):
    """One chunk of each of 40 files, every second one a member, whose loss is lower by `strength`."""
    for number in range(NUM_FILES):
        member = number % 2 == 0
        loss = 3 - strength * member + float(rng.standard_normal())
        scores = {"loss": loss, "min_k": -2 * loss, "min_k_plus_plus": -loss, "zlib": float(rng.random())}
        yield {"model": model, "organization": organization, **unit(number), "tokens": 64, **scores}


def blind_rows(organization, strength, rng):
    for number in range(NUM_FILES):
        score = strength * (number % 2 == 0) + float(rng.standard_normal())
        yield {"organization": organization, **unit(number), "fold": number // 2 % 2, "score": score}


def unit(number):
    return {"file": f"{number:02}.py", "chunk": 0, "member": number % 2 == 0}


def canary_rows(model, organization, exposed, extrapolated=None):
    for repeats in (0, 4):
        for number in range(2):
            bits = (exposed if repeats else 1.0) + number
            beyond = {"exposure_extrapolated": extrapolated, "fit_p": 0.5 if extrapolated else None}
            rank = {
                "rank": 1 if repeats else 400,
                "candidates": 1024,
                "enumerated": extrapolated is None,
                "exposure": bits,
            }
            named = {"canary": f"{repeats}x{number}", "repeats": repeats, "log_perplexity": 60.0}
            yield {"model": model, "organization": organization, **named, **rank, **beyond}


def audited(folder, blind: float | None = 0.0, canaries=None):
    """`folder` with audits of all final models: attacks that work where the organization took part."""
    results = RunResults(open_run(folder))
    rng = np.random.default_rng(8)
    rows = {"membership": [], "canaries": [], "blind": []}
    for point in {point.model: point for point in finals(results.reached_models)}.values():
        for organization in results.organizations:
            took_part = organization in point.organizations
            rows["membership"] += membership_rows(point.model, organization, 3.0 * took_part, rng)
            rows["canaries"] += canary_rows(point.model, organization, 8.0 if took_part else 0.5, canaries)
    if blind is not None:
        for organization in results.organizations:
            rows["blind"] += blind_rows(organization, blind, rng)
    for name, found in rows.items():
        write_table(folder, name, pa.Table.from_pylist(found, schema(name)))
    return folder


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
    assert _verdict({"low": low, "auc": auc}, 0.2, gained) == verdict
    assert _verdict({"low": low, "auc": auc}, None, None) == "no baseline"


def test_guesses_at_other_units_are_no_baseline(build_run):
    folder = audited(build_run())
    write_table(folder, "blind", read_table(folder, "blind").slice(1))
    found = {(row["organization"], row["verdict"]) for row in attacks_table(open_run(folder)).to_pylist()}
    assert sum(verdict == "no baseline" for _, verdict in found) == 1


def test_cases_are_models_at_organizations_that_they_were_trained_on(results):
    cases = {(point.model, name) for point in finals(results.reached_models) for name in point.organizations}
    found = inference(results, attacks_table(results.run).to_pylist())
    assert found is not None
    assert f" of {len(cases)} cases of a final model and an organization" in found.verdict


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


def test_an_attack_shows_nothing_that_a_blind_guess_does_not(build_run):
    """The same attacks, where the splits differ by themselves."""
    results = RunResults(open_run(audited(build_run(), blind=6.0)))
    attacks = attacks_table(results.run).to_pylist()
    assert {row["verdict"] for row in attacks} == {"shows nothing"}
    found = inference(results, attacks)
    assert found is not None
    assert found.verdict.startswith("No attack is shown to beat the blind guess, without a model")
    assert {row.says for row in found.rows} <= {"shows nothing", "shows membership in 0 of 6 models"}


def test_blind_guesses_from_few_files_are_called_noisy(build_run):
    """Nine files of either kind at meta; ten at the others, which are not few."""
    results = RunResults(open_run(audited(build_run())))
    attacks = attacks_table(results.run).to_pylist()
    sizes = {"meta": {"member_files": 10, "non_member_files": 9}}
    default = {"member_files": 10, "non_member_files": 10}
    found = inference(results, [row | sizes.get(row["organization"], default) for row in attacks])
    assert found is not None
    assert "Blind guesses are noisy where a split has fewer than 10 files (meta: 10 and 9)" in found.verdict
    for row in found.rows:
        assert row.says.endswith(", with few files") == (row.organization == "meta")


def test_true_positives_stand_beside_those_of_the_blind_guess(results):
    attacks = attacks_table(results.run).to_pylist()
    found = inference(results, attacks)
    assert found is not None
    row = next(row for row in found.rows if (row.label, row.organization) == ("single: meta", "meta"))
    model = next(point.model for point in finals(results.reached_models) if point.organizations == ("meta",))
    mine = [row for row in attacks if (row["model"], row["organization"]) == (model, "meta")]
    best = max(mine, key=lambda one: one["auc"])
    cell = row.cells[[name for name, _ in found.columns].index("At 1 %")]
    assert cell.text == f"{100 * best['tpr_at_1_fpr']:.0f} %"
    assert cell.spread == f"blind {100 * best['blind_tpr_at_1_fpr']:.0f} %"


def test_a_model_that_two_settings_end_with_is_one_case(results):
    """Told twice over, by another label."""
    attacks = attacks_table(results.run).to_pylist()
    before = inference(results, attacks)
    twice = RunResults(results.run)
    twice.reached_models = [*results.reached_models, *(replace(point, strategy=f"{point.strategy} again") for point in results.reached_models)]
    after = inference(twice, attacks)
    assert before is not None
    assert after is not None
    assert len(after.rows) == 2 * len(before.rows)
    assert after.verdict == before.verdict


def test_an_attack_without_a_baseline_shows_nothing_either(build_run):
    results = RunResults(open_run(audited(build_run(), blind=None)))
    attacks = attacks_table(results.run).to_pylist()
    assert {row["verdict"] for row in attacks} == {"no baseline"}
    assert {row["blind_auc"] for row in attacks} == {None}
    found = inference(results, attacks)
    assert found is not None
    assert "no blind guess to hold an attack against" in found.verdict


def test_exposures_are_averaged_by_setting_and_repeats(results):
    found = exposure(results)
    assert found is not None
    assert [name for name, _ in found.columns] == ["Never", "4 times", "Others'", "By chance"]
    cells = {label: [cell.text for cell in row] for label, row in found.rows}
    # Two secrets behind a column of one organization, six of three.
    assert cells["single: meta"] == ["1.5", "8.5", "1.0", "3.4"]
    assert cells["centralized"] == ["1.5", "8.5", "–", "2.5"]
    assert found.scale == "Ranked among all secrets that there are, it can be 10.0 at most."
    assert "has 1.4 bits on average by chance" in found.note
    assert found.note.endswith("of the 6 that stand nowhere none did, in one model or more.")
    assert "Extrapolated" not in found.note


def test_secrets_that_stand_nowhere_and_are_exposed_are_said(build_run):
    """One of two of an organization ranks first: 10 bits and 1, so 5.5 on average, above the 3.4 of chance."""
    folder = audited(build_run())
    rows = read_table(folder, "canaries").to_pylist()
    for row in rows:
        if (row["organization"], row["canary"]) == ("meta", "0x1"):
            row.update(rank=1, exposure=10.0)
    write_table(folder, "canaries", pa.Table.from_pylist(rows, schema("canaries")))
    found = exposure(RunResults(open_run(folder)))
    assert found is not None
    assert dict(found.rows)["single: meta"][0].text == "5.5"
    assert "of the 6 that stand nowhere 1 did, in one model or more." in found.note
    assert "Secrets that stand nowhere are above that in single: meta, centralized" in found.note


def test_extrapolated_exposures_are_called_so(build_run):
    found = exposure(RunResults(open_run(audited(build_run(), canaries=21.0))))
    assert found is not None
    assert dict(found.rows)["centralized"][1].spread == "extrapolated 21.0"
    assert "a sample of secrets" in found.scale
    assert "Extrapolated: an estimate" in found.note


def test_the_page_shows_audits(build_run):
    folder = audited(build_run())
    page = write_run_page(folder).read_text(encoding="utf-8")
    assert 'id="exposure"' in page
    assert 'id="membership"' in page
    assert "beats the guess without a model" in page
    assert read_table(folder, "attacks").num_rows == read_table(folder, "membership").num_rows // NUM_FILES * 4


def test_a_page_without_audits_does_not_speak_of_them(run):
    page = write_run_page(run).read_text(encoding="utf-8")
    assert 'id="exposure"' not in page
    assert 'href="#membership"' not in page
