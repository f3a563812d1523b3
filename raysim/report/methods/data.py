"""What a methods paragraph says of the code: whose, how much, how prepared and split, and what was planted in it."""

from collections.abc import Mapping
from typing import Any

from raysim.analysis.results import RunResults
from raysim.corpus.preparation_settings import PreparationSettings, not_asked
from raysim.corpus.prose import MIN_WORDS
from raysim.report.methods.words import described, listed, number, shown
from raysim.report.publication import without_paths
from raysim.report.sections.many import are_many
from raysim.tables.names import PUBLIC

_SPLITS = {"train": "training", "valid": "validation", "test": "test"}

_FILTERS = (
    ("exact_dedup", "files equal to another but for white space"),
    ("drop_generated", "files that say they are generated"),
    ("max_line_characters", "files with a line of more than {} characters"),
    ("max_mean_line_characters", "files whose lines have more than {} characters on average"),
    ("min_alphanumeric_share", "files of which a share below {} is letters and digits"),
    ("min_characters_per_token", "files with fewer than {} characters a token"),
    ("min_assignments", "files with fewer than {} equals signs"),
    ("min_sentences", "files of fewer than {} sentences"),
    ("config_or_test_drop_probability", "configuration and test files with probability {}"),
    ("no_keyword_drop_probability", "files without def, class, for or while with probability {}"),
)


def data_sentences(results: RunResults) -> list[str]:
    """On corpora, preparation, split, references, and what was planted."""
    run = results.run
    preparation = run.setting("preparation") or {}
    found = [
        _corpora(results),
        _agreed(results),
        _prose(preparation),
        _preparation(preparation),
        _dropped(results),
        _redacted(results),
    ]
    found += [_near(preparation), _across(results), _obfuscated(results, preparation)]
    found += [_split(results, preparation), _references(results), _canaries(run.setting("canaries"))]
    return [sentence for sentence in [*found, _plants(run.setting("plants"))] if sentence]


def _corpora(results: RunResults) -> str:
    if are_many(results):
        return _many_corpora(results)
    corpora = [_corpus(results, name) for name in results.organizations]
    count = f"{number(len(corpora))} organization{'s' * (len(corpora) != 1)}"
    return f"{count} took part: {'; '.join(corpora)}."


def _many_corpora(results: RunResults) -> str:
    """Sums and ranges in place of a clause for each organization."""
    rows, phrases = results.run.table("corpora").to_pylist(), []
    for split, meaning in _SPLITS.items():
        if mine := [row for row in rows if row["split"] == split and row["organization"] != PUBLIC]:
            ranges = [
                f"{number(min(counts))} to {number(max(counts))} {name} each ({number(sum(counts))} in all)"
                for name in ("files", "bytes", "tokens")
                for counts in [[row[name] for row in mine]]
            ]
            phrases.append(f"{meaning} splits of {', '.join(ranges)}")
    told = f", with {'; '.join(phrases)}" if phrases else ""
    return f"{number(len(results.organizations))} organizations took part{told}."


def _corpus(results: RunResults, name: str) -> str:
    rows = {row["split"]: row for row in results.run.table("corpora").to_pylist() if row["organization"] == name}
    settings = results.run.setting("organizations", name) or {}
    parts = [_part(settings["partition"])] if settings.get("partition") else []
    parts += [f"at most {number(settings['limit'])} bytes"] if settings.get("limit") else []
    for split, meaning in _SPLITS.items():
        if row := rows.get(split):
            counts = f"{number(row['files'])} files, {number(row['bytes'])} bytes, {number(row['tokens'])} tokens"
            parts.append(f"{meaning} split: {counts}")
    if settings.get("held_out"):
        parts.append("validated on code held out apart")
    if prints := results.run.manifest.get("content", {}).get("organizations", {}).get(name):
        parts.append(f"content {listed(prints)}")
    return f"{name} ({'; '.join([*_sources(results, settings.get('source')), *parts])})"


