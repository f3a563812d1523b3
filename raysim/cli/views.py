"""What `raysim plan`, `inspect`, `verify` and `store` print for people."""

from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from raysim.cli.console import size_text as _bytes
from raysim.cli.overlap_views import overlap_views
from raysim.experiment.estimate.duration import PHASES
from raysim.measures.registry import work_kinds


def plan_view(planned: Mapping[str, Any]) -> RenderableType:
    """The stages of each setting, and what the rest costs; for a sweep, over all its points."""
    if "points" in planned:
        return _sweep_plan_view(planned)
    table = Table(title=f"Plan of {planned['name']}", title_justify="left")
    for column in ("setting", "if every order ran alone", "stages", "in the store", "to compute"):
        table.add_column(column, justify="left" if column == "setting" else "right")
    for label, row in planned["strategies"].items():
        table.add_row(label, *_stages(row))
    lines = [
        f"{planned['parameters']:,} parameters; {planned['models']} models will exist.",
        _to_come(planned["tokens"]),
        _time_line(planned),
        f"The store will hold about {_bytes(planned['peak_bytes'])} at most,"
        f" {_bytes(planned['bytes'])} in the end (store.keep: {planned['keep']}).",
        *_memory_lines(planned["memory"]),
        *_participation_lines(planned.get("participation", {})),
        "Settings share stages that begin alike, so their sum may be more than what is computed.",
        *_detectable_lines(planned.get("detectable", [])),
        *(f"Warning: {warning}." for warning in planned["warnings"]),
    ]
    return Group(table, Text("\n".join(lines)))


def _detectable_lines(found: Sequence[Mapping[str, Any]]) -> list[str]:
    """The smallest effects that these seeds and files could tell from none, over the margin of each finding."""
    told = [f"{row['finding']} {row['effect']:.2g} (margin {row['margin']:g})" for row in found if row["effect"]]
    reasons = {row["why"]: [r["finding"] for r in found if r["why"] == row["why"]] for row in found if row["why"]}
    seen = "as much as in the run that is there" if any(row["seen"] for row in found) else "as docs/methods.md assumes"
    lines = [f"Detectable effects, at 80 % power, if contrasts vary {seen}: {', '.join(told)}."] if told else []
    return lines + [f"No verdict on {', '.join(names)}: {why}." for why, names in reasons.items()]


