from raysim.core.json_lines import append_json_line, end_torn_line, read_json_lines


def test_rows_come_back_in_their_order(tmp_path):
    path = tmp_path / "log.jsonl"
    rows = [{"key": "a", "text": "ü \u2028 \n"}, {"key": "b", "number": 0.1}]
    for row in rows:
        append_json_line(path, row)
    assert read_json_lines(path) == rows


def test_no_file_is_no_rows(tmp_path):
    assert read_json_lines(tmp_path / "log.jsonl") == []


def test_torn_lines_are_ignored_wherever_they_are(tmp_path):
    """Also one that ends within a character, and one whose beginning is JSON by itself."""
    path = tmp_path / "log.jsonl"
    path.write_bytes(b'{"key": "a"}\n{"key": "\xc3\n\n12\n' + b"[" * 9999 + b'\n{"key": "b"}\n{"key": "c')
    assert [row["key"] for row in read_json_lines(path)] == ["a", "b"]


def test_a_torn_line_ends_where_the_next_begins(tmp_path):
    path = tmp_path / "log.jsonl"
    path.write_bytes(b'{"key": "a"}\n{"key": "b')
    end_torn_line(path)
    append_json_line(path, {"key": "c"})
    assert [row["key"] for row in read_json_lines(path)] == ["a", "c"]


def test_a_whole_log_is_left_as_it_is(tmp_path):
    path = tmp_path / "log.jsonl"
    end_torn_line(path)
    assert not path.exists()
    append_json_line(path, {"key": "a"})
    before = path.read_bytes()
    end_torn_line(path)
    assert path.read_bytes() == before