def source_words(results: RunResults, name: str) -> list[str]:
    """Where an organization's code comes from, in words; of paths that lead elsewhere the last part."""
    return _sources(results, results.run.setting("organizations", name, "source"))


def _sources(results: RunResults, source: Any) -> list[str]:
    """Where code comes from, in words, with the versions of packages."""
    if source == "stdlib":
        return ["Python's standard library"]
    if not isinstance(source, Mapping):
        return []
    versions = results.run.manifest.get("packages") or {}
    plain = without_paths(source)
    packages = [" ".join(filter(None, (name, versions.get(name)))) for name in plain.get("packages") or ()]
    hub = plain.get("hub") or {}
    words = [
        ("path", f"files of {plain.get('path')}"),
        ("files", f"records of {listed(plain.get('files') or ())}"),
        ("hub", f"the data set {hub.get('name')}, split {hub.get('split')}"),
        ("packages", f"installed Python packages: {listed(packages)}"),
        ("stdlib", "Python's standard library"),
        ("other", shown(plain.get("other") or {})),
    ]
    return [text for name, text in words if plain.get(name)]


def _part(partition: Mapping[str, Any]) -> str:
    """Which part of a source an organization has, and how the source was dealt."""
    by = partition["by"]
    chance = f"seed {shown(partition['seed'])}"
    if skew := by.get("dirichlet"):
        how = f"by {_column(skew['column'])} in shares from Dir({number(skew['alpha'])})"
        how += f"{', balanced' if skew.get('balance') else ''}, {chance}"
    elif column := by.get("column"):
        how = f"by {_column(column)}" + (f", several values a part, {chance}" if partition.get("parts") else "")
    else:
        sizes = by.get("sizes")
        how = f"by chance in {sizes if isinstance(sizes, str) else 'given'} sizes, {chance}"
    if partition.get("copies") == "together":
        how += ", equal files together"
    return f"part {shown(partition['part'])} of its files, dealt {how}"


def _column(column: Mapping[str, Any]) -> str:
    depth = column.get("depth", 1)
    return f"{column['name']} ({depth} deep)" if depth != 1 else str(column["name"])


def _preparation(settings: Mapping[str, Any]) -> str:
    off, alien = PreparationSettings.off().model_dump(mode="json"), not_asked(settings.get("domain", "code"))
    active = {name: value for name, value in settings.items() if value != off.get(name) and name not in alien}
    phrases = described(active, _FILTERS)
    return f"Preparation left out {listed(phrases)}." if phrases else ""


def _prose(settings: Mapping[str, Any]) -> str:
    """What was made of files that are not trained on as they are."""
    if settings.get("domain") != "text":
        return ""
    return (
        "Prose was taken out of the files (docstrings of Python, descriptions of packages, all of other files), and"
        f" each sentence of {MIN_WORDS} words or more that ends in a terminal mark and has no curly brace was given a"
        " line of its own, so that lines are sentences throughout."
    )


def _dropped(results: RunResults) -> str:
    """How many files fell to what."""
    reasons: dict[str, int] = {}
    for row in results.run.table("drops").to_pylist():
        if row["organization"] != PUBLIC:
            reasons[row["reason"]] = reasons.get(row["reason"], 0) + row["files"]
    phrases = [f"{reason}: {number(files)}" for reason, files in sorted(reasons.items()) if files]
    return f"Files left out, over all organizations, by reason: {'; '.join(phrases)}." if phrases else ""


def _agreed(results: RunResults) -> str:
    """Under which licences files were used, where agreements name any."""
    agreements = {name: results.run.setting("organizations", name, "agreement") or {} for name in results.organizations}
    named = [f"{listed(one['train_on'])} of {name}" for name, one in agreements.items() if one.get("train_on")]
    return f"Only files under these licences were used: {'; '.join(named)}." if named else ""


