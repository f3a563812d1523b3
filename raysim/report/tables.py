"""The tables of a run folder: their schemas, which are the data dictionary, and how they are written, read and hashed.

Tables hold no times, hosts or absolute paths, so equal work gives equal tables, and `table_hash` says so.
"""

import hashlib
import json
import os
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from raysim.errors import DamagedEntry, InputError
from raysim.report.columns import COUNT, FLAG, REAL, SMALL, TEXT, TableSpec
from raysim.report.columns import table_spec as _table
from raysim.report.extraction_table import EXTRACTION

PUBLIC = "(public)"
"""Stands where an organization would, for the references: what also stands there is public, not owned."""

_SAMPLE_KEY: list[tuple[str, pa.DataType, str]] = [
    ("model", TEXT, "key of the model that generated"),
    ("prompt", TEXT, "key of the prompt"),
    ("sample", SMALL, "number of the sample, from 0; it seeds the sampling, so every model draws with the same seed"),
]

TABLES: dict[str, TableSpec] = {
    spec.name: spec
    for spec in (
        _table(
            "models",
            "A model that a setting passed through. Settings share stages, so one model may stand in several rows.",
            "seed strategy order moment index",
            [
                ("seed", COUNT, "seed of the training run; the split has a seed of its own"),
                ("strategy", TEXT, "label of the setting in the experiment, for example incremental or fedyogi"),
                ("order", TEXT, "organizations: 'a > b' one after the other, 'a + b' together, 'a' alone"),
                ("moment", TEXT, "initial, stage, round or epoch: what had just ended when the model was taken"),
                ("index", SMALL, "number of that stage, round or epoch, from 1; 0 for initial"),
                ("final", FLAG, "whether the setting ends with this model"),
                ("model", TEXT, "key of the model: a hash of everything that made it"),
                ("parents", pa.list_(TEXT), "keys of the models that it was made from"),
                ("organizations", pa.list_(TEXT), "whose data it has seen, directly or through others' weights"),
                ("last", TEXT, "the organization trained last; empty where several were at once"),
                ("tokens_seen", pa.map_(TEXT, COUNT), "training tokens of each organization, repeats counted"),
                ("steps", COUNT, "optimizer steps on the way to this model, summed over its organizations"),
                ("learning_rate_sum", REAL, "sum of the learning rate over those steps"),
                ("dropout", REAL, "dropout probability in force during training"),
                ("parameters", COUNT, "number of trainable parameters"),
            ],
        ),
        _table(
            "prompts",
            "A prompt. All models of a run are given the same prompts.",
            "prompt",
            [
                ("prompt", TEXT, "key of the prompt"),
                ("kind", TEXT, "function (signature and docstring), prefix (of a training sequence) or held_out"),
                ("organization", TEXT, "whose file it was taken from"),
                ("file", TEXT, "path of that file within its organization"),
                ("repository", TEXT, "repository or package of that file"),
                ("licence", TEXT, "licence that the source states; null where it states none"),
                ("lines_to_come", SMALL, "significant lines that follow the prompt in its file"),
                ("eligible", FLAG, "trained on, and at least min_lines significant lines to come"),
                (
                    "copies_within",
                    SMALL,
                    "other places in its organization's training split with its true continuation; null: too short",
                ),
                ("copies_across", SMALL, "places in other organizations' training splits with it"),
                ("copies_public", SMALL, "places in the references with it"),
            ],
        ),
        _table(
            "generations",
            "A sample as generated.",
            "model prompt sample",
            [
                *_SAMPLE_KEY,
                ("new_tokens", SMALL, "tokens generated"),
                ("lines", SMALL, "significant lines generated"),
                ("parses", FLAG, "whether prompt and continuation parse as Python; null where that was not asked"),
                ("ended", TEXT, "why it ended: stop, length or end of text"),
            ],
        ),
        _table(
            "samples",
            "A sample against one owner's training split; rows of zeros are kept.",
            "model prompt sample owner",
            [
                *_SAMPLE_KEY,
                ("owner", TEXT, "the organization whose training split it is compared with"),
                ("lines", SMALL, "significant lines generated"),
                ("covered", SMALL, "of these, lines in a window of min_lines lines equal to the owner's"),
                ("exclusive", SMALL, "covered lines that no other organization and no reference covers"),
                ("shared", SMALL, "covered lines that another organization covers too, and no reference"),
                ("public", SMALL, "covered lines that a reference covers too"),
            ],
        ),
        _table(
            "matches",
            "A maximal run of generated lines that equal an owner's.",
            "model prompt sample owner start lines",
            [
                *_SAMPLE_KEY,
                ("owner", TEXT, "the organization that owns the lines"),
                ("start", SMALL, "first line of the match in the continuation, from 1"),
                ("lines", SMALL, "significant lines matched"),
                ("fragment", TEXT, "hash of the matched lines, each stripped"),
                ("text", TEXT, "the matched lines as the model generated them"),
                ("file", TEXT, "first place of the lines in the owner's training split: the file"),
                ("line", SMALL, "first place of the lines: the line, from 1"),
                ("places", SMALL, "how many places in the owner's training split hold the lines"),
            ],
        ),
        _table(
            "losses",
            "A model's loss on one validation file.",
            "model organization file",
            [
                ("model", TEXT, "key of the model"),
                ("organization", TEXT, "whose validation split the file belongs to"),
                ("file", TEXT, "path of the file within its organization"),
                ("nats", REAL, "negative log-likelihood of the file's tokens, summed, in nats"),
                ("tokens", COUNT, "tokens predicted"),
                ("correct", COUNT, "tokens whose most probable prediction was right"),
                ("bytes", COUNT, "bytes of the text predicted"),
            ],
        ),
        EXTRACTION,
        _table(
            "canaries",
            "How well a model knows a canary of an organization; one that never stood there shows what chance does.",
            "model organization canary",
            [
                ("model", TEXT, "key of the model"),
                ("organization", TEXT, "in whose training split the canary was planted"),
                ("canary", TEXT, "names it: 4x0 is the first of those that stand there four times"),
                ("repeats", SMALL, "how often it stands in that split"),
                ("log_perplexity", REAL, "negative log-probability of the whole line behind a BOS, in bits"),
                ("rank", COUNT, "candidates of no higher log-perplexity, itself included"),
                ("candidates", COUNT, "secrets that it is ranked among, its own included"),
                ("enumerated", FLAG, "whether these are all secrets that there are, or a sample"),
                ("exposure", REAL, "log2(candidates) - log2(rank), in bits; about 1.4 on average by chance"),
                (
                    "exposure_extrapolated",
                    REAL,
                    "an estimate beyond a sample's size, by a skew-normal distribution; null where enumerated",
                ),
                ("fit_p", REAL, "Kolmogorov-Smirnov p of that distribution; below 0.1 do not trust the estimate"),
            ],
        ),
        _table(
            "membership",
            "What a model scores of a file, or of a chunk of one, that it may have been trained on.",
            "model organization file chunk member",
            [
                ("model", TEXT, "key of the model"),
                ("organization", TEXT, "whose file it is"),
                ("file", TEXT, "path of the file within its organization"),
                ("chunk", SMALL, "number of the chunk in the file, from 0; 0 for a whole file"),
                ("member", FLAG, "whether it is in the organization's training split; else in its validation split"),
                ("tokens", COUNT, "tokens predicted"),
                ("loss", REAL, "mean negative log-likelihood of a token, in nats; lower for members"),
                ("min_k", REAL, "mean log-probability of the least likely tokens; higher for members"),
                ("min_k_plus_plus", REAL, "the same of log-probabilities normalised over the vocabulary"),
                ("zlib", REAL, "nats over bits of the compressed text; lower for members"),
            ],
        ),
        _table(
            "blind",
            "A guess from its words alone, without any model, whether a file or chunk is a member; cross-validated.",
            "organization file chunk member",
            [
                ("organization", TEXT, "whose file it is"),
                ("file", TEXT, "path of the file within its organization"),
                ("chunk", SMALL, "number of the chunk in the file, as in membership"),
                ("member", FLAG, "whether it is in the organization's training split"),
                ("fold", SMALL, "which part the classifier had not seen; scores compare within a fold alone"),
                ("score", REAL, "higher for what the classifier takes for a member"),
            ],
        ),
        _table(
            "clones",
            "How much of one training split stands in another, before any training.",
            "organization other",
            [
                ("organization", TEXT, "whose lines are counted"),
                ("other", TEXT, f"where they are looked for; itself: duplicates within; {PUBLIC}: the references"),
                ("lines", COUNT, "significant lines of the organization's training split"),
                ("covered", COUNT, "of these, lines that the other holds in windows of min_lines lines"),
                ("share", REAL, "covered / lines"),
                ("fragments", COUNT, "distinct maximal fragments in common"),
            ],
        ),
        _table(
            "corpora",
            "The size of one organization's split after preparation.",
            "organization split",
            [
                ("organization", TEXT, "whose data"),
                ("split", TEXT, "train or valid"),
                ("files", COUNT, "files"),
                ("bytes", COUNT, "bytes of text"),
                ("lines", COUNT, "significant lines"),
                ("tokens", COUNT, "tokens under the run's tokenizer"),
                ("sequences", COUNT, "packed training sequences; 0 for valid"),
            ],
        ),
        _table(
            "drops",
            "What preparation left out, and why.",
            "organization reason",
            [
                ("organization", TEXT, "whose data"),
                ("reason", TEXT, "why the files were left out"),
                ("files", COUNT, "files left out for this reason"),
                ("bytes", COUNT, "bytes left out for this reason"),
            ],
        ),
        _table(
            "contrasts",
            "A difference between settings under one seed, with its bootstrap interval within that seed.",
            "finding contrast seed",
            [
                ("finding", TEXT, "F1 to F7"),
                ("contrast", TEXT, "what is compared"),
                ("seed", COUNT, "seed of the training run"),
                ("value", REAL, "the difference"),
                ("unit", TEXT, "its unit"),
                ("low", REAL, "lower end of the 95 % bootstrap interval over repositories or files"),
                ("high", REAL, "upper end of it"),
                ("n", COUNT, "prompts or files that enter"),
                ("note", TEXT, "budgets compared, and what the contrast cannot show"),
            ],
        ),
        _table(
            "findings",
            "The verdict on one finding of the study.",
            "finding",
            [
                ("finding", TEXT, "F1 to F7"),
                ("statement", TEXT, "the finding as stated by the study"),
                ("verdict", TEXT, "supported, contradicted, inconclusive, indicated (n seeds) or not measured"),
                ("contrast", TEXT, "the primary contrast that the verdict rests on"),
                ("value", REAL, "its mean over seeds; null where not measured"),
                ("low", REAL, "lower end of its 95 % interval"),
                ("high", REAL, "upper end of it"),
                ("unit", TEXT, "unit of the three"),
                ("seeds", SMALL, "seeds that entered"),
                ("note", TEXT, "what to know before quoting it; for 'not measured' the YAML line to add"),
            ],
        ),
        _table(
            "orders",
            "What an order of incremental training ended with; only orders over all organizations of the run.",
            "seed strategy order",
            [
                ("seed", COUNT, "seed of the training run"),
                ("strategy", TEXT, "label of the incremental setting"),
                ("order", TEXT, "organizations, 'a > b': first a, then b"),
                ("model", TEXT, "key of its final model"),
                ("bits_per_byte", REAL, "loss on the joint validation split; null where not measured"),
                ("exclusive", REAL, "exclusive covered lines a prompt; null where not measured"),
                ("covered_eligible", pa.map_(TEXT, REAL), "covered lines of each owner per eligible prompt"),
                ("leakage_weight", REAL, "bits per byte that one exclusive line a prompt is worth, as stated"),
                ("score", REAL, "bits_per_byte + leakage_weight * exclusive; lower is better"),
                ("rank", SMALL, "place by score among the orders of the same seed and setting, from 1; ties share it"),
                ("pareto", FLAG, "whether no order beats it in both bits_per_byte and exclusive, averaged over seeds"),
            ],
        ),
        _table(
            "order_effects",
            "What the order does to one measure of the final incremental models: within a seed, then averaged.",
            "strategy measure owner method term",
            [
                ("strategy", TEXT, "label of the incremental setting"),
                ("measure", TEXT, "bits_per_byte, exclusive or covered_eligible, as in orders"),
                ("owner", TEXT, "whose lines covered_eligible counts; empty for the other measures"),
                (
                    "method",
                    TEXT,
                    "position, predecessor: mean of the orders with the term minus mean of all; precedence: mean with "
                    "it minus mean without; pairwise: regression coefficient; shapley: mean change by the stage",
                ),
                ("term", TEXT, "'a at 2', 'a right before b', 'a before b', or the organization"),
                ("organization", TEXT, "the organization a of the term"),
                ("other", TEXT, "the organization b of the term; empty where there is none"),
                ("position", SMALL, "the position of the term, from 1; null where there is none"),
                ("estimate", REAL, "the effect, averaged over seeds"),
                ("low", REAL, "lower end of Student's 95 % interval over seeds; null with one seed"),
                ("high", REAL, "upper end of it"),
                ("unit", TEXT, "unit of the three"),
                ("seeds", SMALL, "seeds that enter"),
                ("n", COUNT, "orders that enter, summed over seeds; those with the term, for position and predecessor"),
                (
                    "r_squared",
                    REAL,
                    "share of the variance over orders explained within a seed: by where a stands, by what follows a, "
                    "by a before b, by the whole regression; null for shapley, without variance or without residual",
                ),
            ],
        ),
        _table(
            "attacks",
            "How well a score tells an organization's members from its non-members, beside a guess without a model.",
            "model organization score",
            [
                ("model", TEXT, "key of the model"),
                ("organization", TEXT, "whose members are told apart"),
                ("score", TEXT, "loss, min_k, min_k_plus_plus or zlib, as in membership"),
                ("members", COUNT, "files or chunks of the training split"),
                ("non_members", COUNT, "files or chunks of the validation split"),
                ("files", COUNT, "files that they are from; the intervals take files for independent, not chunks"),
                ("auc", REAL, "chance that a member scores above a non-member; 0.5 is guessing"),
                ("low", REAL, "lower end of its 95 % interval; null where all are told apart, or too few files"),
                ("high", REAL, "upper end of it"),
                ("tpr_at_1_fpr", REAL, "share of members found while at most 1 % of the non-members are taken for one"),
                ("blind_auc", REAL, "AUC of the guess without a model; null where there are too few files for one"),
                ("blind_low", REAL, "lower end of its 95 % interval"),
                ("blind_high", REAL, "upper end of it"),
                ("blind_tpr_at_1_fpr", REAL, "as tpr_at_1_fpr, of the guess without a model, within its folds"),
                ("gain", REAL, "auc - blind_auc"),
                ("gain_low", REAL, "lower end of its 95 % interval, paired by file"),
                ("gain_high", REAL, "upper end of it"),
                (
                    "verdict",
                    TEXT,
                    "shows membership: auc above 0.5 and gain above 0 by their intervals; else shows nothing, or no "
                    "baseline",
                ),
            ],
        ),
        _table(
            "sweep",
            "A final model of one point of a sweep; in the folder of the sweep alone.",
            "point seed strategy order",
            [
                ("point", TEXT, "name of the point, which is its folder below points/"),
                ("parameters", pa.map_(TEXT, TEXT), "for each swept path of the experiment its value there, as JSON"),
                ("seed", COUNT, "seed of the training run"),
                ("strategy", TEXT, "label of the setting in the experiment"),
                ("order", TEXT, "organizations: 'a > b' one after the other, 'a + b' together, 'a' alone"),
                ("model", TEXT, "key of the model; the same in points that share it"),
                ("tokens_seen", COUNT, "training tokens of all organizations, repeats counted"),
                ("steps", COUNT, "optimizer steps on the way to this model, summed over its organizations"),
                ("bits_per_byte", REAL, "loss on the joint validation split, per byte of text; null: not measured"),
                ("perplexity", REAL, "exponential of the mean loss of a token of that split"),
                ("accuracy", REAL, "share of that split's tokens that the model ranks first"),
                ("exclusive", REAL, "covered lines that one organization alone owns, a prompt"),
                ("ratio_eligible", REAL, "covered lines of any owner, an eligible prompt"),
                ("matched_share", REAL, "share of samples with at least one covered line"),
            ],
        ),
        _table(
            "ledger",
            "A crossing of an organization's boundary.",
            "work sender receiver kind",
            [
                ("sender", TEXT, "who sent"),
                ("receiver", TEXT, "who received"),
                ("kind", TEXT, "what was sent, for example weights, counts, code"),
                ("bytes", COUNT, "bytes sent"),
                ("sha256", TEXT, "hash of the content"),
                ("work", TEXT, "key of the work that it was sent for"),
            ],
            folder="",
        ),
    )
}


