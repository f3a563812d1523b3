"""The table `attacks`, and what the page says of canaries and of membership, on rows made by hand."""

import numpy as np
import pyarrow as pa
import pytest

from raysim.report import audit_sections
from raysim.report.attacks import attacks_table
from raysim.report.folder import open_run
from raysim.report.html import write_report
from raysim.report.points import finals
from raysim.report.summary import Study
from raysim.report.tables import read_table, schema, write_table

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
            exposure = (exposed if repeats else 1.0) + number
            beyond = {"exposure_extrapolated": extrapolated, "fit_p": 0.5 if extrapolated else None}
            rank = {"rank": 1, "candidates": 1024, "enumerated": extrapolated is None, "exposure": exposure}
            named = {"canary": f"{repeats}x{number}", "repeats": repeats, "log_perplexity": 60.0}
            yield {"model": model, "organization": organization, **named, **rank, **beyond}


def audited(folder, blind: float | None = 0.0, canaries=None):
    """`folder` with audits of all final models: attacks that work where the organization took part."""
    study = Study(open_run(folder))
    rng = np.random.default_rng(8)
    rows = {"membership": [], "canaries": [], "blind": []}
    for point in {point.model: point for point in finals(study.points)}.values():
        for organization in study.organizations:
            took_part = organization in point.organizations
            rows["membership"] += membership_rows(point.model, organization, 3.0 * took_part, rng)
            rows["canaries"] += canary_rows(point.model, organization, 8.0 if took_part else 0.5, canaries)
    if blind is not None:
        for organization in study.organizations:
            rows["blind"] += blind_rows(organization, blind, rng)
    for name, found in rows.items():
        write_table(folder, name, pa.Table.from_pylist(found, schema(name)))
    return folder


@pytest.fixture(scope="module")
def study(build_run):
    return Study(open_run(audited(build_run())))


def test_an_auc_is_the_share_of_pairs_won(study):
    attack = next(row for row in attacks_table(study.run).to_pylist() if row["score"] == "loss")
    rows = [
        row
        for row in study.run.table("membership").to_pylist()
        if (row["model"], row["organization"]) == (attack["model"], attack["organization"])
    ]
    pairs = [a["loss"] < b["loss"] for a in rows for b in rows if a["member"] and not b["member"]]
    assert attack["auc"] == pytest.approx(sum(pairs) / 400)
    assert (attack["members"], attack["non_members"], attack["files"]) == (20, 20, 40)
    guesses = [row for row in study.run.table("blind").to_pylist() if row["organization"] == attack["organization"]]
    pairs = [
        a["score"] > b["score"]
        for a in guesses
        for b in guesses
        if a["member"] and not b["member"] and a["fold"] == b["fold"]
    ]
    assert attack["blind_auc"] == pytest.approx(sum(pairs) / 200)
    assert attack["gain"] == pytest.approx(attack["auc"] - attack["blind_auc"])
    assert attack["gain_low"] < attack["gain"] < attack["gain_high"]


def test_an_attack_shows_membership_where_there_is_any(study):
    members = {point.model: point.organizations for point in finals(study.points)}
    found = {}
    for row in attacks_table(study.run).to_pylist():
        took_part = row["organization"] in members[row["model"]]
        found.setdefault((row["score"], took_part), []).append(row["verdict"] == "shows membership")
    assert all(found["loss", True])
    assert all(found["min_k_plus_plus", True])
    for pair in (("loss", False), ("zlib", True), ("zlib", False)):
        assert sum(found[pair]) <= len(found[pair]) / 10


def test_an_attack_shows_nothing_that_a_blind_guess_does_not(build_run):
    """The same attacks, where the splits differ by themselves."""
    study = Study(open_run(audited(build_run(), blind=6.0)))
    attacks = attacks_table(study.run).to_pylist()
    assert {row["verdict"] for row in attacks} == {"shows nothing"}
    found = audit_sections.inference(study, attacks)
    assert found is not None
    assert found.verdict.startswith("The blind guess, without a model, is as good as every attack")
    assert {row.says for row in found.rows} <= {"shows nothing", "shows membership in 0 of 6 models"}


def test_an_attack_without_a_baseline_shows_nothing_either(build_run):
    study = Study(open_run(audited(build_run(), blind=None)))
    attacks = attacks_table(study.run).to_pylist()
    assert {row["verdict"] for row in attacks} == {"no baseline"}
    assert {row["blind_auc"] for row in attacks} == {None}
    found = audit_sections.inference(study, attacks)
    assert found is not None
    assert "no blind guess to hold an attack against" in found.verdict


def test_exposures_are_averaged_by_setting_and_repeats(study):
    found = audit_sections.exposure(study)
    assert found is not None
    assert [name for name, _ in found.columns] == ["Never", "4 times", "Others'"]
    cells = {label: [cell.text for cell in row] for label, row in found.rows}
    assert cells["single: meta"] == ["1.5", "8.5", "1.0"]
    assert cells["centralized"] == ["1.5", "8.5", "–"]
    assert found.scale == "Ranked among all secrets that there are, it can be 10.0 at most."
    assert found.note == ""


def test_extrapolated_exposures_are_called_so(build_run):
    found = audit_sections.exposure(Study(open_run(audited(build_run(), canaries=21.0))))
    assert found is not None
    assert dict(found.rows)["centralized"][1].spread == "extrapolated 21.0"
    assert "a sample of secrets" in found.scale
    assert found.note.startswith("Extrapolated: an estimate")


def test_the_page_shows_audits(build_run):
    folder = audited(build_run())
    page = write_report(folder).read_text(encoding="utf-8")
    assert 'id="exposure"' in page
    assert 'id="membership"' in page
    assert "beats the guess without a model" in page
    assert read_table(folder, "attacks").num_rows == read_table(folder, "membership").num_rows // NUM_FILES * 4


def test_a_page_without_audits_does_not_speak_of_them(run):
    page = write_report(run).read_text(encoding="utf-8")
    assert 'id="exposure"' not in page
    assert 'href="#membership"' not in page