def _redacted(results: RunResults) -> str:
    """How many secrets and personal data were taken out, or were found and stayed."""
    found: dict[str, dict[str, int]] = {}
    for row in results.run.table("redactions").to_pylist():
        kinds = found.setdefault(row["action"], {})
        kinds[row["kind"]] = kinds.get(row["kind"], 0) + row["occurrences"]
    told = {"redact": "were replaced by placeholders", "report": "were counted and left as they are"}
    return " ".join(
        f"Secrets and personal data {told[action]}: {'; '.join(f'{kind}: {number(n)}' for kind, n in kinds.items())}."
        for action, kinds in sorted(found.items())
    )


def _obfuscated(results: RunResults, settings: Mapping[str, Any]) -> str:
    """How training files were written differently, and how many."""
    files: dict[str, int] = {}
    for row in results.run.table("obfuscations").to_pylist():
        if row["outcome"] == "changed":
            files[row["transformation"]] = files.get(row["transformation"], 0) + row["files"]
    if not files:
        return ""
    what = {
        "rename": "local variables renamed",
        "reorder": "imports and independent assignments reordered",
        "comments": "comments left out",
        "reformat": "layout changed",
    }
    told = "; ".join(f"{what[name]}: {number(count)}" for name, count in sorted(files.items()))
    copies = (settings.get("obfuscate") or {}).get("copies") or 1
    variants = f", in up to {number(copies)} variants of each" if copies > 1 else ""
    return (
        f"Training files were obfuscated{variants} ({told}); generated lines are compared with the originals as well."
    )


def _near(settings: Mapping[str, Any]) -> str:
    if not settings.get("near_dedup"):
        return ""
    return (
        f"Of files whose words have a Jaccard index of {shown(settings.get('near_dedup_jaccard'))} or more (MinHash, "
        f"{shown(settings.get('near_dedup_permutations'))} permutations), one was kept."
    )


def _across(results: RunResults) -> str:
    found = results.run.setting("deduplication") or {}
    known = {"first_owner": "only the first organization kept it", "drop_all": "nobody kept it"}
    kept = known.get(str(found.get("across")))
    alike = "nearly equal" if found.get("match") == "near" else "equal"
    return f"Of a file that several organizations hold ({alike} files), {kept}." if kept else ""


def _split(results: RunResults, preparation: Mapping[str, Any]) -> str:
    shares = {name: share for name, share in (preparation.get("split") or {}).items() if share and name in _SPLITS}
    if not shares:
        return ""
    parts = listed(f"{number(share)} for {_SPLITS[name]}" for name, share in shares.items())
    by = "Repositories" if preparation.get("split_by") == "repository" else "Files"
    return f"{by} were split by hash (seed {shown(results.run.setting('split_seed'))}), in shares of {parts}."


def _references(results: RunResults) -> str:
    found = [text for source in results.run.setting("references") or () for text in _sources(results, source)]
    return f"Lines that also occur in {listed(found)} counted as public." if found else ""


def _canaries(settings: Mapping[str, Any] | None) -> str:
    if not settings:
        return ""
    return (
        f"In {_hosts(settings)}, {shown(settings.get('count'))} canaries were planted for each number of"
        f" repeats ({shown(settings.get('repeats'))}), with secrets of {shown(settings.get('length'))} characters."
    )


def _plants(settings: Mapping[str, Any] | None) -> str:
    if not settings:
        return ""
    doses = listed(f"{repeats} ({count})" for repeats, count in (settings.get("functions") or {}).items())
    return (
        f"Functions written by chance were planted in {_hosts(settings)} (variant {shown(settings.get('variant'))}),"
        f" by number of repeats and, in brackets, how many: {doses}."
    )


def _hosts(settings: Mapping[str, Any]) -> str:
    named = settings.get("organizations")
    return f"the training split of {listed(named)}" if named else "each organization's training split"
