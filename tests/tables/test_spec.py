import pyarrow as pa
import pytest

from raysim.tables.spec import COUNT, REAL, SMALL, TEXT, table_spec

SPEC = table_spec(
    "t", "Rows.", "a b", [("a", TEXT, "first"), ("b", SMALL, "second"), ("c", REAL, "third"), ("d", COUNT, "fourth")]
)


def test_a_table_is_its_columns_in_their_order():
    expected = [("a", pa.string()), ("b", pa.int32()), ("c", pa.float64()), ("d", pa.int64())]
    assert SPEC.schema.equals(pa.schema(expected))
    assert (SPEC.key, SPEC.folder) == (("a", "b"), "results")


def test_rows_may_leave_out_what_is_known_where_they_are_gathered():
    assert SPEC.without("a", "c").equals(pa.schema([("b", pa.int32()), ("d", pa.int64())]))
    assert SPEC.without().equals(SPEC.schema)


def test_columns_can_be_taken_into_another_schema():
    mixed = pa.schema([*SPEC.fields("d", "a"), ("own", pa.bool_())])
    assert mixed.equals(pa.schema([("d", pa.int64()), ("a", pa.string()), ("own", pa.bool_())]))


def test_a_column_that_is_not_there_is_a_mistake():
    with pytest.raises(KeyError):
        SPEC.fields("e")
    with pytest.raises(AssertionError):
        SPEC.without("e")
