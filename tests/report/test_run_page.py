import base64
import gzip
import json
import re
from html.parser import HTMLParser

import pyarrow as pa
import pytest
from measured_tables import NUM_FILES, audited

from raysim.analysis.findings import assess
from raysim.analysis.results import RunResults
from raysim.analysis.verdicts import INCOMPARABLE
from raysim.report import run_page
from raysim.report.run_page import write_run_page
from raysim.tables.io import read_table, table_path
from raysim.tables.results import open_run

HOSTILE = "</script><img src=x onerror=alert(1)>"


VOID = {"meta", "link", "br", "img", "input", "hr"}


class Page(HTMLParser):
    """Collects tags, texts of scripts, and addresses; checks that tags are closed in their order."""

    def __init__(self, text):
        super().__init__(convert_charrefs=True)
        self.tags, self.scripts, self.addresses, self.open, self.texts = [], [], [], [], []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.addresses += [value for name, value in attrs if name in ("src", "href")]
        if tag not in VOID:
            self.open.append(tag)
        if tag == "script":
            self.scripts.append("")

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] == "script":
            self.scripts[-1] += data
        elif self.open and self.open[-1] != "style":
            self.texts.append(data)

    @property
    def text(self):
        return " ".join(" ".join(self.texts).split())


def page_of(folder):
    return Page(write_run_page(folder).read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def page(run):
    return page_of(run)


@pytest.fixture(scope="module")
def hostile(build_run):
    return page_of(build_run(organizations=(HOSTILE, "a & b", "%{x}"), text=HOSTILE + "\nx = 1", prompts=4))


def test_the_page_needs_no_network(page):
    assert all(address.startswith(("#", "data:")) for address in page.addresses)
    assert "@import" not in page.scripts[-1]


def test_plotly_is_inlined_once_and_packed(page):
    packed = [script for script in page.scripts if script.startswith("H4sI")]
    assert len(page.scripts) == 4
    assert [b"plotly.js v" in gzip.decompress(base64.b64decode(script)) for script in packed] == [True]


def test_the_page_is_small(run, page):
    del page
    assert (run / "report.html").stat().st_size < 2_500_000


def test_the_first_screens_say_what_matters_and_the_rest_is_behind_a_click(page):
    order = [page.text.index(title) for title in ("Who gains?", "Utility against leakage", "The seven findings")]
    order += [page.text.index(title) for title in ("Whose code is given away", "Organization by organization")]
    order += [page.text.index("Everything else")]
    assert order == sorted(order)
    assert page.text.index("Scoreboard") > order[-1]
    assert page.tags.count("details") >= 12


def test_all_tags_are_closed(page):
    assert page.open == []


def test_every_figure_on_the_page_has_a_specification(run, page):
    named = re.findall(r'data-figure="(\w+)"', (run / "report.html").read_text(encoding="utf-8"))
    assert sorted(named) == sorted(json.loads(page.scripts[0]))
    assert len(named) == 7


def test_foreign_text_never_becomes_a_tag(hostile):
    assert "img" not in hostile.tags
    assert len(hostile.scripts) == 4
    assert hostile.open == []


def test_foreign_text_is_shown_as_it_is(hostile):
    assert HOSTILE in hostile.text
    assert "a & b" in hostile.text


def test_foreign_text_is_escaped_within_scripts(hostile):
    assert "<img" not in hostile.scripts[0]
    assert "onerror" in hostile.scripts[0]
    json.loads(hostile.scripts[0])


def test_the_page_says_what_was_run(page):
    assert "Three organizations (meta, microsoft and google) in five settings, under one seed" in page.text


def test_the_page_rests_on_tables_that_are_written(run, page):
    findings = read_table(run, "findings").to_pylist()
    assert len([row for row in findings if not row["arm"]]) == 7
    assert all(row["arm"] in page.text for row in findings)
    assert all(row["statement"] in page.text for row in findings)


def test_the_tables_of_orders_are_written_and_shown(run, page):
    orders = read_table(run, "orders").to_pylist()
    best = next(row for row in orders if row["rank"] == 1)
    assert f"At 0.05 bits per byte for an exclusive line a prompt, the best order is {best['order']}:" in page.text
    assert all(row["order"] in page.text for row in orders)
    assert read_table(run, "order_effects").num_rows == 5 * (9 + 6 + 3 + 3)


def test_the_price_of_leakage_is_the_stated_one(build_run):
    text = page_of(build_run(leakage_weight=0.25, prompts=4)).text
    assert "At 0.25 bits per byte" in text
    assert "report: {leakage_weight: 0.25}" in text


def test_four_organizations_are_shown_in_all_their_orders(build_run):
    page = page_of(build_run(organizations=("meta", "microsoft", "google", "anyscale"), prompts=4, files=2))
    assert page.open == []
    assert "All 24 orders, 1 seed." in page.text
    assert "Pair by pair, all others held still" in page.text


def test_settings_with_other_budgets_raise_a_banner(build_run):
    text = page_of(build_run(federated_epochs=2)).text
    assert "Budgets differ." in text
    assert "fedavg has 2.00 times the tokens of google" in text


def test_equal_budgets_raise_no_banner(page):
    assert "Budgets differ." not in page.text


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"memorization": False}, "Memorization was not measured."),
        ({"perplexity": False}, "This needs both losses and memorization"),
        ({"memorization": False, "perplexity": False}, "Nothing was measured."),
        ({"leak": 0.0}, "F4 · the last leaks most inconclusive"),
        ({"orders": (("meta", "google", "microsoft"),)}, "One order was run"),
        ({"orders": (("meta", "google"), ("google", "meta"))}, "2 orders do not name every organization"),
        ({"perplexity": False}, "Ranking orders needs the losses and the memorization"),
        ({"probe_stages": False}, "Contributions to a measure need it after every stage"),
    ],
)
def test_what_is_missing_is_said(build_run, settings, sentence):
    assert sentence in page_of(build_run(**settings)).text