def schema(name: str) -> pa.Schema:
    """The Arrow schema of the table called `name`.

    Raises:
        InputError: there is no such table.
    """
    return _spec(name).schema


def table_path(folder: Path, name: str) -> Path:
    """Where the table called `name` lies in the run folder `folder`."""
    return folder / _spec(name).folder / f"{name}.parquet"


def write_table(folder: Path, name: str, table: pa.Table) -> Path:
    """Writes `table` into the run folder `folder`, cast to its schema and sorted, all at once or not at all.

    Rows are sorted by the key columns and then by all others, so equal content gives equal files.

    Raises:
        InputError: there is no such table, or `table` lacks a column, has one too many or one of another type.
    """
    spec = _spec(name)
    path = table_path(folder, name)
    path.parent.mkdir(parents=True, exist_ok=True)
    canonical = _sorted(_cast(spec, table, str(path)), spec.key)
    unfinished = path.with_suffix(".unfinished")
    pq.write_table(canonical, unfinished, compression="zstd", store_schema=True)
    os.replace(unfinished, path)
    return path


def read_table(folder: Path, name: str) -> pa.Table:
    """The table called `name` of the run folder `folder`; one that was never written is empty.

    Raises:
        InputError: there is no such table, or its columns are not those of this version.
        DamagedEntry: the file is no Parquet file.
    """
    spec = _spec(name)
    path = table_path(folder, name)
    if not path.exists():
        return spec.schema.empty_table()
    try:
        table = pq.ParquetFile(path).read()
    except (OSError, pa.ArrowInvalid) as error:
        raise DamagedEntry(f"{path}: not a readable Parquet file ({error}); delete it and run again") from None
    return _cast(spec, table, str(path))


