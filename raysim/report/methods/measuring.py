"""What a methods paragraph says of measures, statistics and software: of measures that have rows alone."""

from collections.abc import Mapping, Sequence
from typing import Any

from raysim.analysis.results import RunResults
from raysim.analysis.verdicts import NOT_MEASURED
from raysim.core.run_folder import PACKAGES
from raysim.report.methods.words import described, listed, shown

_PROMPTS = {
    "function": "function",
    "prefix": "prefix",
    "held_out": "held-out",
    "neutral": "neutral",
}

_SAMPLING = (
    ("samples", "{} samples each"),
    ("new_tokens", "at most {} new tokens"),
    ("temperature", "temperature {}"),
    ("top_p", "top-p {}"),
    ("repetition_penalty", "repetition penalty {}"),
)

_EXTRACTION = (
    ("passages", "{} passages of each organization"),
    ("prefix_tokens", "prefixes of {} tokens"),
    ("suffix_tokens", "suffixes of {} tokens"),
)


def measuring_sentences(results: RunResults, findings: Sequence[Mapping[str, Any]]) -> list[str]:
    """On what was measured, how uncertainty was computed, and with which software."""
    found = [_perplexity(results), _baselines(results), *_memorization(results), _renamed(results)]
    found += [
        _extraction(results),
        _study_counts(results),
        _uploads(results),
        _exposure(results),
        _recital(results),
        _membership(results),
    ]
    found += [_pass_at_k(results), *_statistics(results, findings), _software(results.run.manifest)]
    return [sentence for sentence in found if sentence]


def _asked(results: RunResults, measure: str, table: str) -> Mapping[str, Any] | None:
    """Settings of a measure that has rows; None: it has none."""
    there = results.run.table(table).num_rows > 0
    return (results.run.setting("measure", measure) or {}) if there else None


def _perplexity(results: RunResults) -> str:
    if results.losses.empty:
        return ""
    return "Effectiveness was measured as bits per byte and perplexity of each organization's validation files."


def _baselines(results: RunResults) -> str:
    found = results.run.table("baselines")
    names = sorted(set(found.column("baseline").to_pylist()))
    return f"Losses were held against baselines without any network: {listed(names)}." if names else ""


def _memorization(results: RunResults) -> list[str]:
    settings = _asked(results, "memorization", "samples")
    if settings is None:
        return []
    counts = {kind: number for kind, number in (settings.get("prompts") or {}).items() if number and kind in _PROMPTS}
    asked = listed(f"{shown(number)} {_PROMPTS[kind]} prompts" for kind, number in counts.items())
    given = f"at most {asked} of each organization" if asked else "prompts of each organization"
    how = ", ".join(described(settings, _SAMPLING))
    lines = settings.get("min_lines")
    prose = results.run.setting("preparation", "domain") == "text"
    unit = "sentence" if prose else "line"
    runs = f"runs of at least {shown(lines)} {'' if prose else 'significant '}{unit}s" if lines else f"runs of {unit}s"
    return [
        f"Memorization: models answered {given}{f' ({how})' if how else ''}.",
        f"Generated {unit}s in {runs} that equal an organization's training text are covered; exclusive if no other"
        " organization and no reference holds them, shared if another organization does, public if a reference does.",
        *_output_filter(settings.get("output_filter")),
    ]


def _output_filter(settings: Mapping[str, Any] | None) -> list[str]:
    if not settings:
        return []
    lines, redrawn = shown(settings.get("lines", 6)), settings.get("action") == "resample"
    ended = "drawn anew from the start of that line or ended there" if redrawn else "ended there"
    return [
        f"An output filter was in force: a sample whose next line would have completed {lines} consecutive significant"
        f" lines of any organization's training text was {ended}."
    ]


def _extraction(results: RunResults) -> str:
    if _asked(results, "memorization", "extraction") is None:
        return ""
    settings = results.run.setting("measure", "memorization", "extraction") or {}
    how = ", ".join(described(settings, _EXTRACTION))
    return f"Extraction: suffixes of training passages were decoded greedily from their prefixes, and scored ({how})."


def _renamed(results: RunResults) -> str:
    if not results.run.table("renamed").num_rows:
        return ""
    tokens = results.run.setting("measure", "memorization", "renamed", "min_tokens")
    runs = f"runs of at least {shown(tokens)} tokens" if tokens else "runs of tokens"
    return (
        f"Copies under other names were counted, too: {runs} that are an organization's but for names replaced one to"
        " one, literals, comments and layout, beside the rate at which held-out code matches."
    )


def _study_counts(results: RunResults) -> str:
    rows = results.run.table("study_counts").to_pylist()
    if not rows:
        return ""
    rules = ", compared by the rules of Simian" if rows[0]["simian"] else ""
    what = "distinct fragments of training text, and their lines, were counted"
    return f"As in the study that raysim recreates, {what}{rules}."


def _uploads(results: RunResults) -> str:
    if not results.run.table("uploads").num_rows:
        return ""
    return "Clients' uploads were probed before they were averaged, with prompts and canaries of their own."


def _exposure(results: RunResults) -> str:
    settings = _asked(results, "exposure", "canaries")
    if settings is None:
        return ""
    among = f" among {shown(settings['candidates'])} candidates" if settings.get("candidates") else ""
    return f"Exposure of canaries is the rank of their log-perplexity{among}, in bits."


def _recital(results: RunResults) -> str:
    if _asked(results, "recital", "recitals") is None:
        return ""
    return "Recital of planted functions was measured by greedy decoding from their signatures."


def _membership(results: RunResults) -> str:
    settings = _asked(results, "membership", "membership")
    if settings is None:
        return ""
    tokens = settings.get("chunk_tokens")
    of = f" of chunks of {shown(tokens)} tokens" if tokens else ""
    blind = ", beside a classifier of words that sees no model" if results.run.table("blind").num_rows else ""
    return f"Membership was inferred from losses, min-k, min-k++ and zlib scores{of}, as areas under ROC curves{blind}."


def _pass_at_k(results: RunResults) -> str:
    settings = _asked(results, "pass_at_k", "executions")
    if settings is None:
        return ""
    how = ", ".join(described(settings, (("problems", "problems: {}"), ("k", "k: {}"), *_SAMPLING[:1])))
    return f"Functional correctness was measured as pass@k{f' ({how})' if how else ''}, by running solutions."


def _statistics(results: RunResults, findings: Sequence[Mapping[str, Any]]) -> list[str]:
    """Of findings that have a verdict."""
    reached = [row for row in findings if not row["arm"] and row["verdict"] != NOT_MEASURED]
    if not reached:
        return []
    margins = listed(
        f"{row['finding']} {shown(row['margin'])} {row['unit']}" for row in reached if row["margin"] is not None
    )
    found = [
        "Settings were compared by contrasts paired over the same files or prompts within a seed, orders being averaged"
        " within it."
    ]
    if any(row["low"] is not None for row in reached):
        found.append(
            "Confidence intervals (95 %) of contrasts cover seeds and clusters of material (repositories or files) at"
            " once, by a jackknife of clusters and Student's t."
        )
    if any(row["p"] is not None for row in reached):
        found.append("p-values were adjusted over findings by Holm's procedure.")
    return [*found, f"Margins declared beforehand: {margins}."] if margins else found


def _software(manifest: Mapping[str, Any]) -> str:
    versions = [f"{name} {manifest[name]}" for name in ("raysim", *PACKAGES) if manifest.get(name)]
    machine = manifest.get("machine")
    if isinstance(machine, Mapping) and machine.get("python"):
        versions.append(f"Python {machine['python']}")
    return f"Software: {listed(versions)}." if versions else ""