def _participation_lines(found: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Of each setting with organizations that may be missing, who will take part; all of it is drawn already."""
    return [
        f"Participation ({label}): {one['took_part']} of {one['asked']} times that an organization is asked to train"
        f" ({one['dropped_out']} drop out, {one['late']} late, {one['begun_again']} rounds begun again),"
        f" {_seconds(one['seconds'])} of simulated time a run."
        for label, one in found.items()
    ]


def _time_line(planned: Mapping[str, Any]) -> str:
    """How long it takes, by phase, and what that rests on."""
    phases = ", ".join(f"{_seconds(planned['seconds'][name])} {what}" for name, what in PHASES.items())
    runs = planned["runs_in_log"]
    basis = f"corrected by {runs} earlier run(s) on this machine" if runs else "no run on this machine is known yet"
    return f"About {_seconds(3600 * planned['hours'])}: {phases}, on {planned['slots']} slot(s); {basis}."


def _sweep_plan_view(planned: Mapping[str, Any]) -> RenderableType:
    """The stages of all points together by setting, and what each point adds to those before it."""
    title = f"Plan of {planned['name']}: a sweep of {len(planned['points'])} points"
    table = Table(title=title, title_justify="left")
    for column in ("setting", "if every order of every point ran alone", "stages", "in the store", "to compute"):
        table.add_column(column, justify="left" if column == "setting" else "right")
    for label, row in planned["strategies"].items():
        table.add_row(Text(label), *_stages(row))
    table.add_section()
    table.add_row("all, shared ones once", *_stages(planned["stages"]))
    points = Table(title="Points, in their order", title_justify="left")
    for column in ("point", "stages", "not in a point before", "tokens to train on", "time"):
        points.add_column(column, justify="left" if column == "point" else "right")
    for point in planned["points"]:
        counts = str(point["unique"]), str(point["new"]), f"{point['tokens']['train']:,}"
        points.add_row(Text(point["point"]), *counts, _seconds(3600 * point["hours"]))
    lines = [
        f"{planned['models']} models will exist.",
        _to_come(planned["tokens"]),
        f"About {_seconds(3600 * planned['hours'])} for all; the store will hold about"
        f" {_bytes(planned['peak_bytes'])} at most, {_bytes(planned['bytes'])} in the end.",
    ]
    for point in planned["points"]:
        lines += [f"{point['point']}: {line}" for line in (*point["memory"]["warnings"], *point["warnings"])]
    return Group(table, points, Text("\n".join(lines)))


def _memory_lines(memory: Mapping[str, Any]) -> list[str]:
    """A line for each kind of work, and one for each that does not fit."""
    if "unknown" in memory:
        return [f"Memory cannot be told beforehand of this model ({memory['unknown']})."]
    training = memory["training"]
    step = training["step"]
    activations = step["working"] + step["buckets"]
    parts = (
        f"weights {_bytes(step['weights'])}, optimizer {_bytes(step['optimizer'])}, gradients and activations"
        f" {_bytes(activations)}"
    )
    lines = [
        f"Memory to train: about {_bytes(training['process_bytes'])} a process ({parts}),"
        f" {_bytes(training['at_once_bytes'])} at once; there are {_bytes(memory['memory_bytes'])}."
    ]
    if "device_bytes" in training:
        there = memory["device_memory_bytes"]
        lines[0] = (
            f"Memory to train: about {_bytes(training['device_at_once_bytes'])} of a GPU ({parts})"
            f"{f', of its {_bytes(there)}' if there else '; there is none here to compare'};"
            f" {_bytes(training['process_bytes'])} of the machine's a process,"
            f" {_bytes(training['at_once_bytes'])} at once; there are {_bytes(memory['memory_bytes'])}."
        )
    for section, needs in memory["generation"].items():
        lines.append(
            f"Memory to generate ({section}): about {_bytes(needs['process_bytes'])} a worker,"
            f" {_bytes(needs['at_once_bytes'])} at once."
        )
    return lines + [f"Warning: {warning}" for warning in memory["warnings"]]


def _stages(row: Mapping[str, int]) -> tuple[str, ...]:
    """Cells of one row of stages: alone, shared, in the store, to compute."""
    return tuple(str(n) for n in (row["naive"], row["unique"], row["cached"], row["unique"] - row["cached"]))


def settings_view(settings: Sequence[Mapping[str, str]]) -> RenderableType:
    """A row a setting."""
    table = Table()
    for column in ("setting", "type", "default", "meaning"):
        table.add_column(column, overflow="fold", ratio=3 if column == "meaning" else 2)
    for setting in settings:
        table.add_row(*(Text(setting[name]) for name in ("setting", "type", "default", "meaning")))
    return table


def tables_view(tables: Sequence[Mapping[str, str | int]]) -> RenderableType:
    """A row a table of a run."""
    view = Table()
    for column, justify in (("table", "left"), ("rows", "right"), ("meaning", "left")):
        view.add_column(column, justify=justify, overflow="fold")  # type: ignore[arg-type]
    for table in tables:
        view.add_row(str(table["table"]), f"{table['rows']:,}", Text(str(table["meaning"])))
    return view


def comparison_view(rows: Sequence[Mapping[str, Any]]) -> RenderableType:
    """A row a setting or contrast, by run."""
    table = Table()
    for column in ("run", "what", "setting", "difference", "95 %", "unit", "seeds", "note"):
        right = column in ("difference", "95 %", "seeds")
        table.add_column(column, justify="right" if right else "left", overflow="fold")
    for row in rows:
        known = row["low"] is not None
        table.add_row(
            row["run"],
            f"{row['finding']} {row['what']}".strip(),
            row["setting"],
            "–" if row["difference"] is None else f"{row['difference']:+.4f}",
            f"{row['low']:+.4f} to {row['high']:+.4f}" if known else "none",
            row["unit"],
            str(row["seeds"]),
            Text(row["note"]),
        )
    return table


def _to_come(tokens: Mapping[str, int]) -> str:
    """Tokens by what is done to them."""
    by_verb: dict[str, int] = {}
    for kind, count in tokens.items():
        verb = work_kinds()[kind].verb
        by_verb[verb] = by_verb.get(verb, 0) + count
    parts = [f"{count:,} to {verb}" for verb, count in by_verb.items() if count or verb in ("train on", "score")]
    return f"Tokens still to come, at most: {', '.join(parts)}."


def inspect_view(inspected: Mapping[str, Any]) -> RenderableType:
    """Corpora, duplicates, diversity, drops, licences, and what organizations share."""
    sizes = Table(title="Corpora after preparation", title_justify="left")
    for column in ("organization", "split", "files", "bytes", "lines", "tokens", "sequences", "duplicate lines"):
        sizes.add_column(column, justify="left" if column in ("organization", "split") else "right")
    variety = Table(title="Diversity of the training lines", title_justify="left")
    for column in ("organization", "lines", "distinct", "entropy in bits", "diversity"):
        variety.add_column(column, justify="left" if column == "organization" else "right")
    drops = Table(title="Left out", title_justify="left")
    for column in ("organization", "reason", "files", "bytes"):
        drops.add_column(column, justify="right" if column in ("files", "bytes") else "left")
    licences = Table(title="Licences of the training files", title_justify="left")
    for column in ("organization", "licence", "files"):
        licences.add_column(column, justify="right" if column == "files" else "left")
    redactions = Table(title="Secrets and personal data", title_justify="left")
    for column in ("organization", "found", "files", "occurrences", "action"):
        redactions.add_column(column, justify="right" if column in ("files", "occurrences") else "left")
    for name, one in inspected["organizations"].items():
        for row in one["redactions"]:
            counts = f"{row['files']:,}", f"{row['occurrences']:,}"
            redactions.add_row(Text(name), Text(f"{row['category']}: {row['kind']}"), *counts, row["action"])
        for split, counts in one["splits"].items():
            lines = counts["lines"]
            twice = one["duplicate_lines"]
            share = f"{twice:,} ({twice / lines:.1%})" if split == "train" and lines else ""
            numbers = [f"{counts[key]:,}" for key in ("files", "bytes", "lines", "tokens", "sequences")]
            sizes.add_row(Text(name), split, *numbers, share)
        distinct = sum(lines for _, lines in one["line_spectrum"])
        numbers = [f"{one['splits']['train']['lines']:,}", f"{distinct:,}"]
        variety.add_row(Text(name), *numbers, f"{one['line_entropy_bits']:.2f}", f"{one['diversity']:.3f}")
        for drop in one["drops"]:
            drops.add_row(Text(name), Text(drop["reason"]), f"{drop['files']:,}", f"{drop['bytes']:,}")
        for licence, files in sorted(one["licences"].items()):
            licences.add_row(Text(name), Text(licence), f"{files:,}")
    for drop in inspected.get("references", {}).get("drops", ()):
        drops.add_row("(references)", Text(drop["reason"]), f"{drop['files']:,}", f"{drop['bytes']:,}")
    note = (
        f"Diversity is the share of distinct lines to expect among {inspected['diversity_lines']:,} lines, as many as"
        " the smallest organization has; entropy grows with the size of a corpus."
    )
    swept = ", ".join(f"{path} ({len(values)} values)" for path, values in inspected["sweep"].items())
    notes = [Text(f"These are the base values. The sweep over {swept} may change them from point to point.")]
    notes = [*(Text(f"Warning: {warning}.") for warning in inspected["warnings"]), *(notes if swept else [])]
    found = [table for table in (redactions, _obfuscations(inspected["organizations"])) if table.row_count]
    return Group(sizes, variety, Text(note), drops, licences, *found, *overlap_views(inspected), *notes)


def _obfuscations(organizations: Mapping[str, Any]) -> Table:
    """What became of training files that were to be written differently."""
    table = Table(title="Training files written differently", title_justify="left")
    for column in ("organization", "transformation", "outcome", "files", "changes"):
        table.add_column(column, justify="right" if column in ("files", "changes") else "left")
    for name, one in organizations.items():
        for row in one.get("obfuscations", ()):
            counts = f"{row['files']:,}", f"{row['changes']:,}"
            table.add_row(Text(name), Text(row["transformation"]), Text(row["outcome"]), *counts)
    return table


def verification_view(entries: int, made: Mapping[str, int]) -> RenderableType:
    """What was verified, when nothing was found."""
    work = ", ".join(f"{count} {kind}" for kind, count in sorted(made.items()))
    return Text(f"{entries:,} entries hashed, all as they were written. Made once more, to the same bits: {work}.")


def store_view(usage: Mapping[str, Any]) -> RenderableType:
    """Entries and bytes by kind of work and by run."""
    kinds = Table(title=f"Store {usage['store']}", title_justify="left")
    for column in ("work", "entries", "bytes", "arrays evicted"):
        kinds.add_column(column, justify="left" if column == "work" else "right")
    for kind, row in sorted(usage["kinds"].items()):
        kinds.add_row(kind, f"{row['entries']:,}", _bytes(row["bytes"]), f"{row['arrays let go']:,}")
    kinds.add_section()
    kinds.add_row("all", f"{usage['entries']:,}", _bytes(usage["bytes"]), "")
    runs = Table(title="Who needs it", title_justify="left")
    for column in ("run", "entries", "bytes", "needed by no other", "bytes"):
        runs.add_column(column, justify="left" if column == "run" else "right")
    for row in usage["runs"]:
        alone = row["alone"]
        sizes = [f"{row['entries']:,}", _bytes(row["bytes"]), f"{alone['entries']:,}", _bytes(alone["bytes"])]
        runs.add_row(Text(row["run"]), *sizes)
    nobody = usage["no run"]
    runs.add_row("no run", f"{nobody['entries']:,}", _bytes(nobody["bytes"]), "", "")
    parts: list[RenderableType] = [kinds, runs]
    if usage["damaged"]:
        parts.append(
            Text(f"Damaged and in no count: {usage['damaged']:,} entries; gc removes them, a run makes them again.")
        )
    return Group(*parts)


def garbage_view(garbage: Mapping[str, Any]) -> RenderableType:
    """What was removed, or would be."""
    return Text(
        f"{garbage['store']}: {_bytes(garbage['bytes'])} in {garbage['removed']:,} entries that no run refers to,"
        f" the arrays of {garbage['arrays let go']:,} entries that no run counts on, and"
        f" {garbage['checkpoints and damaged entries']:,} left-over checkpoints and damaged entries;"
        f" {garbage['kept']:,} entries stay."
    )


def _seconds(seconds: float) -> str:
    hours = seconds / 3600
    if seconds < 90:
        return f"{seconds:.0f} s"
    if hours < 1.5:
        return f"{hours * 60:.0f} minutes"
    return f"{hours:,.1f} hours" if hours < 72 else f"{hours / 24:,.0f} days"
