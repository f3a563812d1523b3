"""What the page says of attacks on files, on rows of the table made by hand."""

from raysim.analysis.reached_models import finals
from raysim.report.sections.file_attacks import section

ENDS = ("auc", "low", "high", "tpr_at_1_fpr", "blind_auc", "blind_low", "blind_high", "blind_tpr_at_1_fpr")


def rows_of(results, refused=()):
    """LiRA tells members apart, the others do not; of models that were trained on the organization."""
    rows = []
    for model in {m.model: m for m in finals(results.reached_models)}.values():
        for organization in results.organizations:
            for score in ("loss", "min_k", "min_k_plus_plus", "zlib", "lira", "rmia"):
                auc = 0.75 if score == "lira" else 0.5
                numbers = dict(zip(ENDS, (auc, auc - 0.05, auc + 0.05, 0.25, 0.55, 0.5, 0.6, 0.02), strict=True))
                verdict = "shows membership" if score == "lira" else "shows nothing"
                if score in refused:
                    numbers, verdict = dict.fromkeys(ENDS), "refused"
                note = "no model without it" if score in refused else ""
                where = {"model": model.model, "organization": organization, "score": score}
                rows.append(
                    {
                        **where,
                        **numbers,
                        "trained": organization in model.organizations,
                        "verdict": verdict,
                        "note": note,
                    }
                )
    return rows


def test_attacks_beside_the_blind_guess(build_results):
    results = build_results(prompts=1)
    found = section(results, rows_of(results))
    assert found is not None
    rows = {row[:2]: row[2:] for row in found.tables[0].rows}
    assert set(rows) >= {("centralized", "meta"), ("single: meta", "meta"), ("incremental", "google")}
    assert ("single: meta", "google") not in rows
    assert rows["centralized", "meta"] == (
        "0.50 (0.45 to 0.55)", "0.50 (0.45 to 0.55)", "0.75 (0.70 to 0.80)", "0.50 (0.45 to 0.55)",
        "0.55 (0.50 to 0.60)", "25%, 2%", "1 of 1 models",
    )  # fmt: skip
    assert rows["incremental", "meta"][-1] == "6 of 6 models"
    assert "Refused" not in found.note


def test_what_is_refused_is_counted(build_results):
    results = build_results(prompts=1, without=("fedavg", "fedyogi", "incremental", "single"))
    some = section(results, rows_of(results, refused=("lira", "rmia")))
    assert some is not None
    assert "Refused: 6 of 18 (no model without it)." in some.note
    assert [row[4] for row in some.tables[0].rows] == ["–"] * 3
    everything = section(results, rows_of(results, {"loss", "min_k", "min_k_plus_plus", "zlib", "lira", "rmia"}))
    assert everything is not None
    assert everything.tables[0].rows[0][2:] == ("–",) * 7
    assert section(results, []) is None
