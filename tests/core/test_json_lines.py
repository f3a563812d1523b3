from raysim.core.json_lines import GrowingLog, append_json_line, end_torn_line, read_json_lines


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


def test_a_log_that_grows_is_read_once(tmp_path):
    path = tmp_path / "log.jsonl"
    log = GrowingLog(path)
    assert log.rows() == []
    append_json_line(path, {"key": "a"})
    with path.open("a") as file:
        file.write('{"key": ')
    assert log.rows() == [{"key": "a"}]
    with path.open("r+") as file:  # what was read is not looked at again
        file.write('{"key": "z"}')
        file.seek(0, 2)
        file.write('"b"}\n')
    assert [row["key"] for row in log.rows()] == ["a", "b"]
    assert [row["key"] for row in log.rows()] == ["a", "b"]


def test_a_log_that_was_replaced_or_cut_is_read_anew(tmp_path):
    path = tmp_path / "log.jsonl"
    for key in "abcd":
        append_json_line(path, {"key": key})
    log = GrowingLog(path)
    assert len(log.rows()) == 4
    append_json_line(new := tmp_path / "new", {"key": "d"})
    append_json_line(new, {"key": "e" * 100})
    new.replace(path)  # as a progress log is thinned out
    assert [row["key"][0] for row in log.rows()] == ["d", "e"]
    path.write_text('{"key": "f"}\n')
    assert log.rows() == [{"key": "f"}]
