"""The tables of a run folder: which there are (`raysim.tables.schemas`), and how they are written, read and hashed.

Tables hold no times, hosts or absolute paths, so equal work gives equal tables, and `table_hash` says so.
"""

import hashlib
import json
import os
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from raysim.core.errors import DamagedEntry, InputError, os_errors
from raysim.core.run_folder import RunFolder
from raysim.tables.schemas.audits import ATTACKS, BLIND, CANARIES, MEMBERSHIP, RECITALS, SEQUENCE_CANARIES
from raysim.tables.schemas.checkpoints import BEST_CHECKPOINTS
from raysim.tables.schemas.comparison import COMPARISON
from raysim.tables.schemas.corpora import (
    CLONES,
    CORPORA,
    DROPS,
    FILE_LICENCES,
    HELD_OUT_COPIES,
    OBFUSCATIONS,
    REDACTIONS,
)
from raysim.tables.schemas.counterfactuals import COUNTERFACTUALS
from raysim.tables.schemas.extraction import EXTRACTION
from raysim.tables.schemas.file_attacks import FILE_ATTACKS
from raysim.tables.schemas.findings import CONTRASTS, FINDINGS
from raysim.tables.schemas.front import FRONT, FRONT_OWNERS
from raysim.tables.schemas.gains import GAINS
from raysim.tables.schemas.generations import FILTER_BLOCKS, GENERATIONS, MATCHES, PROMPTS, SAMPLES, STUDY_COUNTS
from raysim.tables.schemas.orders import ORDER_EFFECTS, ORDERS
from raysim.tables.schemas.overlap import COPIES, EMISSIONS, PREDICTIONS
from raysim.tables.schemas.participation import PARTICIPATION
from raysim.tables.schemas.privacy import PRIVACY, PRIVACY_AUDITS
from raysim.tables.schemas.renamed import RENAMED, RENAMED_CHANCE
from raysim.tables.schemas.runs import BASELINES, LEDGER, LOSSES, MODELS
from raysim.tables.schemas.solving import SOLVING
from raysim.tables.schemas.summary import SUMMARY
from raysim.tables.schemas.sweeps import SWEEP
from raysim.tables.schemas.unlearning import UNLEARNING
from raysim.tables.schemas.uploads import UPDATE_NORMS, UPDATE_SIZES, UPLOADS
from raysim.tables.schemas.validations import VALIDATIONS
from raysim.tables.spec import TableSpec

_EXPERIMENT = "raysim.experiment"

TABLES: dict[str, TableSpec] = {
    spec.name: spec
    for spec in (
        MODELS,
        PROMPTS,
        COPIES,
        GENERATIONS,
        SAMPLES,
        STUDY_COUNTS,
        FILTER_BLOCKS,
        MATCHES,
        RENAMED,
        RENAMED_CHANCE,
        EMISSIONS,
        UPLOADS,
        UPDATE_NORMS,
        UPDATE_SIZES,
        PRIVACY,
        PRIVACY_AUDITS,
        PARTICIPATION,
        VALIDATIONS,
        LOSSES,
        BASELINES,
        EXTRACTION,
        *SOLVING,
        CANARIES,
        SEQUENCE_CANARIES,
        RECITALS,
        MEMBERSHIP,
        BLIND,
        CLONES,
        HELD_OUT_COPIES,
        CORPORA,
        DROPS,
        FILE_LICENCES,
        REDACTIONS,
        OBFUSCATIONS,
        SUMMARY,
        GAINS,
        COUNTERFACTUALS,
        UNLEARNING,
        BEST_CHECKPOINTS,
        CONTRASTS,
        FINDINGS,
        ORDERS,
        ORDER_EFFECTS,
        ATTACKS,
        FILE_ATTACKS,
        PREDICTIONS,
        SWEEP,
        COMPARISON,
        FRONT,
        FRONT_OWNERS,
        LEDGER,
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
    return _path(folder, _spec(name))


def write_table(folder: Path, table_or_name: TableSpec | str, table: pa.Table) -> Path:
    """Writes `table` into the run folder `folder`, cast to its schema and sorted, all at once or not at all.

    Rows are sorted by the key columns and then by all others, so equal content gives equal files. The metadata say what
    the table and each column mean, and name the experiment whose results they are: the `hash` in the manifest.

    Raises:
        InputError: there is no such table, or `table` lacks a column, has one too many or one of another type.
    """
    spec = table_or_name if isinstance(table_or_name, TableSpec) else _spec(table_or_name)
    path = _path(folder, spec)
    canonical = _sorted(_cast(spec, table, str(path)), spec.key)
    unfinished = path.with_suffix(".unfinished")
    metadata = {"description": spec.description}
    if experiment := _experiment(folder):
        metadata[_EXPERIMENT] = experiment
    canonical = canonical.cast(spec.described_schema.with_metadata(metadata))
    with os_errors(path, begun=True):
        path.parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(canonical, unfinished, compression="zstd", store_schema=True)
        os.replace(unfinished, path)
    return path


def read_table(folder: Path, name: str) -> pa.Table:
    """The table called `name` of the run folder `folder`; one that was never written is empty.

    Columns that an older version did not write have the values that the table's specification names.

    Raises:
        InputError: there is no such table, or its columns are not those of this version.
        DamagedEntry: the file is no Parquet file.
    """
    path = folder / "results" / f"{name}.parquet"
    if name not in TABLES and path.exists():
        return _read(path)  # of a measure that does not come with raysim
    spec = _spec(name)
    path = _path(folder, spec)
    if not path.exists():
        return spec.schema.empty_table()
    table = _read(path)
    for column, value in spec.added.items():
        if column not in table.column_names:
            table = table.append_column(column, pa.array([value] * len(table), spec.schema.field(column).type))
    try:
        return _cast(spec, table, str(path))
    except InputError as error:
        again = "a table of another version of raysim: run its command again, which writes it anew and computes nothing"
        raise InputError(f"{error}; {again} that the store has") from None


def is_stale(folder: Path, name: str) -> bool:
    """Whether the table called `name` holds results of another experiment than the manifest of its folder names."""
    path = _path(folder, TABLES[name]) if name in TABLES else folder / "results" / f"{name}.parquet"
    experiment = _experiment(folder)
    if not (experiment and path.exists()):
        return False
    try:
        written = (pq.read_schema(path).metadata or {}).get(_EXPERIMENT.encode())
    except (OSError, pa.ArrowInvalid):
        return False  # whoever reads it will be told
    return written is not None and written.decode() != experiment


def _experiment(folder: Path) -> str | None:
    try:
        return RunFolder(folder).read_manifest().get("hash")
    except InputError:
        return None


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


def data_dictionary(names: Iterable[str] = tuple(TABLES)) -> str:
    """These tables and their columns as Markdown."""
    parts: list[str] = []
    for spec in map(_spec, names):
        parts += [f"## {spec.name}", "", spec.description, "", "| column | type | meaning |", "|---|---|---|"]
        parts += [f"| {column.name} | {column.type} | {column.description} |" for column in spec.columns]
        parts.append("")
    return "\n".join(parts)


def _read(path: Path) -> pa.Table:
    try:
        return pq.ParquetFile(path).read()
    except (OSError, pa.ArrowInvalid) as error:
        raise DamagedEntry(f"{path}: not a readable Parquet file ({error}); delete it and run again") from None


def _path(folder: Path, spec: TableSpec) -> Path:
    return folder / spec.folder / f"{spec.name}.parquet"


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
    return pa.array(values, pa.string())