def table_hash(table: pa.Table) -> str:
    """SHA-256 of the rows of `table`, whatever their order and chunking. Columns count by name, type and order."""
    digest = hashlib.sha256(str([(field.name, str(field.type)) for field in table.schema]).encode())
    digest.update(table.num_rows.to_bytes(8, "big"))
    flat = pa.table({field.name: _flat(table.column(field.name)) for field in table.schema})
    for column in _sorted(flat, ()).columns:
        array = column.combine_chunks()
        digest.update(np.packbits(array.is_valid().to_numpy(zero_copy_only=False)).tobytes())
        if pa.types.is_string(array.type):
            digest.update(pc.binary_length(array).fill_null(0).to_numpy(zero_copy_only=False).tobytes())  # type: ignore[attr-defined]
            digest.update("".join(array.fill_null("").to_pylist()).encode())
        elif pa.types.is_boolean(array.type):
            digest.update(array.fill_null(False).to_numpy(zero_copy_only=False).tobytes())
        else:
            # Adding zero makes -0.0 the 0.0 that it equals, and changes nothing else.
            digest.update((array.fill_null(0).to_numpy(zero_copy_only=False) + 0).tobytes())
    return digest.hexdigest()


def data_dictionary() -> str:
    """Every table and column as Markdown."""
    parts: list[str] = []
    for spec in TABLES.values():
        parts += [f"## {spec.name}", "", spec.description, "", "| column | type | meaning |", "|---|---|---|"]
        parts += [f"| {column.name} | {column.type} | {column.description} |" for column in spec.columns]
        parts.append("")
    return "\n".join(parts)