@pytest.mark.parametrize(
    "name",
    ["prompts", "copies", "generations", "matches", "emissions", "losses", "clones", "corpora", "drops", "ledger"],
)
def test_no_single_table_is_needed(build_run, name):
    folder = build_run(prompts=2)
    names = ["prompts", "samples"] if name == "prompts" else [name]
    for each in names:
        table_path(folder, each).unlink()
    assert page_of(folder).open == []


def test_a_run_that_has_only_begun_has_a_page(build_run):
    folder = build_run(prompts=1)
    for path in [*folder.glob("results/*.parquet"), folder / "ledger.parquet", folder / "stages.jsonl"]:
        path.unlink()
    assert "no model was finished yet" in page_of(folder).text


def test_the_page_shows_audits(build_run):
    folder = audited(build_run())
    page = write_run_page(folder).read_text(encoding="utf-8")
    assert 'id="exposure"' in page
    assert 'id="membership"' in page
    assert "beats the guess without a model" in page
    assert read_table(folder, "attacks").num_rows == read_table(folder, "membership").num_rows // NUM_FILES * 4


def test_a_page_without_audits_does_not_speak_of_them(run):
    page = write_run_page(run).read_text(encoding="utf-8")
    assert 'id="exposure"' not in page
    assert 'href="#membership"' not in page


def test_cards_have_what_could_overturn_them(run, page):
    rows = [row for row in read_table(run, "findings").to_pylist() if not row["arm"] and row["value"] is not None]
    assert rows
    for row in rows:
        line = " ".join(row["confound"].split())
        assert f"What could overturn it {line[0].upper()}{line[1:]}." in page.text


def test_what_is_not_comparable_has_its_card(build_run, monkeypatch):
    """It was folded away under "without a verdict", beside zeros that looked safe."""
    results = RunResults(open_run(build_run(prompts=4)))
    contrasts, findings = assess(results)
    rows = [
        row | {"value": None, "verdict": INCOMPARABLE} if row["finding"] == "F3" else row
        for row in findings.to_pylist()
    ]
    monkeypatch.setattr(run_page, "assess", lambda _: (contrasts, pa.Table.from_pylist(rows, findings.schema)))
    text = write_run_page(results.run.path).read_text(encoding="utf-8")
    assert '<article class="card not" id="F3">' in text
    assert "F3" not in text.partition("without a verdict")[2].partition("</summary>")[0]


def test_the_first_screen_says_who_gives_away_most_and_what_settings_are(page):
    start = page.text.index
    assert start("each organization trains alone") < start("Who gains?") < start("gives away the most: ")
    assert start("gives away the most: ") < start("Utility against leakage")


def test_the_best_checkpoint_is_beside_the_last(page):
    assert "Best on validation, and last" in page.text
