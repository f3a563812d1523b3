import json
from typing import Any

import pytest
from examples import scaled
from hypothesis import given, settings
from hypothesis import strategies as st

from raysim.core.json_text import parse_json


@pytest.mark.parametrize("text", ["[" * 100 + "]" * 100, '{"a": ' * 100 + "1" + "}" * 100, '[{"a": [1, "[[["]}]', b"7"])
def test_json_as_it_is_used(text: str | bytes) -> None:
    assert parse_json(text) == json.loads(text)


@pytest.mark.parametrize("count", [101, 900, 100_000])
@pytest.mark.parametrize(("begin", "end"), [("[", "]"), ('{"a": ', "}"), ('[1, {"b": ', "}]")])
def test_deep_json_is_refused(begin: str, end: str, count: int) -> None:
    inner = "[]" if end == "]" else "{}"
    with pytest.raises(ValueError, match="nested more than 100 levels deep"):
        parse_json(begin * count + inner + end * count)


@settings(max_examples=scaled(100))
@given(st.text('[]{}:,"\\1eE.-nulltruef ', max_size=60) | st.binary(max_size=30))
def test_anything_is_read_or_refused(text: str | bytes) -> None:
    value: Any = None
    try:
        value = parse_json(text)
    except ValueError:
        with pytest.raises(ValueError, match=r"."):
            json.loads(text)
    else:
        assert json.dumps(value) == json.dumps(json.loads(text))