def _spec(name: str) -> TableSpec:
    if name not in TABLES:
        raise InputError(f"{name!r} is no table of a run; there are: {', '.join(TABLES)}")
    return TABLES[name]


def _cast(spec: TableSpec, table: pa.Table, origin: str) -> pa.Table:
    wanted = [column.name for column in spec.columns]
    missing = [name for name in wanted if name not in table.column_names]
    extra = [name for name in table.column_names if name not in wanted]
    if missing or extra:
        found = [f"lacks {', '.join(missing)}"] * bool(missing) + [f"has unknown {', '.join(extra)}"] * bool(extra)
        raise InputError(f"{origin}: table {spec.name} {' and '.join(found)}; its columns are {', '.join(wanted)}")
    try:
        return table.select(wanted).cast(spec.schema)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        raise InputError(f"{origin}: table {spec.name} has a column of another type: {error}") from None


def _sorted(table: pa.Table, key: tuple[str, ...]) -> pa.Table:
    others = [f.name for f in table.schema if f.name not in key and not pa.types.is_nested(f.type)]
    names = [*key, *others]
    if not names or not table.num_rows:
        return table.combine_chunks()
    order = pc.sort_indices(table, sort_keys=[(name, "ascending") for name in names])  # type: ignore[attr-defined]
    return table.take(order).combine_chunks()


def _flat(column: pa.ChunkedArray) -> pa.ChunkedArray | pa.Array:
    """Lists and maps as JSON, so that they sort and hash like text; entries of a map count without their order."""
    if not pa.types.is_nested(column.type):
        return pa.chunked_array(column.chunks, column.type)
    is_map = pa.types.is_map(column.type)
    values = [None if v is None else json.dumps(sorted(v) if is_map else v) for v in column.to_pylist()]
    return pa.array(values, TEXT)
