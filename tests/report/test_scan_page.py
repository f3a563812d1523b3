from raysim.report.scan_page import scan_page

HOSTILE = "</script><img src=x onerror=alert(1)>"
EXCERPT = {
    "file": HOSTILE,
    "start": 7,
    "lines": 12,
    "owners": ["b: b.py from line 3"],
    "ours": "x = 1",
    "theirs": "x = 1",
    "left_out": 0,
}


def test_the_page_of_a_scan_says_what_is_covered():
    totals = {
        "samples": 4,
        "significant_lines": 200,
        "owned_lines": 50,
        "public_lines": 0,
        "covered_lines": {"a": 30, "b": 40},
        "exclusive_lines": {"a": 10, "b": 20},
        "share": 0.25,
    }
    facts = {"Threshold": "10.00% (--fail-over)", "Verdict": "failed: 25.00% of the lines match"}
    page = scan_page("scan", "lines", {"totals": totals, "matches": [1, 2]}, [EXCERPT], facts)
    assert "<dt>Verdict</dt><dd>failed: 25.00% of the lines match</dd>" in page
    assert "25.00&nbsp;% of 200 lines in 4 files stand in somebody’s code." in page
    assert "20.00&nbsp;%" in page
    assert HOSTILE not in page
    assert "12 lines of &lt;/script&gt;" in page


def test_the_page_of_clones_has_a_row_and_a_column_an_owner():
    pairs = [
        {"org": a, "other": b, "tokens": 100, "covered": 10 if a == b else 25, "fragments": 2}
        for a in "ab"
        for b in "ab"
    ]
    totals = {"shared_tokens": 50, "significant_tokens": 200, "share": 0.25}
    page = scan_page("clones", "tokens", {"totals": totals, "matches": [], "pairs": pairs}, [], {})
    assert "25.00&nbsp;% of 200 tokens stand in the code of two owners or more." in page
    assert page.count("10.00&nbsp;%") == page.count('title="10 tokens, 2 fragments"') == 2
    assert "No match." in page
