import json

from raysim.report.page import script_json


def test_script_json_cannot_end_its_element():
    text = str(script_json({"a": "</script><!--&\u2028"}))
    assert not set("<>&\u2028") & set(text)
    assert json.loads(text) == {"a": "</script><!--&\u2028"}
