import hypothesis
import hypothesis.strategies as st
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from raysim.core.errors import DamagedEntry, InputError
from raysim.tables.io import TABLES, data_dictionary, read_table, schema, table_hash, table_path, write_table

DROPS = [
    {"organization": "b", "reason": "duplicate", "files": 2, "bytes": 10},
    {"organization": "a", "reason": "long lines", "files": 1, "bytes": 7},
    {"organization": "a", "reason": "duplicate", "files": 3, "bytes": 9},
]


def model(seen, seed=1):
    row = dict.fromkeys(schema("models").names)
    return {**row, "seed": seed, "strategy": "s", "order": "a", "moment": "stage", "index": 1, "tokens_seen": seen}


def test_written_rows_are_sorted_by_the_key(tmp_path):
    write_table(tmp_path, "drops", pa.Table.from_pylist(DROPS))
    rows = read_table(tmp_path, "drops").to_pylist()
    assert [(row["organization"], row["reason"]) for row in rows] == [
        ("a", "duplicate"),
        ("a", "long lines"),
        ("b", "duplicate"),
    ]


def test_equal_content_gives_equal_files(tmp_path):
    table = pa.Table.from_pylist(DROPS)
    one = write_table(tmp_path / "one", "drops", table).read_bytes()
    chunked = pa.concat_tables([table.slice(2, 1), table.slice(0, 2)])
    assert write_table(tmp_path / "two", "drops", chunked).read_bytes() == one


def test_types_are_cast_to_the_schema(tmp_path):
    narrow = pa.Table.from_pylist(DROPS).cast(
        pa.schema(
            [("organization", pa.large_string()), ("reason", pa.string()), ("files", pa.int8()), ("bytes", pa.int16())]
        )
    )
    write_table(tmp_path, "drops", narrow)
    assert read_table(tmp_path, "drops").schema.equals(schema("drops"))


def test_the_ledger_lies_beside_the_results(tmp_path):
    assert table_path(tmp_path, "ledger") == tmp_path / "ledger.parquet"
    assert table_path(tmp_path, "models") == tmp_path / "results" / "models.parquet"


def test_a_table_that_was_never_written_is_empty(tmp_path):
    assert read_table(tmp_path, "losses").num_rows == 0
    assert read_table(tmp_path, "losses").schema.equals(schema("losses"))


def test_a_missing_column_is_named(tmp_path):
    with pytest.raises(InputError, match="lacks bytes"):
        write_table(tmp_path, "drops", pa.Table.from_pylist(DROPS).drop_columns(["bytes"]))


def test_an_unknown_column_is_named(tmp_path):
    table = pa.Table.from_pylist([{**row, "host": "x"} for row in DROPS])
    with pytest.raises(InputError, match="unknown host"):
        write_table(tmp_path, "drops", table)


def test_a_column_that_an_older_version_did_not_write_is_null_or_has_its_only_value_of_then(tmp_path):
    (tmp_path / "results").mkdir()
    for name, value in (("prompts", None), ("samples", None), ("losses", "valid")):
        (added,) = TABLES[name].added
        old = pa.table([[None]] * (len(TABLES[name].columns) - 1), schema=TABLES[name].without(added))
        pq.write_table(old, tmp_path / f"results/{name}.parquet")
        found = read_table(tmp_path, name)
        assert found.schema.equals(schema(name))
        assert found[added].to_pylist() == [value]
        with pytest.raises(InputError, match=f"lacks {added}"):
            write_table(tmp_path, name, old)


def test_an_unknown_table_is_refused(tmp_path):
    with pytest.raises(InputError, match="no table of a run"):
        read_table(tmp_path, "nothing")


def test_a_damaged_file_is_named(tmp_path):
    path = write_table(tmp_path, "drops", pa.Table.from_pylist(DROPS))
    path.write_bytes(path.read_bytes()[:40])
    with pytest.raises(DamagedEntry, match=r"drops\.parquet"):
        read_table(tmp_path, "drops")


rows_of = st.lists(
    st.fixed_dictionaries(
        {
            "text": st.none() | st.text(max_size=4),
            "number": st.none() | st.integers(-9, 9),
            "flag": st.none() | st.booleans(),
            "real": st.none() | st.floats(-2, 2),
            "names": st.lists(st.sampled_from("abc"), max_size=2),
        }
    ),
    max_size=6,
)
TYPES = pa.schema(
    [
        ("text", pa.string()),
        ("number", pa.int32()),
        ("flag", pa.bool_()),
        ("real", pa.float64()),
        ("names", pa.list_(pa.string())),
    ]
)


@hypothesis.settings(deadline=None)
@hypothesis.given(rows=rows_of, data=st.data())
def test_the_hash_is_independent_of_row_order_and_chunking(rows, data):
    shuffled = data.draw(st.permutations(rows))
    cut = data.draw(st.integers(0, len(rows)))
    table = pa.Table.from_pylist(shuffled, TYPES)
    pieces = pa.concat_tables([table.slice(0, cut), table.slice(cut)])
    assert table_hash(pieces) == table_hash(pa.Table.from_pylist(rows, TYPES))


def content(row):
    return repr(sorted({**row, "real": None if row["real"] is None else row["real"] + 0.0}.items()))


@hypothesis.settings(deadline=None)
@hypothesis.given(one=rows_of, other=rows_of)
def test_different_rows_have_different_hashes(one, other):
    same = sorted(map(content, one)) == sorted(map(content, other))
    assert (table_hash(pa.Table.from_pylist(one, TYPES)) == table_hash(pa.Table.from_pylist(other, TYPES))) == same


def test_the_hash_does_not_see_the_order_of_a_map():
    tables = [
        pa.Table.from_pylist([model(seen)], schema("models")) for seen in ([("a", 1), ("b", 2)], [("b", 2), ("a", 1)])
    ]
    assert table_hash(tables[0]) == table_hash(tables[1])
    assert table_hash(tables[0]) != table_hash(pa.Table.from_pylist([model([("a", 2), ("b", 1)])], schema("models")))


def test_the_hash_sees_names_of_columns():
    assert table_hash(pa.table({"a": [1]})) != table_hash(pa.table({"b": [1]}))


@pytest.mark.parametrize("name", TABLES)
def test_keys_are_columns_and_every_column_is_described(name):
    spec = TABLES[name]
    assert set(spec.key) <= set(spec.schema.names)
    assert all(column.description for column in spec.columns)
    assert all(f"| {column.name} |" in data_dictionary() for column in spec.columns)


def test_a_table_of_another_version_says_how_to_write_it_anew(tmp_path):
    path = write_table(tmp_path, "drops", pa.Table.from_pylist(DROPS))
    pq.write_table(pa.Table.from_pylist(DROPS).drop_columns(["bytes"]), path)
    with pytest.raises(InputError, match=r"table drops lacks bytes; .* run its command again"):
        read_table(tmp_path, "drops")
