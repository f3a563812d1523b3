import pytest

from raysim.corpus.corpus import Corpus, Redaction
from raysim.corpus.files import SourceFile
from raysim.corpus.redaction import RedactionSettings, redacted

MAIL = "# by Jane Roe <jane@roe.org>, joe@roe.org\n"
LOGIN = "url = 'https://jane:hunter2x@host.org'\n"


@pytest.fixture
def corpus() -> Corpus:
    files = [SourceFile(f"{n}.py", text, "r", "MIT") for n, text in enumerate((MAIL, LOGIN, "x = 1\n", MAIL + LOGIN))]
    return Corpus("a", tuple(files[:2]), (files[2],), test=(files[3],))


def texts(corpus: Corpus) -> list[str]:
    return [source.text for source in corpus.train + corpus.valid + corpus.test]


def test_off_is_as_it_was(corpus: Corpus) -> None:
    assert redacted(corpus, RedactionSettings()) is corpus


def test_what_is_redacted_has_a_placeholder_in_every_split(corpus: Corpus) -> None:
    clean = redacted(corpus, RedactionSettings(secrets="redact", personal="redact"))
    mail, login = "# by Jane Roe <<EMAIL>>, <EMAIL>\n", "url = 'https://jane:<SECRET>@host.org'\n"
    assert texts(clean) == [mail, login, "x = 1\n", mail + login]
    assert clean.redactions == (
        Redaction("personal", "e-mail address", "redact", files=2, occurrences=4),
        Redaction("secrets", "Basic Auth Credentials", "redact", files=2, occurrences=2),
    )
    assert clean.train[0].licence == "MIT"
    assert clean.train_fingerprint != corpus.train_fingerprint
    assert redacted(clean, RedactionSettings(secrets="redact", personal="redact")).redactions == ()


def test_what_is_reported_stays(corpus: Corpus) -> None:
    told = redacted(corpus, RedactionSettings(secrets="report", personal="report"))
    assert texts(told) == texts(corpus)
    assert told.train_fingerprint == corpus.train_fingerprint
    assert [(row.kind, row.action, row.occurrences) for row in told.redactions] == [
        ("e-mail address", "report", 4),
        ("Basic Auth Credentials", "report", 2),
    ]


def test_of_what_is_both_the_part_that_is_redacted_goes(corpus: Corpus) -> None:
    """Where secrets are only counted, a password with a host behind it is an address like another, and goes."""
    clean = redacted(corpus, RedactionSettings(secrets="report", personal="redact"))
    assert clean.train[1].text == "url = 'https://jane:<EMAIL>'\n"
    assert {row.category for row in clean.redactions} == {"personal"}
